import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { KeeperRing } from '../../src/access/peer-credentials.ts';
import { operateBytes, writeOperate } from '../../src/keeper/bodies.ts';
import { KeeperClient } from '../../src/keeper/keeper-client.ts';
import { readOutcomes } from '../../src/keeper/operate-many.ts';
import { createLogger } from '../../src/log/logger.ts';
import { WireWriter } from '../../src/wire/buffer.ts';
import { OPERATE } from '../../src/wire/tables.ts';
import { KEEPER } from '../e2e/instance.ts';
import type { NoncedItems } from '../../src/tokens/ports.ts';
import { eachNonced, noncedOf } from '../tokens/nonced-items.ts';

const AES = { objectClass: 4, keyType: 0x1f, owner: null, leaseMs: null, uses: null, note: null, seal: null };
const CKA_VALUE = 0x11;
/** An IV of zeros, no associated data, a tag of 128 bits. */
const PARAMS = new WireWriter().bytes(Buffer.alloc(12)).bytes(Buffer.alloc(0)).u32(128).done();
const GCM = { type: 0x1087, params: PARAMS };

interface Scene {
  readonly keeper: ChildProcess;
  readonly client: KeeperClient;
  readonly control: string;
  readonly cell: bigint;
}

async function scene(t: Test): Promise<Scene> {
  const dir = mkdtempSync(join(tmpdir(), 'sidekey-'));
  const [control, pkcs11] = [join(dir, 'control.sock'), join(dir, 'pkcs11.sock')];
  const keeper = spawn(KEEPER, ['--pkcs11', pkcs11, '--control', control], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(() => (keeper.kill('SIGKILL'), rmSync(dir, { recursive: true })));
  if (keeper.stderr !== null) await once(keeper.stderr, 'data');
  keeper.stderr?.resume();
  const client = new KeeperClient(createLogger('silent'));
  await client.attach(control, () => undefined);
  const { cell } = await client.importComponents(AES, [{ type: CKA_VALUE, value: Buffer.alloc(32, 7) }]);
  return { keeper, client, control, cell };
}

function frame(cell: bigint, data: Buffer): Buffer {
  const flags = OPERATE.begin | OPERATE.final;
  const step = {
    cell,
    operation: 'encrypt',
    number: 0n,
    flags,
    mechanism: GCM,
    data,
    signature: null,
  } as const;
  return new WireWriter()
    .u32(1)
    .bytes(writeOperate(step, new WireWriter(operateBytes(step))).done())
    .done();
}

function outputOf(reply: Buffer | null | undefined): Buffer | null {
  const outcome = reply == null ? null : readOutcomes(reply, 1)[0];
  return Buffer.isBuffer(outcome) ? outcome : null;
}

function byRing(ring: KeeperRing, cell: bigint, data: Buffer): Buffer | null {
  return outputOf(ring.call([frame(cell, data)])?.[0]);
}

/** On a busy machine an answer may take longer than the ring waits for one. */
async function patientlyByRing(ring: KeeperRing, cell: bigint, data: Buffer): Promise<Buffer | null> {
  for (let i = 0; i < 400; i++) {
    const answer = byRing(ring, cell, data);
    if (answer !== null) return answer;
    await sleep(5);
  }
  return null;
}

async function opened({ control, cell }: Scene): Promise<KeeperRing> {
  const ring = new KeeperRing(control);
  await patientlyByRing(ring, cell, Buffer.alloc(1));
  return ring;
}

t.test('what travels by the ring has the result that it has by the socket', async (t) => {
  const at = await scene(t);
  const ring = await opened(at);
  for (const bytes of [0, 1, 47, 1024, 12_000]) {
    const data = Buffer.alloc(bytes, bytes);
    const expected = await at.client.operate(at.cell, 'encrypt', GCM, data);
    t.same(await patientlyByRing(ring, at.cell, data), expected, `${bytes} bytes`);
  }
  t.equal(ring.call([Buffer.alloc(20_000)]), null, 'what is longer than a slot is not sent');
  t.equal(ring.call([]), null, 'nor is nothing');
  t.same(ring.call([Buffer.alloc(3)]), [null], 'a frame that breaks the format is refused');
  t.ok(await patientlyByRing(ring, at.cell, Buffer.alloc(1)), 'and the next is served');
  ring.close();
  ring.close();
  t.equal(byRing(ring, at.cell, Buffer.alloc(1)), null, 'a ring that was closed gives nothing');
});

t.test('as many frames at a time travel by the ring as it has slots, each with its own result', async (t) => {
  const at = await scene(t);
  const ring = await opened(at);
  const data = Array.from({ length: 17 }, (_, i) => Buffer.alloc(i * 900, i));
  const expected = await Promise.all(data.map((each) => at.client.operate(at.cell, 'encrypt', GCM, each)));
  const frames = data.map((each) => frame(at.cell, each));
  t.equal(ring.call(frames), null, 'one more than the slots is not sent');
  for (let tries = 0; ; tries++) {
    const replies = (ring.call(frames.slice(0, 16)) ?? []).map(outputOf);
    if (replies.length === 0 || replies.includes(null)) t.ok(tries < 400, 'not answered in time');
    else t.same(replies, expected.slice(0, 16));
    if (!replies.includes(null) && replies.length > 0) break;
    await sleep(5);
  }
  const mixed = [...frames.slice(0, 4), Buffer.alloc(3), frame(at.cell + 1n, Buffer.alloc(1))];
  const replies = ring.call(mixed) ?? [];
  t.same(replies.slice(0, 4).map(outputOf), expected.slice(0, 4));
  t.equal(replies[4], null, 'a frame that breaks the format is refused alone');
  t.match(replies[5] && readOutcomes(replies[5], 1), [{ code: 'cell_unknown' }]);
});

t.test('a batch has the results of its items, whichever way each of its frames goes', async (t) => {
  const at = await scene(t);
  await at.client.operate(at.cell, 'encrypt', GCM, Buffer.alloc(1));
  const sizes = [...Array.from({ length: 300 }, (_, i) => (i * 37) % 1500), 16_000, 16_384, 20_000, 0];
  for (const some of [sizes.slice(0, 1), sizes.slice(0, 100), sizes.slice(0, 300), sizes]) {
    const items = some.map((bytes, i) => ({ mechanism: GCM, data: Buffer.alloc(bytes, i) }));
    const outcomes = await at.client.operateMany(at.cell, 'encrypt', items);
    const each = await Promise.all(items.map(({ data }) => at.client.operate(at.cell, 'encrypt', GCM, data)));
    t.same(outcomes, each, `${some.length} items`);
  }
});

/** On a busy machine the ring's answer may be late, and then there is none. */
async function patiently<T>(ask: () => T | null): Promise<T | null> {
  for (let i = 0; i < 400; i++) {
    const answer = ask();
    if (answer !== null) return answer;
    await sleep(5);
  }
  return null;
}

t.test('items that differ in nonce and data alone have the outputs that they have one by one', async (t) => {
  const at = await scene(t);
  await opened(at);
  const sizes = [[1024], Array.from({ length: 130 }, (_, i) => (i * 37) % 1500), [15_000, 0, 14_000, 1]];
  for (const some of sizes) {
    const items = some.map((bytes, i) => [Buffer.alloc(12, i + 1), Buffer.alloc(bytes, i)] as const);
    const joined = noncedOf(items);
    const outputs = await patiently(() => at.client.operateAtOnce(at.cell, 'encrypt', GCM, joined));
    const each = (eachNonced(GCM, joined) ?? []).map((item) =>
      at.client.operate(at.cell, 'encrypt', item.mechanism, item.data),
    );
    t.same(outputs, await Promise.all(each), `${some.length} items`);
    const sealed = noncedOf(items.map(([nonce], i) => [nonce, outputs?.[i] ?? Buffer.alloc(0)]));
    const plain = await patiently(() => at.client.operateAtOnce(at.cell, 'decrypt', GCM, sealed));
    t.same(
      plain,
      items.map(([, data]) => data),
      'and back',
    );
  }
});

t.test(
  'all of them, or none: with a wrong tag, a cell that is gone, or more than the ring takes',
  async (t) => {
    const at = await scene(t);
    await opened(at);
    const items = (count: number, bytes: number) =>
      noncedOf(Array.from({ length: count }, (_, i) => [Buffer.alloc(12, i), Buffer.alloc(bytes, i)]));
    const ask = (operation: 'encrypt' | 'decrypt', asked: NoncedItems, cell = at.cell) =>
      at.client.operateAtOnce(cell, operation, GCM, asked);
    const big = items(40, 1024);
    const sealed = await patiently(() => ask('encrypt', items(3, 20)));
    const texts = (sealed ?? []).map((output, i) => [Buffer.alloc(12, i), output] as const);
    t.ok(await patiently(() => ask('decrypt', noncedOf(texts))));
    texts[1]?.[1].writeUInt8((texts[1][1].at(-1) ?? 0) ^ 1, 35);
    for (let i = 0; i < 20; i++) {
      t.equal(ask('decrypt', noncedOf(texts)), null, 'a wrong tag');
      t.equal(ask('encrypt', items(3, 20), at.cell + 1n), null, 'no such cell');
      t.equal(ask('encrypt', items(1, 16_000)), null, 'longer than a frame');
      t.equal(ask('encrypt', items(17, 9000)), null, 'more than the frames');
      const invalid = {
        count: 40,
        write: (...where: Parameters<NoncedItems['write']>) => (where[0] === 30 ? null : big.write(...where)),
      };
      t.equal(ask('encrypt', invalid), null, 'one that is not valid');
    }
    t.ok(await patiently(() => ask('encrypt', items(16, 9000))), 'and then it serves again');
    const thrown = {
      count: 40,
      write: (...where: Parameters<NoncedItems['write']>) => {
        if (where[0] === 30) throw new RangeError('a fault of ours');
        return big.write(...where);
      },
    };
    // As many as fill a frame, as those before them did.
    const other = noncedOf(Array.from({ length: 13 }, () => [Buffer.alloc(12, 99), Buffer.alloc(1024, 99)]));
    const expected = await patiently(() => ask('encrypt', other));
    for (let i = 0; i < 20; i++) {
      t.throws(() => ask('encrypt', thrown), RangeError);
      const next = ask('encrypt', other);
      t.ok(
        next === null || next.every((output, at) => expected?.[at]?.equals(output)),
        "its answers are not the next one's",
      );
    }
  },
);

t.test('a keeper that is stopped holds the event loop for milliseconds, once', async (t) => {
  const at = await scene(t);
  const ring = await opened(at);
  at.keeper.kill('SIGSTOP');
  await sleep(100);
  const began = performance.now();
  t.equal(byRing(ring, at.cell, Buffer.alloc(1)), null, 'the ring gives up');
  const rested = performance.now();
  for (let i = 0; i < 1000; i++) byRing(ring, at.cell, Buffer.alloc(1));
  t.ok(rested - began < 500, `after ${rested - began} ms`);
  t.ok(performance.now() - rested < 500, 'and rests for a second');
  const asked = at.client.operate(at.cell, 'encrypt', GCM, Buffer.alloc(5));
  await sleep(50);
  at.keeper.kill('SIGCONT');
  t.equal((await asked).length, 21, 'what was asked by the agent meanwhile is answered by the socket');
  await sleep(1050);
  t.ok(await patientlyByRing(ring, at.cell, Buffer.alloc(1)), 'then the ring serves again');
});

t.test('operations of one turn with different keys and mechanisms keep to their own', async (t) => {
  const at = await scene(t);
  const value = (byte: number) => [{ type: CKA_VALUE, value: Buffer.alloc(32, byte) }];
  const other = (await at.client.importComponents(AES, value(9))).cell;
  const generic = { ...AES, keyType: 0x10 };
  const mac = (await at.client.importComponents(generic, value(8))).cell;
  const [data, hmac] = [Buffer.alloc(100, 1), { type: 0x251, params: Buffer.alloc(0) }];
  const sealed = await at.client.operate(at.cell, 'encrypt', GCM, data);
  const asks = [
    () => at.client.operate(at.cell, 'encrypt', GCM, data),
    () => at.client.operate(at.cell, 'decrypt', GCM, sealed),
    () => at.client.operate(other, 'encrypt', GCM, data),
    () => at.client.operate(mac, 'sign', hmac, data),
    () => at.client.operate(mac, 'sign', { ...hmac, type: 0x261 }, data),
    () => at.client.operate(at.cell, 'encrypt', GCM, data),
  ];
  const alone: Buffer[] = [];
  for (const ask of asks) alone.push(await ask());
  t.same(await Promise.all(asks.map((ask) => ask())), alone);
  t.equal(new Set(alone.map(String)).size, 5, 'two of six are the same');
});

t.test('a keeper that stands still again and again answers everything in the end', async (t) => {
  const at = await scene(t);
  await opened(at);
  const halting = 'while kill -STOP "$1"; do sleep 0.002; kill -CONT "$1"; sleep 0.003; done';
  const halts = spawn('sh', ['-c', halting, 'halts', String(at.keeper.pid)], { stdio: 'ignore' });
  t.teardown(() => void halts.kill('SIGKILL'));
  const items = Array.from({ length: 14 }, (_, i) => ({ mechanism: GCM, data: Buffer.alloc(1000, i) }));
  let answered = 0;
  for (let round = 0; round < 400; round++) {
    const outcomes = await at.client.operateMany(at.cell, 'encrypt', items);
    answered += outcomes.filter((outcome) => Buffer.isBuffer(outcome)).length;
  }
  halts.kill('SIGKILL');
  at.keeper.kill('SIGCONT');
  t.equal(answered, 400 * items.length);
});

t.test('a keeper that is killed ends no agent', async (t) => {
  const at = await scene(t);
  const ring = await opened(at);
  await at.client.operate(at.cell, 'encrypt', GCM, Buffer.alloc(5));
  at.keeper.kill('SIGKILL');
  await once(at.keeper, 'exit');
  t.equal(byRing(ring, at.cell, Buffer.alloc(1)), null);
  await t.rejects(at.client.operate(at.cell, 'encrypt', GCM, Buffer.alloc(5)), { code: 'keeper_absent' });
  t.equal(
    byRing(new KeeperRing(at.control), at.cell, Buffer.alloc(1)),
    null,
    'nor does asking nobody for a ring',
  );
});

t.test('a cell of one keeper has the id of no cell of another', async (t) => {
  const [one, other] = [await scene(t), await scene(t)];
  t.not(one.cell, other.cell);
  await t.rejects(other.client.operate(one.cell, 'encrypt', GCM, Buffer.alloc(1)), { code: 'cell_unknown' });
});
