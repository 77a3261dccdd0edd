/** A body that is read by its quotes says what JSON.parse would read, and what JSON.parse refuses is not read. */
import { test } from 'tap';
import { readBase64 } from '../../../src/api/base64.ts';
import { readPlainBody } from '../../../src/api/hot/plain-body.ts';
import { makeRandom } from './raw-requests.ts';

/** What JSON.parse makes of it: the texts, if it is nothing but these. */
function parsed(body: string): { isBatch: boolean; texts: unknown[] } | null {
  try {
    const value = JSON.parse(body) as { plaintext?: unknown; batch_input?: { plaintext: unknown }[] };
    const [name, ...others] = Object.keys(value);
    if (others.length > 0) return null;
    if (name === 'plaintext') return { isBatch: false, texts: [value.plaintext] };
    const items = value.batch_input ?? [];
    if (!items.every((item) => Object.keys(item).join() === 'plaintext')) return null;
    return { isBatch: true, texts: items.map(({ plaintext }) => plaintext) };
  } catch {
    return null;
  }
}

/** As plain-cipher.ts does: null where a text is not base64. */
function read(body: string): { isBatch: boolean; texts: string[] } | null {
  const bytes = Buffer.from(body);
  const plain = readPlainBody(bytes, 'plaintext', 100);
  if (plain === null) return null;
  return plain.texts.every((text) => readBase64(text) !== null)
    ? { isBatch: plain.isBatch, texts: [...plain.texts] }
    : null;
}

const PLAIN = [
  '{"plaintext":"aGVsbG8="}',
  '{"plaintext": "aGVsbG8="}',
  '{"plaintext":""}',
  '{"batch_input":[{"plaintext":"aGVsbG8="}]}',
  '{"batch_input": [{"plaintext": "aGVsbG8="}, {"plaintext": "AAAA"}, {"plaintext": ""}]}',
] as const;

test('the forms that programs write are read', (t) => {
  for (const body of PLAIN) t.same(read(body), parsed(body), body);
  t.end();
});

test('bodies that were changed anywhere are read as JSON.parse reads them, or not at all', (t) => {
  const random = makeRandom(6);
  const pieces = [
    ...'{}[]":, \\A=\n0',
    '"plaintext":',
    '{"plaintext":"AAAA"}',
    ',',
    '\\u0041',
    'é',
    '"x":1,',
  ];
  let good = 0;
  for (let i = 0; i < 200_000; i++) {
    let body: string = PLAIN[random(PLAIN.length)] ?? '';
    for (let changes = random(3); changes > 0; changes--) {
      const at = random(body.length + 1);
      body = body.slice(0, at) + (pieces[random(pieces.length)] ?? '') + body.slice(at + random(3));
    }
    const found = read(body);
    if (found === null) continue;
    good++;
    if (JSON.stringify(found) !== JSON.stringify(parsed(body))) t.fail(JSON.stringify(body));
  }
  t.ok(good > 50_000, `${good} were read`);
  t.end();
});

test('a batch of more items than asked for is left to JSON.parse', (t) => {
  const batch = (items: number): Buffer =>
    Buffer.from(JSON.stringify({ batch_input: Array.from({ length: items }, () => ({ plaintext: '' })) }));
  t.equal(readPlainBody(batch(3), 'plaintext', 3)?.texts.length, 3);
  t.equal(readPlainBody(batch(4), 'plaintext', 3), null);
  t.equal(readPlainBody(batch(0), 'plaintext', 3), null);
  t.end();
});
