import { createPublicKey } from 'node:crypto';
import { test } from 'tap';
import { OWN_PEER, startApi } from '../api-under-test.ts';

test('a key is made, described and listed as Vault does it', async (t) => {
  const { request } = await startApi(t);
  const made = await request('POST', '/v1/transit/keys/k', { exportable: true });
  t.equal(made.status, 200);
  const read = await request('GET', '/v1/transit/keys/k');
  t.strictSame(read.data, made.data);
  t.match(read.data, {
    ...{ name: 'k', type: 'aes256-gcm96', latest_version: 1, exportable: true, derived: false },
    ...{ supports_encryption: true, supports_decryption: true, supports_signing: false },
    keys: { 1: 1767323045 },
  });
  t.match(read.body, {
    ...{ request_id: /^[0-9a-f-]{36}$/, lease_id: '', renewable: false, lease_duration: 0 },
    ...{ wrap_info: null, warnings: null, auth: null },
  });
  await request('PUT', '/v1/transit/keys/a', { type: 'ed25519' });
  for (const [method, path] of [
    ['LIST', '/v1/transit/keys'],
    ['LIST', '/v1/transit/keys/'],
    ['GET', '/v1/transit/keys?list=true'],
  ] as const) {
    const listed = await request(method, path);
    t.strictSame([listed.status, listed.data], [200, { keys: ['a', 'k'] }], `${method} ${path}`);
  }
});

const PAIRS = [
  ['rsa-2048', 'rsa-2048', 'rsa'],
  ['ecdsa-p256', 'P-256', 'ec'],
  ['ecdsa-p384', 'P-384', 'ec'],
  ['ecdsa-p521', 'P-521', 'ec'],
] as const;

for (const [type, name, kind] of PAIRS) {
  test(`a key of type ${type} shows its public key in PEM`, async (t) => {
    const { request } = await startApi(t);
    const { data } = await request('POST', '/v1/transit/keys/k', { type });
    const { 1: version } = data['keys'] as Record<string, { name: string; public_key: string }>;
    t.match(data, { type, supports_signing: true, supports_encryption: kind === 'rsa' });
    t.equal(version?.name, name);
    t.equal(createPublicKey(version?.public_key ?? '').asymmetricKeyType, kind);
  });
}

test('an Ed25519 key shows its public key raw', async (t) => {
  const { request } = await startApi(t);
  const { data } = await request('POST', '/v1/transit/keys/k', { type: 'ed25519' });
  const { 1: version } = data['keys'] as Record<string, { name: string; public_key: string }>;
  t.equal(Buffer.from(version?.public_key ?? '', 'base64').length, 32);
});

test('an HMAC key has the size that was asked for', async (t) => {
  const { request, tokens } = await startApi(t);
  await request('POST', '/v1/transit/keys/k', { type: 'hmac', key_size: '64' });
  t.equal(tokens.held.get('main/k')?.named.sizeBits, 512);
});

test('making a key that is there leaves it alone and says so', async (t) => {
  const { request, tokens } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  const before = tokens.held.get('main/k')?.secret;
  const again = await request('POST', '/v1/transit/keys/k', { type: 'ed25519' });
  t.equal(again.data['type'], 'aes256-gcm96');
  t.match(again.body, { warnings: ['key k already existed'] });
  t.equal(tokens.held.get('main/k')?.secret, before);
});

test('what cannot be honoured is refused, not dropped', async (t) => {
  const { request, tokens } = await startApi(t);
  const cases: [object, string][] = [
    [{ type: 'slh-dsa' }, 'unknown key type slh-dsa'],
    [{ type: 'ml-dsa' }, 'field "parameter_set": expected 44, 65 or 87 for key type ml-dsa'],
    [
      { type: 'ml-dsa', parameter_set: 46 },
      'field "parameter_set": expected 44, 65 or 87 for key type ml-dsa',
    ],
    [{ type: 'ml-dsa', parameter_set: '65', key_size: 32 }, 'key_size is for keys of type hmac'],
    [{ type: 'toString' }, 'unknown key type toString'],
    [{ type: 7 }, 'field "type": expected string, received number'],
    [
      { derived: true, type: 'rsa-2048' },
      'field "derived": only for keys of type aes128-gcm96 and aes256-gcm96',
    ],
    [{ convergent_encryption: 'true' }, 'field "convergent_encryption": not supported'],
    [{ allow_plaintext_backup: true }, 'field "allow_plaintext_backup": not supported'],
    [{ auto_rotate_period: 'soon' }, 'field "auto_rotate_period": expected seconds or a duration, as 720h'],
    [{ auto_rotate_period: '30m' }, 'auto rotate period must be 0 to disable or at least an hour'],
    [{ key_size: 32 }, 'key_size is for keys of type hmac'],
    [{ type: 'hmac', key_size: 8 }, 'key_size must be 32 to 512 bytes'],
    [{ type: 'hmac', key_size: '1e3' }, 'field "key_size": expected a whole number'],
  ];
  for (const [body, error] of cases) {
    const answer = await request('POST', '/v1/transit/keys/k', body);
    t.strictSame([answer.status, answer.errors], [400, [error]], error);
  }
  const named = await request('POST', '/v1/transit/keys/a%2Fb');
  t.equal(named.status, 400, 'a name that would not be one path segment');
  t.equal(tokens.held.size, 0);
  const harmless = { derived: false, auto_rotate_period: 0, allow_plaintext_backup: null };
  t.equal((await request('POST', '/v1/transit/keys/k', harmless)).status, 200);
});

