import t from 'tap';
import { decodeHostileBytes, mutate, readCorpus } from './agent-decoder.ts';

t.test('every seed is answered by values or a refusal', async (t) => {
  const corpus = readCorpus();
  t.ok(corpus.length >= 8);
  for (const seed of corpus) for (const step of [1, 7, 65536]) decodeHostileBytes(seed, step);
});

t.test('and so are mutations of it', async (t) => {
  for (const seed of readCorpus())
    for (let i = 0; i < 500; i++) decodeHostileBytes(mutate(seed), 1 + (i % 50));
  t.pass('nothing else was thrown');
});
