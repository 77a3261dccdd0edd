/** Searches for primes take turns: one worker stays free, and who waits too long is told so. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { Searches } from '../../src/keeper/searches.ts';

/** A search that ends when it is told. */
function search(): { run: () => Promise<string>; end: (value: string) => void; started: () => boolean } {
  let began = false;
  let finish: (value: string) => void = () => undefined;
  const done = new Promise<string>((resolve) => (finish = resolve));
  const run = () => {
    began = true;
    return done;
  };
  return { run, end: (value) => finish(value), started: () => began };
}

t.test('so many at once, the others in their turn', async (t) => {
  const searches = new Searches(10_000, 2);
  const three = [search(), search(), search()] as const;
  const results = three.map(({ run }) => searches.run(run));
  await sleep(0);
  t.same(
    three.map(({ started }) => started()),
    [true, true, false],
  );
  three[1].end('second');
  t.equal(await results[1], 'second');
  await sleep(0);
  t.ok(three[2].started());
  three[0].end('first');
  three[2].end('third');
  t.same(await Promise.all(results), ['first', 'second', 'third']);
});

t.test('one that fails makes room as well', async (t) => {
  const searches = new Searches(10_000, 1);
  await t.rejects(
    searches.run(() => Promise.reject(new Error('no prime'))),
    { message: 'no prime' },
  );
  t.equal(await searches.run(() => Promise.resolve(1)), 1);
});

t.test('who waits gives up at its deadline, and too many are refused', async (t) => {
  const searches = new Searches(30, 1);
  const first = search();
  const running = searches.run(first.run);
  const late = search();
  const waiting = Array.from({ length: 64 }, () => searches.run(late.run));
  const ended = Promise.allSettled(waiting);
  await t.rejects(searches.run(late.run), { code: 'busy' });
  for (const result of await ended)
    t.equal(result.status === 'rejected' && (result.reason as { code: string }).code, 'deadline');
  t.notOk(late.started(), 'none of them ran');
  first.end('done');
  t.equal(await running, 'done');
  t.equal(await searches.run(() => Promise.resolve('next')), 'next');
});
