/** Base64 is taken exactly where encoding what was decoded gives the same text. */
import { randomBytes } from 'node:crypto';
import { test } from 'tap';
import { readBase64, writeDecoded } from '../../src/api/base64.ts';
import { makeRandom } from './hot/raw-requests.ts';

function isCanonical(text: string): boolean {
  return Buffer.from(text, 'base64').toString('base64') === text;
}

test('texts that were encoded, mutated and made up are judged as by encoding them again', async (t) => {
  const random = makeRandom(64);
  const letters = 'AQgwEIMUYckos048Zz9+/=-_ \n\0é€=';
  let good = 0;
  for (let i = 0; i < 200_000; i++) {
    const text = [...randomBytes(random(12)).toString('base64')];
    for (let changes = random(3); changes > 0; changes--)
      text.splice(random(text.length + 1), random(2), letters.charAt(random(letters.length)));
    const whole = text.join('');
    const read = readBase64(whole);
    if (isCanonical(whole)) good++;
    if ((read !== null) !== isCanonical(whole)) t.fail(JSON.stringify(whole));
  }
  t.ok(good > 10_000, `${good} were good`);
});

test('a letter of another script is none of the alphabet, whatever its low byte is', (t) => {
  for (const text of ['\u0141AAA', '\u0141'.repeat(4), 'AA\u0141=', 'A\u012bAA', 'A\u012fAA'])
    t.equal(readBase64(text), null, encodeURI(text));
  t.end();
});

test('bytes are written where they are wanted, and nowhere else', (t) => {
  const into = Buffer.alloc(8, 0xff);
  t.equal(writeDecoded('aGVsbG8=', into, 2), 7);
  t.strictSame(into.toString('latin1'), '\xff\xffhello\xff');
  t.equal(writeDecoded('', into, 8), 8);
  t.equal(writeDecoded('aGVsbG8=', into, 3), 8);
  for (const text of ['aGVsbG8', 'aGVsbG9=', 'aGVs bG8=', 'AAAA\u0141AAA', '====', '_-__'])
    t.equal(writeDecoded(text, into, 0), null, text);
  t.equal(writeDecoded('aGVsbG8=', into, 4), null, 'there is no room');
  t.strictSame(into.toString('latin1', 3), 'hello', 'and then nothing is written');
  t.end();
});
