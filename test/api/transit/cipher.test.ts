import { createDecipheriv } from 'node:crypto';
import { test } from 'tap';
import { base64, startApi } from '../api-under-test.ts';

test('a plaintext comes back from its ciphertext, which is nonce, ciphertext and tag', async (t) => {
  const { request, tokens } = await startApi(t);
  await request('POST', '/v1/transit/keys/k', { type: 'aes128-gcm96' });
  const sealed = await request('POST', '/v1/transit/encrypt/k', {
    plaintext: base64('hello'),
    associated_data: base64('where'),
  });
  t.equal(sealed.status, 200);
  t.equal(sealed.data['key_version'], 1);
  const ciphertext = String(sealed.data['ciphertext']);
  t.match(ciphertext, /^vault:v1:/);

  const message = Buffer.from(ciphertext.slice('vault:v1:'.length), 'base64');
  const key = tokens.held.get('main/k');
  if (key === undefined) throw new Error('no key');
  const decipher = createDecipheriv('aes-128-gcm', key.secret, message.subarray(0, 12));
  decipher.setAAD(Buffer.from('where')).setAuthTag(message.subarray(-16));
  t.equal(decipher.update(message.subarray(12, -16)).toString() + decipher.final().toString(), 'hello');

  const opened = await request('PUT', '/v1/transit/decrypt/k', {
    ciphertext,
    associated_data: base64('where'),
  });
  t.strictSame([opened.status, opened.data], [200, { plaintext: base64('hello') }]);
});

test('what a batch in the plainest form encrypted comes back in order, one by one or in a batch', async (t) => {
  const { request } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  const texts = Array.from({ length: 100 }, (_, i) => base64(Buffer.alloc(i * 7, i)));
  const batch_input = texts.map((plaintext) => ({ plaintext }));
  const sealed = await request('POST', '/v1/transit/encrypt/k', { batch_input });
  const rows = sealed.data['batch_results'] as {
    ciphertext: string;
    key_version: number;
    reference: string;
  }[];
  t.same(
    rows.map((row) => ({ ...row, ciphertext: row.ciphertext.slice(0, 9) })),
    texts.map(() => ({ ciphertext: 'vault:v1:', key_version: 1, reference: '' })),
  );
  const asked = rows.map(({ ciphertext }) => ({ ciphertext }));
  const opened = await request('POST', '/v1/transit/decrypt/k', { batch_input: asked });
  t.same(
    opened.data['batch_results'],
    texts.map((plaintext) => ({ plaintext, reference: '' })),
  );
  for (const at of [0, 1, 99]) {
    const one = await request('POST', '/v1/transit/decrypt/k', asked[at]);
    t.strictSame(one.data, { plaintext: texts[at] });
  }
  const broken = asked.map((each, i) =>
    i === 50 ? { ciphertext: `${each.ciphertext.slice(0, -8)}AAAAAAA=` } : each,
  );
  const partly = await request('POST', '/v1/transit/decrypt/k', { batch_input: broken });
  t.equal(partly.status, 400);
  const shown = partly.data['batch_results'] as { plaintext: string; error?: string }[];
  t.same(
    shown.flatMap(({ error }, i) => (error === undefined ? [] : [i])),
    [50],
  );
});

test('a batch in the plainest form is answered at once, and in the same words as item by item', async (t) => {
  const { request, tokens } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  const batch_input = Array.from({ length: 256 }, (_, i) => ({ plaintext: base64(Buffer.alloc(i % 70, i)) }));
  const texts: string[] = [];
  for (const refusesAtOnce of [false, true]) {
    tokens.refusesAtOnce = refusesAtOnce;
    const sealed = await request('POST', '/v1/transit/encrypt/k', { batch_input });
    const rows = sealed.data['batch_results'] as { ciphertext: string }[];
    const asked = rows.map(({ ciphertext }) => ({ ciphertext }));
    const opened = await request('POST', '/v1/transit/decrypt/k', { batch_input: asked });
    const ids = / *"request_id":"[^"]*"/;
    t.match(sealed.text, ids);
    texts.push(sealed.text.replace(ids, '').replace(/v1:[\w+/=]*/g, ''), opened.text.replace(ids, ''));
    t.equal(new Set(rows.map(({ ciphertext }) => ciphertext.slice(0, 25))).size, 256, 'each has a nonce');
    const one = await request('POST', '/v1/transit/decrypt/k', asked[77]);
    t.strictSame(one.data, { plaintext: batch_input[77]?.plaintext });
  }
  t.strictSame(texts.slice(0, 2), texts.slice(2));
  t.equal(tokens.batchesAtOnce, 2);
});

