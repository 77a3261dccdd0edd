// Which requests of the keeper are timed, and under which path: a binding that was missing, and the last part of a resident operation.
import { test } from 'tap';
import { SidekeyError } from '../../src/errors.ts';
import type { OperationSeen } from '../../src/metrics/operation-seen.ts';
import type { Peer } from '../../src/access/peer.ts';
import { observeMisses, observeNamedKeys } from '../../src/metrics/observed-tokens.ts';
import type { RoutedRequest, TokenService } from '../../src/tokens/service.ts';
import { OPERATE } from '../../src/wire/tables.ts';
import { noncedOf } from '../tokens/nonced-items.ts';

const SERVICE_MS = 40;

function makeDoor() {
  let now = 0;
  const seen: [string, number][] = [];
  const handle = async ({ body }: RoutedRequest): Promise<Buffer> => {
    now += SERVICE_MS;
    if (body.length > 9) throw new SidekeyError('provider_unreachable', 'the service is down');
    return Buffer.from('done');
  };
  const tokens = { handle } as unknown as TokenService;
  const observed = observeMisses(tokens, (path, seconds) => seen.push([path, seconds]), {
    monotonic: () => now,
  });
  const ask = (message: RoutedRequest['message'], body: Buffer): Promise<Buffer> =>
    observed.handle({ message, body } as RoutedRequest) as Promise<Buffer>;
  return { ask, seen };
}

test('a miss, and the part of a resident operation that asks the service', async (t) => {
  const { ask, seen } = makeDoor();
  await ask('resolve', Buffer.alloc(1));
  await ask('resident_operate', Buffer.of(OPERATE.final));
  t.strictSame(seen, [
    ['miss', SERVICE_MS / 1000],
    ['resident', SERVICE_MS / 1000],
  ]);
});

test('parts that are only gathered, and everything else, are not timed', async (t) => {
  const { ask, seen } = makeDoor();
  await ask('resident_operate', Buffer.of(0));
  await ask('resident_operate', Buffer.alloc(0));
  await ask('find', Buffer.alloc(1));
  t.strictSame(seen, []);
});

test('one that fails took its time too', async (t) => {
  const { ask, seen } = makeDoor();
  await t.rejects(ask('resident_operate', Buffer.concat([Buffer.of(OPERATE.final), Buffer.alloc(9)])), {
    code: 'provider_unreachable',
  });
  t.strictSame(seen, [['resident', SERVICE_MS / 1000]]);
});

test('many uses at once are one observation for each way in which they ended', async (t) => {
  const seen: OperationSeen[] = [];
  const outcomes = [Buffer.alloc(1), new SidekeyError('data_invalid', 'bad'), Buffer.alloc(1)];
  const tokens = { operateNamedKeys: async () => outcomes } as unknown as TokenService;
  const door = observeNamedKeys(tokens, 'http', (each) => seen.push(each), { monotonic: () => 0 });
  const use = { operation: 'encrypt', mechanism: { type: 1, params: Buffer.alloc(0) }, version: 1 } as const;
  const items = [10, 20, 30].map((length) => ({ use, data: Buffer.alloc(length) }));
  t.equal(await door.operateNamedKeys({ uid: 7 } as Peer, 'main', 'orders', items), outcomes);
  const common = { peer: 'http', uid: 7, token: 'main', key: 'orders', operation: 'encrypt', seconds: 0 };
  t.same(seen, [
    { ...common, result: 'ok', times: 2, bytes: 40 },
    { ...common, result: 'data_invalid', times: 1, bytes: 20 },
  ]);
});

test('a batch that comes about at once is observed, and one that does not is left to its next way', (t) => {
  const seen: OperationSeen[] = [];
  const items = noncedOf([10, 20].map((bytes) => [Buffer.alloc(12), Buffer.alloc(bytes)]));
  let outputs: Buffer[] | null = [Buffer.alloc(1), Buffer.alloc(1)];
  const operateNamedKeyAtOnce: TokenService['operateNamedKeyAtOnce'] = (_peer, _token, _key, _use, asked) => {
    const room = Buffer.alloc(100);
    t.same(
      [asked.count, asked.write(0, room, 3), asked.write(1, room, 90), asked.write(1, room, 3)],
      [2, 25, null, 35],
    );
    return outputs;
  };
  const tokens = { operateNamedKeyAtOnce } as unknown as TokenService;
  const door = observeNamedKeys(tokens, 'http', (each) => seen.push(each), { monotonic: () => 0 });
  const use = { operation: 'encrypt', mechanism: { type: 1, params: Buffer.alloc(0) }, version: 1 } as const;
  const ask = () => door.operateNamedKeyAtOnce({ uid: 7 } as Peer, 'main', 'orders', use, items);
  t.equal(ask(), outputs);
  outputs = null;
  t.equal(ask(), null);
  const common = { peer: 'http', uid: 7, token: 'main', key: 'orders', operation: 'encrypt', seconds: 0 };
  t.same(seen, [{ ...common, result: 'ok', times: 2, bytes: 30 }]);
  t.end();
});
