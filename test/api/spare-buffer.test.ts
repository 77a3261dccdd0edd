/** Memory that is used again is used by one at a time. */
import { test } from 'tap';
import { SpareBuffer } from '../../src/api/spare-buffer.ts';

test('what was given back serves the next, whoever comes meanwhile gets memory of its own', (t) => {
  const spare = new SpareBuffer();
  const first = spare.take(10);
  const second = spare.take(10);
  t.not(first, second);
  spare.giveBack(first);
  spare.giveBack(second);
  t.equal(spare.take(10), first);
  t.not(spare.take(10), first);
  t.end();
});

test('one that is too short is left, and the longer one kept, up to a bound', (t) => {
  const spare = new SpareBuffer();
  const short = spare.take(10);
  spare.giveBack(short);
  const long = spare.take(short.length + 1);
  t.ok(long.length > short.length);
  spare.giveBack(long);
  t.equal(spare.take(10), long);
  spare.giveBack(Buffer.alloc(1024 * 1024));
  t.not(spare.take(10).length, 1024 * 1024);
  t.end();
});
