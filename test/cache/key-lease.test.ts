/** The lease of a token key on a clock that stands still; what it does with a real keeper and service is in test/tokens. */
import { test } from 'tap';
import type { LeaseReason } from '../../src/cache/cache-observer.ts';
import { KeyLease } from '../../src/cache/key-lease.ts';
import type { CellId } from '../../src/tokens/ports.ts';
import { SimulatedTime } from './simulated-time.ts';

const MINUTE = 60_000;

/** A service that takes `callMs` for each opening. */
function leaseOf(callMs: number) {
  const time = new SimulatedTime();
  const granted: LeaseReason[] = [];
  const dropped: CellId[] = [];
  let cells = 0n;
  const lease = new KeyLease({
    limits: () => ({ anyMs: MINUTE, unusedMs: 60 * MINUTE, offlineMs: 0, uses: null }),
    longestMs: () => MINUTE,
    open: async () => {
      await time.sleep(callMs);
      return ++cells;
    },
    drop: (cell) => void dropped.push(cell),
    granted: (reason) => void granted.push(reason),
    ended: () => undefined,
    clock: time,
    timer: time.timer,
    random: () => 0.5,
  });
  return { lease, time, granted, dropped };
}

// The service may have been asked to say no right after it was asked for the key, however long its answer took.
test('a lease counts from before the call to the service', async (t) => {
  const { lease, time } = leaseOf(5000);
  const askedAt = time.monotonic();
  const opening = lease.take();
  await time.advance(5000);
  t.equal((await opening).endsAt, askedAt + MINUTE);
  t.equal(lease.endsAt, askedAt + MINUTE);
});

test('whoever asks meanwhile waits for the same call', async (t) => {
  const { lease, time, granted } = leaseOf(5000);
  const both = Promise.all([lease.take(), lease.take()]);
  await time.advance(5000);
  const [one, other] = await both;
  t.same(one, other);
  t.same(granted, ['asked']);
});

test('a slow service is asked so early that a key in use never waits for it', async (t) => {
  const { lease, time, granted, dropped } = leaseOf(5000);
  const opening = lease.take();
  await time.advance(5000);
  const { cell } = await opening;
  await time.advance(MINUTE - 5000 - 1);
  t.same(granted, ['asked', 'refresh']);
  t.not((await lease.take()).cell, cell);
  t.same(dropped, [], 'what was opened with the former cell may still be on its way');
  await time.advance(16_000);
  t.same(dropped, [cell]);
});
