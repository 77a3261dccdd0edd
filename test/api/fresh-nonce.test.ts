// Nonces are drawn many at once, never used twice, and none is taken from a draw that is over a millisecond old.
import { randomFillSync } from 'node:crypto';
import { test } from 'tap';
import { Nonces } from '../../src/api/fresh-nonce.ts';

test('no nonce comes twice, whether time stands still or goes on', (t) => {
  let now = 0;
  const nonces = new Nonces(() => now);
  const seen = new Set<string>();
  for (let n = 0; n < 20_000; n++) {
    const { bytes, base64 } = nonces.fresh();
    seen.add(bytes.toString('hex'));
    if (bytes.length !== 12 || base64 !== bytes.toString('base64'))
      t.fail(`${base64} is not ${bytes.length} bytes`);
    if (n > 10_000) now += 0.3;
  }
  t.equal(seen.size, 20_000);
  t.end();
});

test('a nonce stays what it is while others are drawn', (t) => {
  let now = 0;
  const nonces = new Nonces(() => now);
  const first = nonces.fresh();
  now += 10;
  for (let n = 0; n < 300; n++) nonces.fresh();
  t.equal(first.bytes.toString('base64'), first.base64);
  t.end();
});

test('what is left of a draw is dropped after a millisecond', (t) => {
  let [now, draws] = [0, 0];
  const nonces = new Nonces(
    () => now,
    (bytes) => {
      draws += 1;
      return randomFillSync(bytes);
    },
  );
  for (const [at, wanted] of [
    [0, 1],
    [1, 1],
    [1.5, 2],
    [2.5, 2],
    [2.6, 3],
  ] as const) {
    now = at;
    nonces.fresh();
    t.equal(draws, wanted, `at ${at} ms`);
  }
  t.end();
});
