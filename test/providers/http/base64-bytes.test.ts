import { randomBytes } from 'node:crypto';
import t from 'tap';
import { decodeBase64, encodeBase64 } from '../../../src/providers/http/base64-bytes.ts';
import { jsonWithSecret, takeSecret } from '../../../src/providers/http/json-secret.ts';

t.test("bytes become what Buffer's own codec makes of them, and come back", async (t) => {
  for (let length = 0; length < 70; length++) {
    const bytes = randomBytes(length);
    const [standard, url] = [encodeBase64(bytes, 'standard'), encodeBase64(bytes, 'url')];
    if (standard.toString() !== bytes.toString('base64')) t.fail(`${length} bytes`);
    if (url.toString() !== bytes.toString('base64url')) t.fail(`${length} bytes, url`);
    if (!decodeBase64(standard)?.equals(bytes)) t.fail(`${length} bytes back`);
    if (!decodeBase64(url)?.equals(bytes)) t.fail(`${length} bytes back, url`);
  }
});

t.test('what is no base64 is refused', async (t) => {
  for (const text of ['A', 'AAAAA', 'AA*A', 'AA\n=', '====', 'A===', 'AA=A', 'é'])
    t.equal(decodeBase64(Buffer.from(text)), null, text);
});

const SECRET = Buffer.from('the data key').toString('base64');

t.test('a field is taken out of a body, and blanks stay', async (t) => {
  const bodies = [
    `{"data":{"plaintext":"${SECRET}"}}`,
    ` { "a" : [1,{"data":{"plaintext":"x"}},"]\\"}"] , "data" : { "n": -1.5e3, "z":null, "plaintext" : "${SECRET}" } } `,
    `{"data":{"plain":"q","plaintext":"${SECRET.replaceAll('=', '\\u003d')}"}}`,
  ];
  for (const text of bodies) {
    const body = Buffer.from(text);
    t.equal(takeSecret(body, ['data', 'plaintext'])?.toString(), 'the data key', text);
    t.notMatch(body.toString(), SECRET);
    t.doesNotThrow(() => JSON.parse(body.toString()), 'it is still JSON');
  }
});

t.test('a body without the field gives nothing', async (t) => {
  const bodies = [
    '',
    '{',
    '[]',
    '{}',
    '{"data":{"plaintext":1}}',
    '{"data":{"plaintext":"AA',
    '{"data":[]}',
    '{"data":{"plaintext":"*"}}',
  ];
  for (const text of [...bodies, '{"data"', '{"data":{"a":{"plaintext":"AAAA"}}}', '{"a":'.repeat(10_000)])
    t.equal(takeSecret(Buffer.from(text), ['data', 'plaintext']), null, text.slice(0, 40));
});

t.test('a secret goes into a body as bytes', async (t) => {
  for (const others of [{}, { context: 'a"b', n: 1 }]) {
    const body = jsonWithSecret(others, 'plaintext', Buffer.from('AAAA'));
    t.strictSame(JSON.parse(body.toString()), { plaintext: 'AAAA', ...others });
  }
});
