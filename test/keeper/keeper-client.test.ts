import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SidekeyError } from '../../src/errors.ts';
import { KeeperClient } from '../../src/keeper/keeper-client.ts';
import { KeeperConnection } from '../../src/keeper/keeper-connection.ts';
import { KeeperLink } from '../../src/keeper/keeper-link.ts';
import type { KeeperEvents } from '../../src/keeper/routed-frames.ts';
import { createLogger } from '../../src/log/logger.ts';
import { WireReader, WireWriter } from '../../src/wire/buffer.ts';
import { LIMITS } from '../../src/wire/tables.ts';
import { ScriptedKeeper } from './scripted-keeper.ts';

const log = createLogger('silent');
const notRoot = process.getuid?.() !== 0 && 'only root can run a process under another uid';
const SECRET_KEY = {
  objectClass: 4,
  keyType: 0x1f,
  owner: null,
  leaseMs: null,
  uses: null,
  note: null,
  seal: null,
};
const GCM = { type: 0x1087, params: Buffer.alloc(0) };

/** A socket's path is short, and tap's folders are not. */
function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'sidekey-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return path;
}

/** Notes what it is told; handles nothing until `handle` is replaced. */
class Told implements KeeperEvents {
  readonly calls: string[] = [];
  handle: KeeperEvents['handle'] = async () => Buffer.alloc(0);
  keeperAttached: KeeperEvents['keeperAttached'] = async (boot) => void this.calls.push(`attached ${boot}`);
  clientOpened: KeeperEvents['clientOpened'] = async ({ client }) => void this.calls.push(`opened ${client}`);
  clientClosed(client: bigint): void {
    this.calls.push(`closed ${client}`);
  }
  cellEnded(cell: bigint): void {
    this.calls.push(`ended ${cell}`);
  }
  async useEnded({ leave, operation, status }: Parameters<KeeperEvents['useEnded']>[0]): Promise<void> {
    this.calls.push(`use ${leave}: ${operation} ${status}`);
  }
  keeperLost(): void {
    this.calls.push('lost');
  }
}

interface Scene {
  readonly keeper: ScriptedKeeper;
  readonly client: KeeperClient;
  readonly told: Told;
  readonly path: string;
}

async function scene(t: Test, attach = true, wire: number = LIMITS.version): Promise<Scene> {
  const path = join(folder(t), 'control.sock');
  const [keeper, client, told] = [new ScriptedKeeper(), new KeeperClient(log), new Told()];
  keeper.wire = wire;
  await keeper.listen(path);
  client.serve(told);
  t.teardown(() => keeper.close());
  if (attach) await client.attach(path, () => undefined);
  return { keeper, client, told, path };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !condition(); i++) await sleep(5);
  if (!condition()) throw new Error('it never came to be');
}

function openedBody(client: number): Buffer {
  return new WireWriter().u64(client).u32(1).u32(0).u32(0).u32(0).text('program').u32(LIMITS.version).done();
}

t.test('without a keeper every call is refused', async (t) => {
  const client = new KeeperClient(log);
  await t.rejects(client.state(), { code: 'keeper_absent' });
  await t.rejects(
    client.attach(join(folder(t), 'nobody.sock'), () => undefined),
    { code: 'keeper_absent' },
  );
  t.equal(client.pid, null);
  t.same(client.mechanisms(), []);
});

t.test('a second agent is refused', async (t) => {
  const { keeper, client, path } = await scene(t, false);
  keeper.answers.attach = () => 9;
  await t.rejects(
    client.attach(path, () => undefined),
    { code: 'agent_present' },
  );
});

t.test('a status of the keeper is the code of the error', async (t) => {
  const { keeper, client } = await scene(t);
  keeper.answers.cell_drop = () => 15;
  await t.rejects(client.drop(5n), { code: 'cell_unknown' });
});

t.test('a reply that breaks its format rejects', async (t) => {
  const { keeper, client } = await scene(t);
  keeper.answers.state = () => Buffer.from('short');
  await t.rejects(client.state(), { code: 'wire_malformed' });
});

