/** Requests of the agent's own APIs while a keeper is gone: they wait, are asked again, and give up after a time. */
import { test } from 'tap';
import { SidekeyError } from '../../src/errors.ts';
import { withPauses } from '../../src/tokens/keeper-pauses.ts';
import type { Outcome } from '../../src/tokens/ports.ts';
import type { NamedKey, TokenService } from '../../src/tokens/service.ts';
import { peerOf } from './rig.ts';

const absent = (): SidekeyError => new SidekeyError('keeper_absent', 'gone');
const [PEER, USE] = [
  peerOf(1, 2),
  { operation: 'sign', mechanism: { type: 1, params: Buffer.alloc(0) }, version: 1 } as const,
];
const DATA = Buffer.from('data');

/** `ends`: at which uses the keeper ends. It is back `pauseMs` later. */
function makeScene(ends: readonly number[], pauseMs = 100) {
  const seen = { now: 0, isAttached: true, uses: 0, waits: 0 };
  const wait = async (timeoutMs: number): Promise<void> => {
    seen.waits += 1;
    seen.now += Math.min(pauseMs, timeoutMs);
    if (pauseMs > timeoutMs) throw absent();
    seen.isAttached = true;
  };
  const meet = (): void => {
    seen.uses += 1;
    if (!seen.isAttached) throw absent();
    if (!ends.includes(seen.uses)) return;
    seen.isAttached = false;
    throw absent();
  };
  const tokens = {
    operateNamedKey: async () => (meet(), Buffer.from('output')),
    rotateNamedKey: async () => meet(),
    deleteNamedKey: async () => meet(),
  } as unknown as TokenService;
  const attachment = { isAttached: () => seen.isAttached, wait, monotonic: () => seen.now };
  return { seen, tokens, service: () => withPauses(tokens, attachment) };
}

test('a use that falls between two keepers waits, and one that was broken off is asked again', async (t) => {
  const { seen, service } = makeScene([2, 3]);
  const use = () => service().operateNamedKey(PEER, 'main', 'k', USE, DATA);
  t.equal(String(await use()), 'output');
  t.equal(seen.waits, 0);
  t.equal(String(await use()), 'output');
  t.strictSame([seen.uses, seen.waits], [4, 2], 'twice');
  seen.isAttached = false;
  await use();
  t.strictSame([seen.uses, seen.waits], [5, 3], 'before it is asked');
});

test('it waits as long as a module does, in all, and then says that there is no keeper', async (t) => {
  const { seen, service } = makeScene(
    Array.from({ length: 100 }, (_, i) => i + 1),
    4000,
  );
  await t.rejects(service().operateNamedKey(PEER, 'main', 'k', USE, DATA), { code: 'keeper_absent' });
  t.equal(seen.now, 10_000);
});

test('a keeper that ends at each use is not asked for ever', async (t) => {
  const { seen, service } = makeScene(
    Array.from({ length: 100 }, (_, i) => i + 1),
    1,
  );
  await t.rejects(service().operateNamedKey(PEER, 'main', 'k', USE, DATA), { code: 'keeper_absent' });
  t.equal(seen.uses, 8);
});

test('a key is made again; other changes wait, and are begun once', async (t) => {
  const { seen, service } = makeScene([1, 3]);
  await service().rotateNamedKey(PEER, 'main', 'k');
  t.equal(seen.uses, 2);
  await t.rejects(service().deleteNamedKey(PEER, 'main', 'k'), { code: 'keeper_absent' });
  t.equal(seen.uses, 3);
  await service().deleteNamedKey(PEER, 'main', 'k');
  t.equal(seen.uses, 4);
});

test('a key whose token key was wiped meanwhile is made again', async (t) => {
  const { seen, tokens, service } = makeScene([]);
  let ends = 3;
  tokens.rotateNamedKey = async () => {
    seen.uses += 1;
    if (ends-- > 0) throw new SidekeyError('cell_unknown', 'gone');
    return {} as NamedKey;
  };
  t.ok(await service().rotateNamedKey(PEER, 'main', 'k'));
  t.strictSame([seen.uses, seen.waits], [4, 0]);
});

test('other failures are answered at once', async (t) => {
  const { tokens, service } = makeScene([]);
  let uses = 0;
  tokens.operateNamedKey = () => {
    uses += 1;
    return Promise.reject(new SidekeyError('data_invalid', 'bad'));
  };
  await t.rejects(service().operateNamedKey(PEER, 'main', 'k', USE, DATA), { code: 'data_invalid' });
  t.equal(uses, 1);
});

test('a batch of which some had no keeper is asked again as a whole, and what came out is wiped', async (t) => {
  const { tokens, service } = makeScene([]);
  const first: Outcome[] = [Buffer.from('plain'), absent()];
  const second: Outcome[] = [Buffer.from('plain'), new SidekeyError('data_invalid', 'bad')];
  const answers = [first, second];
  tokens.operateNamedKeys = async () => answers.shift() ?? [];
  t.equal(await service().operateNamedKeys(PEER, 'main', 'k', []), second);
  t.strictSame(first[0], Buffer.alloc(5));
});
