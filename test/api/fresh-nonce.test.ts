// Nonces are drawn many at once and never used twice, neither within a turn of the event loop nor over many.
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'tap';
import { freshNonce, type Nonce } from '../../src/api/fresh-nonce.ts';

test('no nonce comes twice', async (t) => {
  const seen = new Set<string>();
  const held: Nonce[] = [];
  for (let round = 0; round < 200; round++) {
    for (let n = 0; n < 100; n++) held.push(freshNonce());
    if (round % 2 === 0) await turn();
  }
  for (const { bytes } of held) seen.add(bytes.toString('hex'));
  t.equal(seen.size, held.length);
  t.ok(held.every(({ bytes }) => bytes.length === 12));
  t.ok(held.every(({ bytes, base64 }) => base64 === bytes.toString('base64')));
});