test('of a batch that was answered at once no plaintext stays behind', async (t) => {
  const { request, tokens } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  const batch_input = [{ plaintext: base64('not for long') }, { plaintext: base64('nor this') }];
  const sealed = await request('POST', '/v1/transit/encrypt/k', { batch_input });
  tokens.seenAtOnce.splice(0);
  const rows = sealed.data['batch_results'] as { ciphertext: string }[];
  const asked = { batch_input: rows.map(({ ciphertext }) => ({ ciphertext })) };
  t.equal((await request('POST', '/v1/transit/decrypt/k', asked)).status, 200);
  t.equal(tokens.seenAtOnce.length, 2);
  for (const bytes of tokens.seenAtOnce) t.strictSame(bytes, Buffer.alloc(bytes.length));
});

test('a batch with an item that is not valid is answered item by item, as JSON of any other form is', async (t) => {
  const { request, tokens } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  const sealed = await request('POST', '/v1/transit/encrypt/k', {
    batch_input: [{ plaintext: base64('a') }, { plaintext: base64('b') }],
  });
  const [a = '', b = ''] = (sealed.data['batch_results'] as { ciphertext: string }[]).map(
    ({ ciphertext }) => ciphertext,
  );
  const short = 'vault:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=';
  const before = tokens.batchesAtOnce;
  const bads = ['', 'vault:v1:', short, `${b}=`, `${b} `, b.replace('v1', 'v2'), b.slice(9)];
  for (const bad of bads) {
    for (const texts of [
      [a, bad],
      [bad, a],
    ]) {
      const body = { batch_input: texts.map((ciphertext) => ({ ciphertext })) };
      const answer = await request('POST', '/v1/transit/decrypt/k', body);
      const rows = answer.data['batch_results'] as { plaintext: string; error?: string }[];
      const good = rows[texts.indexOf(a)];
      t.strictSame([answer.status, good], [400, { plaintext: base64('a'), reference: '' }], bad);
      t.ok(rows[texts.indexOf(bad)]?.error, bad);
    }
  }
  for (const texts of [
    [a, b.replace('v1', 'v01')],
    [b.replace('v1', 'v01'), a],
  ]) {
    const body = { batch_input: texts.map((ciphertext) => ({ ciphertext })) };
    t.equal((await request('POST', '/v1/transit/decrypt/k', body)).status, 200, 'a version in other words');
  }
  for (const bad of ['a', 'aGVsbG9=', '_-__']) {
    const body = { batch_input: [{ plaintext: base64('a') }, { plaintext: bad }] };
    const { status, data } = await request('POST', '/v1/transit/encrypt/k', body);
    const rows = data['batch_results'] as { ciphertext?: string; error?: string }[];
    t.match([status, rows], [400, [{ ciphertext: /^vault:v1:/ }, { error: 'illegal base64 data' }]], bad);
  }
  t.equal(tokens.batchesAtOnce - before, 0);
});

test('no two messages have the same nonce', async (t) => {
  const { request } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  const nonces = new Set<string>();
  for (let i = 0; i < 50; i++) {
    const { data } = await request('POST', '/v1/transit/encrypt/k', { plaintext: '' });
    nonces.add(Buffer.from(String(data['ciphertext']).slice(9), 'base64').toString('hex', 0, 12));
  }
  t.equal(nonces.size, 50);
});

