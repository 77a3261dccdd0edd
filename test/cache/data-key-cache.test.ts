// The cache by a clock of its own: what it forgets, what it wipes, and how often it opens.
import { test } from 'tap';
import { DataKeyCache, type CacheName, type OpenCell } from '../../src/cache/data-key-cache.ts';

const LIMITS = { anyMs: 1000, unusedMs: 300 };
function nameOf(key: string): CacheName {
  return { key, token: 'alpha', handle: key.charCodeAt(0) };
}

function makeCache(max = 10) {
  const time = { now: 1000 };
  const dropped: bigint[] = [];
  const clock = { now: () => 0, monotonic: () => time.now };
  const cache = new DataKeyCache({ max, clock, drop: (cell) => void dropped.push(cell) });
  let next = 0n;
  const opens = { count: 0 };
  const open = async (): Promise<OpenCell> => {
    opens.count++;
    await Promise.resolve();
    return { cell: ++next, endsAt: time.now + LIMITS.anyMs };
  };
  const take = async (key: string): Promise<bigint> => (await cache.take(nameOf(key), LIMITS, open)).cell;
  return { time, dropped, cache, open, opens, take };
}

test('a failed opening fails all who wait, and is not remembered', async (t) => {
  const { cache, take } = makeCache();
  const fail = () => Promise.reject(new Error('no'));
  const asked = [1, 2, 3].map(() => cache.take(nameOf('k'), LIMITS, fail));
  for (const one of asked) await t.rejects(one, { message: 'no' });
  t.equal(await take('k'), 1n);
});

test('a hundred who ask at once get one opening', async (t) => {
  const { opens, take } = makeCache();
  const cells = await Promise.all(Array.from({ length: 100 }, () => take('k')));
  t.same(new Set(cells), new Set([1n]));
  t.equal(opens.count, 1);
});

test('a lease ends at its end however often it is used, an idle cell is wiped sooner', async (t) => {
  const { time, cache, dropped, take } = makeCache();
  await take('busy');
  await take('idle');
  for (let i = 0; i < 4; i++) {
    time.now += 240;
    t.equal(await take('busy'), 1n);
  }
  cache.sweep();
  t.same(dropped, [2n]);
  time.now += 50;
  t.equal(await take('busy'), 3n, 'after 1,010 ms it is another');
  t.same(dropped, [2n, 1n]);
});

test('what leaves for want of room is wiped; what the keeper ended is not wiped again', async (t) => {
  const { cache, dropped, take } = makeCache(2);
  for (const key of ['a', 'b', 'c']) await take(key);
  t.same(dropped, [1n]);
  t.equal(cache.cellEnded(2n), true);
  t.equal(cache.cellEnded(2n), false);
  t.same(dropped, [1n]);
  cache.forget('c');
  t.same(dropped, [1n, 3n]);
  await take('d');
  cache.clear();
  t.same(dropped, [1n, 3n], 'a new keeper has none of them');
});

test('an opening that was overtaken by forget is wiped and fails; the next one opens anew', async (t) => {
  const { cache, dropped, take } = makeCache();
  const slow = take('k');
  cache.forget('k');
  await t.rejects(slow, { code: 'cell_unknown' });
  t.same(dropped, [1n]);
  t.equal(await take('k'), 2n);
  const lost = take('other');
  cache.clear();
  await t.rejects(lost, { code: 'cell_unknown' });
  t.same(dropped, [1n], 'that cell went with its keeper');
});
