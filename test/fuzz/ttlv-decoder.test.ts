import t from 'tap';
import { decodeHostileMessage, fuzz, readSeeds } from './ttlv-decoder.ts';

t.test('every seed is answered by an item or a refusal', async (t) => {
  const seeds = readSeeds();
  t.ok(seeds.length >= 8);
  for (const seed of seeds) decodeHostileMessage(seed);
});

t.test('and so are thirty thousand mutations', async (t) => {
  fuzz(30_000);
  t.pass('nothing else was thrown');
});