test('RSA encrypts by OAEP with SHA-256 and has no associated data', async (t) => {
  const { request } = await startApi(t);
  await request('POST', '/v1/transit/keys/r', { type: 'rsa-2048' });
  const { data } = await request('POST', '/v1/transit/encrypt/r', { plaintext: base64('hello') });
  const opened = await request('POST', '/v1/transit/decrypt/r', { ciphertext: data['ciphertext'] });
  t.equal(opened.data['plaintext'], base64('hello'));

  const withData = { plaintext: '', associated_data: base64('x') };
  t.equal((await request('POST', '/v1/transit/encrypt/r', withData)).status, 400);
  const tooLong = await request('POST', '/v1/transit/encrypt/r', { plaintext: base64(Buffer.alloc(1000)) });
  t.strictSame([tooLong.status, tooLong.errors], [400, ['input is not valid for this key']]);
});

test('a ciphertext that is not one of this key is refused without saying what is wrong inside', async (t) => {
  const { request } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  const { data } = await request('POST', '/v1/transit/encrypt/k', { plaintext: base64('hello') });
  const good = String(data['ciphertext']);
  const bytes = Buffer.from(good.slice(9), 'base64');
  bytes.writeUInt8(bytes.readUInt8(20) ^ 1, 20);
  const cases: [unknown, string][] = [
    [`vault:v1:${bytes.toString('base64')}`, 'invalid ciphertext: unable to decrypt'],
    ['vault:v1:AAAA', 'invalid ciphertext: unable to decrypt'],
    ['nothing', 'invalid ciphertext: no prefix'],
    ['vault:v1', 'invalid ciphertext: wrong number of fields'],
    ['vault:vx:AAAA', 'invalid ciphertext: version number could not be decoded'],
    [good.replace('v1', 'v2'), 'invalid ciphertext: version is too new'],
    [good.replace('v1', 'v0'), 'ciphertext or signature version is disallowed by policy (too old)'],
    ['vault:v1:!!!!', 'invalid ciphertext: could not decode base64'],
    ['', 'missing ciphertext to decrypt'],
    [7, 'field "ciphertext": expected string, received number'],
  ];
  for (const [ciphertext, error] of cases) {
    const answer = await request('POST', '/v1/transit/decrypt/k', { ciphertext });
    t.strictSame([answer.status, answer.errors], [400, [error]], error);
  }
});

test('base64 is taken strictly', async (t) => {
  const { request } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  for (const plaintext of ['a', 'aGVsbG8', 'aGVs bG8=', 'aGVsbG9=', 'aGVsbG8=\n', '_-__', 'é']) {
    const answer = await request('POST', '/v1/transit/encrypt/k', { plaintext });
    t.strictSame([answer.status, answer.errors], [400, ['illegal base64 data']], JSON.stringify(plaintext));
  }
});

test('bodies that are not what the route takes are refused by name of the field', async (t) => {
  const { request, logs } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  const cases: [unknown, string][] = [
    ['{"plaintext": "secret', 'failed to parse JSON input'],
    ['\x00\xff', 'failed to parse JSON input'],
    ['[]', 'request body: expected object, received array'],
    ['"text"', 'request body: expected object, received string'],
    [{}, 'missing plaintext to encrypt'],
    [{ plaintext: null }, 'missing plaintext to encrypt'],
    [{ plaintext: ['x'] }, 'field "plaintext": expected string, received array'],
    [{ plaintext: '', key_version: 1.5 }, 'field "key_version": expected a whole number'],
    [
      { plaintext: '', key_version: 2 },
      'requested version for encryption is higher than the latest key version',
    ],
    [{ plaintext: '', nonce: 'AAAA' }, 'provided nonce not allowed for this key'],
    [{ batch_input: 'x' }, 'field "batch_input": expected array, received string'],
    [{ batch_input: [] }, 'missing batch input to process'],
    [
      { batch_input: [{ plaintext: 1 }] },
      'field "batch_input.0.plaintext": expected string, received number',
    ],
    [{ plaintext: '', associated_data: base64(Buffer.alloc(16361)) }, 'associated_data is over 16360 bytes'],
  ];
  for (const [body, error] of cases) {
    const answer = await request('POST', '/v1/transit/encrypt/k', body);
    t.strictSame([answer.status, answer.errors], [400, [error]], error);
  }
  t.equal(logs.length, cases.length, 'each failure is logged once');
  t.notMatch(JSON.stringify(logs), 'secret', 'and quotes nothing of the body');
});

