import { randomBytes } from 'node:crypto';
import { test } from 'tap';
import { PinMemo } from '../../../src/tokens/login/pin-memo.ts';

function memoAt(): { memo: PinMemo; clock: { time: number; now: () => number; monotonic: () => number } } {
  const clock = { time: 1000, now: () => clock.time, monotonic: () => clock.time };
  return { memo: new PinMemo(randomBytes, clock), clock };
}

const PIN = Buffer.from('123456');

test('nothing is known before it was right once, nor under another record, nor another PIN', async (t) => {
  const { memo } = memoAt();
  t.notOk(memo.knows(PIN, 'record'));
  memo.remember(PIN, 'record');
  t.ok(memo.knows(PIN, 'record'));
  t.notOk(memo.knows(PIN, 'record of the PIN that came after'));
  t.notOk(memo.knows(Buffer.from('123457'), 'record'));
  t.notOk(memo.knows(Buffer.alloc(0), 'record'));
});

test('after a quarter of an hour it is forgotten', async (t) => {
  const { memo, clock } = memoAt();
  memo.remember(PIN, 'record');
  clock.time += 15 * 60_000 - 1;
  t.ok(memo.knows(PIN, 'record'));
  clock.time += 2;
  t.notOk(memo.knows(PIN, 'record'));
});
