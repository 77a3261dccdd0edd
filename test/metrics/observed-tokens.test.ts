// Which requests of the keeper are timed, and under which path: a binding that was missing, and the last part of a resident operation.
import { test } from 'tap';
import { SidekeyError } from '../../src/errors.ts';
import { observeMisses } from '../../src/metrics/observed-tokens.ts';
import type { RoutedRequest, TokenService } from '../../src/tokens/service.ts';
import { OPERATE } from '../../src/wire/tables.ts';

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