t.test('hostile bytes close the connection, and whoever waits learns it', async (t) => {
  const { keeper, client, told } = await scene(t);
  const waiting = client.drop(1n);
  keeper.sendRaw(Buffer.alloc(64, 0xff));
  await t.rejects(waiting, { code: 'keeper_absent' });
  t.equal(client.pid, null);
  t.same(told.calls, ['attached 77', 'lost']);
});

t.test('silence ends by the deadline, and the late answer is dropped', async (t) => {
  const { keeper, path } = await scene(t, false);
  const connection = await KeeperConnection.open(path, { frame: () => undefined, closed: () => undefined });
  await t.rejects(connection.request('state', Buffer.alloc(0), 20), { code: 'deadline' });
  keeper.send({ message: 'state', id: 1n, isReply: true });
  keeper.answers.usage = () => Buffer.from('answer');
  t.equal((await connection.request('usage', Buffer.alloc(0), 1000)).toString(), 'answer');
  connection.close('done');
});

t.test('a secret that is handed in is wiped once it was sent', async (t) => {
  const { keeper, client } = await scene(t);
  const value = Buffer.alloc(32, 7);
  keeper.answers.cell_import = () => new WireWriter().u64(9).u32(0).bytes(null).done();
  const made = await client.importComponents(SECRET_KEY, [{ type: 0x11, value }]);
  t.same(made, { cell: 9n, components: [], blob: null });
  t.ok(value.equals(Buffer.alloc(32)));
  t.ok(keeper.sent.at(-1)?.body.includes(Buffer.alloc(32, 7)), 'and the keeper got it');
});

t.test('a list of several pages is asked for page by page', async (t) => {
  const { keeper, client } = await scene(t);
  keeper.answers.cell_list = ({ body }) => {
    const after = new WireReader(body).number();
    return new WireWriter()
      .u32(1)
      .u64(after + 1)
      .u64(0)
      .u64(0)
      .bytes(null)
      .u8(after < 2 ? 1 : 0)
      .done();
  };
  t.same(
    (await client.cells()).map(({ cell }) => cell),
    [1n, 2n, 3n],
  );
});

t.test('data above one frame goes in pieces, and the rest of a long plaintext is fetched', async (t) => {
  const { keeper, client } = await scene(t);
  const flags: number[] = [];
  keeper.answers.cell_operate = ({ body }) => {
    const flag = body.readUInt8(8);
    flags.push(flag);
    const length = flag & 2 ? LIMITS.dataMax : flag === 8 && flags.length < 6 ? 10 : 0;
    return new WireWriter().bytes(Buffer.alloc(length, 1)).done();
  };
  const plain = await client.operate(1n, 'decrypt', GCM, Buffer.alloc(2 * LIMITS.dataMax + 1));
  t.same(flags, [1, 0, 2, 8]);
  t.equal(plain.length, LIMITS.dataMax + 10);
});

t.test('what arrives while the agent learns the state is held, then handed over in order', async (t) => {
  const { keeper, client, told, path } = await scene(t, false);
  const known = Promise.withResolvers<void>();
  told.keeperAttached = async () => {
    keeper.send({ message: 'client_opened', id: 0n, body: openedBody(5) });
    keeper.send({ message: 'find', id: 1n, client: 5n });
    keeper.send({ message: 'client_closed', id: 0n, body: new WireWriter().u64(5).done() });
    await sleep(30);
    told.calls.push('attached');
    known.resolve();
  };
  told.clientOpened = async () => {
    await sleep(20);
    told.calls.push('opened');
  };
  told.handle = async ({ client: id, message }) => {
    told.calls.push(`${message} of ${id}`);
    return Buffer.from('found');
  };
  await client.attach(path, () => undefined);
  await known.promise;
  await until(() => told.calls.length === 4);
  t.strictSame([...told.calls].sort(), ['attached', 'closed 5', 'find of 5', 'opened']);
  t.strictSame(told.calls.slice(0, 2), ['attached', 'opened']);
  await until(() => keeper.sent.some(({ message, isReply }) => message === 'find' && isReply));
  t.match(keeper.sent.at(-1), { id: 1n, client: 5n, status: 0, body: Buffer.from('found') });
});

