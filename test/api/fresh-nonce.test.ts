// Nonces are drawn many at once and never used twice, neither within a turn of the event loop nor over many.
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'tap';
import { freshNonce } from '../../src/api/fresh-nonce.ts';

test('no nonce comes twice', async (t) => {
  const seen = new Set<string>();
  const held: Buffer[] = [];
  for (let round = 0; round < 200; round++) {
    for (let n = 0; n < 100; n++) held.push(freshNonce());
    if (round % 2 === 0) await turn();
  }
  for (const nonce of held) seen.add(nonce.toString('hex'));
  t.equal(seen.size, held.length);
  t.ok(held.every((nonce) => nonce.length === 12));
});