test('what is not there is 404 without a text', async (t) => {
  const { request } = await startApi(t);
  for (const path of ['/v1/transit/keys/no', '/v1/transit/keys?list=true']) {
    const answer = await request('GET', path);
    t.strictSame([answer.status, answer.errors], [404, []], path);
  }
});

test('every token is mounted under its label, and /v1/transit is the default one', async (t) => {
  const { request, tokens } = await startApi(t);
  await request('POST', '/v1/other%20token/keys/k');
  t.ok(tokens.held.has('other token/k'));
  t.equal((await request('GET', '/v1/transit/keys/k')).status, 404);
  await request('POST', '/v1/transit/keys/k2');
  t.equal((await request('GET', '/v1/main/keys/k2')).status, 200);
});

test('a token that is not there and one that is forbidden are the same', async (t) => {
  const { request, tokens } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  const absent = await request('GET', '/v1/nowhere/keys/k');
  tokens.refusedUids.add(OWN_PEER.uid);
  const paths = ['encrypt/k', 'decrypt/k', 'sign/k', 'verify/k', 'hmac/k', 'random', 'keys/k', 'keys/new'];
  t.strictSame([absent.status, absent.text], [403, '{"errors":["permission denied"]}']);
  for (const path of paths) {
    const forbidden = await request('POST', `/v1/transit/${path}`, {
      plaintext: '',
      input: '',
      ciphertext: 'x',
    });
    t.strictSame([forbidden.status, forbidden.text], [403, absent.text], path);
  }
  for (const path of ['keys/k', 'keys?list=true'])
    t.equal((await request('GET', `/v1/transit/${path}`)).status, 403, path);
});

test('random gives fresh bytes, as many as asked, in the format asked', async (t) => {
  const { request } = await startApi(t);
  const random = async (path: string, body: object = {}) =>
    String((await request('POST', `/v1/transit/random${path}`, body)).data['random_bytes']);
  t.equal(Buffer.from(await random(''), 'base64').length, 32);
  t.equal(Buffer.from(await random('/7'), 'base64').length, 7);
  t.match(await random('', { bytes: '5', format: 'hex' }), /^[0-9a-f]{10}$/);
  t.match(await random('/platform/5', { format: 'hex' }), /^[0-9a-f]{10}$/);
  t.match(await random('/platform', { format: 'hex' }), /^[0-9a-f]{64}$/);
  t.not(await random(''), await random(''));
  for (const path of ['/0', '/131073', '/platform/x', '/99999999999'])
    t.equal((await request('POST', `/v1/transit/random${path}`)).status, 400, path);
  t.equal((await request('POST', '/v1/transit/random', { format: 'octal' })).status, 400);
});

test('paths and methods that are not served say so', async (t) => {
  const { request } = await startApi(t);
  for (const path of [
    '/',
    '/v1',
    '/v2/transit/keys',
    '/v1/transit/nothing',
    '/v1/sys/keys',
    '/v1/auth/keys/x',
  ]) {
    const answer = await request('GET', path);
    t.strictSame([answer.status, answer.errors], [404, ['no handler for route']], path);
  }
  for (const [method, path] of [
    ['PATCH', '/v1/transit/keys/k'],
    ['DELETE', '/v1/transit/encrypt/k'],
    ['GET', '/v1/transit/encrypt/k'],
    ['GET', '/v1/transit/keys'],
    ['POST', '/v1/sys/health'],
  ] as const) {
    const answer = await request(method, path);
    t.strictSame([answer.status, answer.errors], [405, ['unsupported operation']], `${method} ${path}`);
  }
  t.equal((await request('GET', '/v1/transit/keys/%zz')).status, 400);
  t.equal((await request('GET', `/v1/transit/keys/${'k'.repeat(600)}`)).status, 414);
});