t.test('a refusal travels as its code, a fault of our own as internal without a word', async (t) => {
  const { keeper, told } = await scene(t);
  told.handle = async ({ id }) => {
    if (id === 1n) throw new SidekeyError('pin_incorrect', 'the PIN of token demo');
    throw new TypeError('the secret path');
  };
  keeper.send({ message: 'login', id: 1n, client: 5n });
  keeper.send({ message: 'login', id: 2n, client: 5n });
  await until(() => keeper.sent.filter(({ isReply }) => isReply).length === 2);
  const replies = keeper.sent.filter(({ isReply }) => isReply);
  t.strictSame(
    replies.map(({ id, status, body }) => [id, status, body.length]),
    [
      [1n, 54, 0],
      [2n, 1, 0],
    ],
  );
});

t.test('the link attaches again after the keeper died, and starts it when told to', async (t) => {
  const { keeper, client, told, path } = await scene(t, false);
  let starts = 0;
  const link = new KeeperLink({ client, control: path, start: () => void starts++, log });
  t.teardown(() => link.stop(false));
  link.start();
  await link.waitAttached(2000);
  keeper.drop();
  await until(() => told.calls.filter((call) => call === 'attached 77').length === 2);
  t.equal(starts, 0, 'it answered, so that none was started');
  keeper.close();
  await until(() => starts === 1);
});

t.test(
  'a keeper that ends before it was attached is followed by another at once, then by pauses that grow',
  async (t) => {
    const client = new KeeperClient(log);
    const startedAt: number[] = [];
    const start = (ended: (why: string) => void): void => {
      startedAt.push(performance.now());
      setImmediate(() => ended('exit code 71'));
    };
    const control = join(folder(t), 'nobody.sock');
    const link = new KeeperLink({ client, control, start, log, random: () => 0.5 });
    t.teardown(() => link.stop(false));
    link.start();
    for (let i = 0; i < 400 && startedAt.length < 7; i++) await sleep(10);
    const pauses = startedAt.slice(1).map((at, i) => at - (startedAt[i] ?? 0));
    t.ok((pauses[0] ?? Infinity) < 200, `the second came after ${pauses[0]} ms`);
    t.ok((pauses[5] ?? 0) >= 300, `the seventh ${pauses[5]} ms after the sixth`);
    t.match(link.fault, /exit code 71/);
  },
);

t.test('a keeper of the last release is attached in its version', async (t) => {
  const { keeper, client } = await scene(t, true, 1);
  t.equal(client.wire, 1);
  keeper.answers.client_list = () =>
    new WireWriter()
      .u32(1)
      .u64(5n)
      .u32(9)
      .u32(0)
      .u32(0)
      .u32(0)
      .text('old')
      .u8(1)
      .u32(0)
      .bytes(null)
      .u8(0)
      .done();
  const [seen] = await client.clients();
  t.match(seen, { client: 5n, program: 'old', ring: { shared: true } });
  t.equal(seen?.wire, undefined, 'it does not say which version a module speaks');
});

const GCM_ROW = (writer: WireWriter): WireWriter =>
  writer.u32(1).u64(GCM.type).text('CKM_AES_GCM').u64(0x1f).u64(0).u64(16).u64(32).u8(0);