test('fields that no schema names are ignored, numbers may come as text, any content type is JSON', async (t) => {
  const { request } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  const body = { plaintext: '', key_version: '1', whatever: [{ deep: true }] };
  for (const type of ['application/json', 'application/x-www-form-urlencoded', 'text/plain; charset=x']) {
    const answer = await request('POST', '/v1/transit/encrypt/k', JSON.stringify(body), {
      'content-type': type,
    });
    t.equal(answer.status, 200, type);
  }
});

test('a batch answers every item in order, and fails as a whole only in its status', async (t) => {
  const { request } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  const batch_input = Array.from({ length: 100 }, (_, i) => ({
    plaintext: base64(`${i}`),
    reference: `r${i}`,
  }));
  const sealed = await request('POST', '/v1/transit/encrypt/k', { batch_input });
  t.equal(sealed.status, 200);
  const results = sealed.data['batch_results'] as { ciphertext: string; reference: string }[];
  t.strictSame(
    results.map(({ reference }) => reference),
    batch_input.map(({ reference }) => reference),
  );

  const opened = await request('POST', '/v1/transit/decrypt/k', { batch_input: results });
  t.strictSame(
    opened.data['batch_results'],
    batch_input.map(({ plaintext, reference }) => ({ plaintext, reference })),
  );

  const mixed = [results[0], { ciphertext: 'nothing', reference: 'bad' }];
  const expected = [
    { plaintext: base64('0'), reference: 'r0' },
    { plaintext: '', error: 'invalid ciphertext: no prefix', reference: 'bad' },
  ];
  const partly = await request('POST', '/v1/transit/decrypt/k', { batch_input: mixed });
  t.strictSame([partly.status, partly.data['batch_results']], [400, expected]);
  const chosen = { batch_input: mixed, partial_failure_response_code: 207 };
  t.equal((await request('POST', '/v1/transit/decrypt/k', chosen)).status, 207);
  const none = { batch_input: mixed.slice(1), partial_failure_response_code: 200 };
  t.equal((await request('POST', '/v1/transit/decrypt/k', none)).status, 400, 'all failed');
});

test('a keeper that goes away in the middle of a batch fails the batch', async (t) => {
  const { request, tokens } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  tokens.failures.push('keeper_absent');
  const answer = await request('POST', '/v1/transit/encrypt/k', { batch_input: [{ plaintext: '' }] });
  t.strictSame([answer.status, answer.errors], [503, ['keeper is absent']]);
});

test('a batch of more items than the limit is refused before any work', async (t) => {
  const { request } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  const batch_input = Array.from({ length: 10_001 }, () => ({ plaintext: '' }));
  const answer = await request('POST', '/v1/transit/encrypt/k', { batch_input });
  t.strictSame([answer.status, answer.errors], [400, ['field "batch_input": more than 10000 items']]);
});

test('an unknown key is not made by using it', async (t) => {
  const { request, tokens } = await startApi(t);
  const words = { sign: 'signing key not found', verify: 'signature verification key not found' };
  for (const verb of ['encrypt', 'decrypt', 'sign', 'verify', 'hmac']) {
    const answer = await request('POST', `/v1/transit/${verb}/no`, { plaintext: '' });
    const expected = Reflect.get(words, verb) ?? 'encryption key not found';
    t.strictSame([answer.status, answer.errors], [400, [expected]], verb);
  }
  t.equal(tokens.held.size, 0);
});

test('a key that only signs does not encrypt', async (t) => {
  const { request } = await startApi(t);
  await request('POST', '/v1/transit/keys/e', { type: 'ed25519' });
  const answer = await request('POST', '/v1/transit/encrypt/e', { plaintext: '' });
  t.strictSame([answer.status, answer.errors], [400, ['key type ed25519 does not support encryption']]);
});