/** Of operations at once: the data of each frame, and what the keeper answers to them. */
async function framesOf(t: Test, count: number, answer: (items: Buffer[]) => Buffer | number, wire?: number) {
  const path = join(folder(t), 'control.sock');
  const [keeper, client] = [new ScriptedKeeper(), new KeeperClient(log)];
  if (wire !== undefined) keeper.wire = wire;
  keeper.answers.mechanism_table = () => GCM_ROW(new WireWriter()).done();
  keeper.answers.cell_operate = () => new WireWriter().bytes(Buffer.from('alone')).done();
  keeper.answers.cell_operate_many = ({ body }) => {
    const reader = new WireReader(body);
    const items = Array.from({ length: reader.u32() }, () => Buffer.from(reader.bytes(LIMITS.bodyMax)));
    reader.end();
    return answer(items);
  };
  await keeper.listen(path);
  client.serve(new Told());
  t.teardown(() => keeper.close());
  await client.attach(path, () => undefined);
  const asked = Array.from({ length: count }, (_, i) =>
    client.operate(BigInt(i), 'encrypt', GCM, Buffer.alloc(100)),
  );
  const results = await Promise.all(
    asked.map((each) =>
      each.then(String, (error: unknown) => (error instanceof SidekeyError ? error.code : 'crashed')),
    ),
  );
  return {
    results,
    sent: keeper.sent.map(({ message }) => message).filter((name) => name.startsWith('cell_')),
  };
}

/** A cell's number as its output; those over 90 are unknown. */
function outcomesOf(items: Buffer[]): Buffer {
  const writer = new WireWriter().u32(items.length);
  for (const item of items) {
    const cell = item.readBigUInt64LE(0);
    if (cell > 90n) writer.u32(15);
    else writer.u32(0).text(String(cell));
  }
  return writer.done();
}

t.test('operations of one turn travel in one frame, and each has its own result', async (t) => {
  const { results, sent } = await framesOf(t, 100, outcomesOf);
  const numbers = Array.from({ length: 91 }, (_, i) => String(i));
  t.strictSame(results, [...numbers, ...Array.from({ length: 9 }, () => 'cell_unknown')]);
  t.strictSame(sent, ['cell_operate_many', 'cell_operate_many'], 'as many frames as the bound asks for');
});

t.test('what the keeper did not begin is sent again', async (t) => {
  const { results, sent } = await framesOf(t, 7, (items) => outcomesOf(items.slice(0, 3)));
  t.strictSame(results, ['0', '1', '2', '3', '4', '5', '6']);
  t.strictSame(sent, ['cell_operate_many', 'cell_operate_many', 'cell_operate_many']);
});

t.test('a keeper of the last release is sent each operation by itself', async (t) => {
  const { results, sent } = await framesOf(t, 3, () => 1, 1);
  t.strictSame(results, ['alone', 'alone', 'alone']);
  t.strictSame(sent, ['cell_operate', 'cell_operate', 'cell_operate']);
});

t.test('an answer that is none fails every operation of its frame, and the next are served', async (t) => {
  const broken = [
    Buffer.alloc(4),
    new WireWriter().u32(4).done(),
    new WireWriter().u32(3).u32(0).u32(9).done(),
  ];
  for (const answer of broken)
    t.strictSame((await framesOf(t, 3, () => answer)).results, [
      'wire_malformed',
      'wire_malformed',
      'wire_malformed',
    ]);
  t.strictSame(
    (await framesOf(t, 3, () => 3)).results,
    ['busy', 'busy', 'busy'],
    'so does a refusal of the whole',
  );
});

t.test(
  'keys are told to no stranger who has a socket where the keeper should',
  { skip: notRoot },
  async (t) => {
    const [dir, client] = [folder(t), new KeeperClient(log)];
    const path = join(dir, 'control.sock');
    chmodSync(dir, 0o777);
    const script = `require('net').createServer((s) => s.on('data', (d) => console.log('got', d.length))).listen(${JSON.stringify(path)}, () => console.log('up'))`;
    const stranger = spawn('/usr/bin/env', ['node', '-e', script], { uid: 65534, gid: 65534 });
    t.teardown(() => stranger.kill('SIGKILL'));
    let said = '';
    stranger.stdout.on('data', (text) => (said += String(text)));
    await once(stranger.stdout, 'data');
    client.serve(new Told());
    await t.rejects(
      client.attach(path, () => undefined),
      { code: 'socket_refused', message: /uid 65534/ },
    );
    await sleep(100);
    t.equal(said, 'up\n', 'not even a greeting');
  },
);
