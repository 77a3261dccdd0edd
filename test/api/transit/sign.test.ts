import * as crypto from 'node:crypto';
import { test } from 'tap';
import { base64, startApi, type Running } from '../api-under-test.ts';

const MESSAGE = Buffer.from('what is signed');
const input = base64(MESSAGE);

async function startWithKey(t: Parameters<typeof startApi>[0], type: string) {
  const running = await startApi(t);
  running.tokens.message = MESSAGE;
  await running.request('POST', '/v1/transit/keys/k', { type });
  const open = running.tokens.held.get('main/k')?.open;
  if (open === undefined) throw new Error('no key');
  return { ...running, open };
}

async function sign({ request }: Pick<Running, 'request'>, options: object, path = ''): Promise<string> {
  const { data, text } = await request('POST', `/v1/transit/sign/k${path}`, { input, ...options });
  if (data['signature'] === undefined) throw new Error(text);
  return String(data['signature']);
}

async function verify({ request }: Pick<Running, 'request'>, body: object, path = ''): Promise<unknown> {
  const { data, text } = await request('POST', `/v1/transit/verify/k${path}`, { input, ...body });
  return data['valid'] ?? text;
}

function bodyOf(signature: string, encoding: 'base64' | 'base64url' = 'base64'): Buffer {
  return Buffer.from(signature.replace(/^vault:v1:/, ''), encoding);
}

const ECDSA_CASES = [
  ['ecdsa-p256', 'sha2-256', 'sha256'],
  ['ecdsa-p256', 'sha2-512', 'sha512'],
  ['ecdsa-p384', 'sha2-384', 'sha384'],
  ['ecdsa-p521', 'sha2-512', 'sha512'],
  ['ecdsa-p256', 'sha3-256', 'sha3-256'],
  ['ecdsa-p256', 'sha1', 'sha1'],
] as const;

for (const [type, hash, digest] of ECDSA_CASES) {
  test(`${type} with ${hash} signs what anybody can verify, as DER and as JWS has it`, async (t) => {
    const running = await startWithKey(t, type);
    const { open } = running;
    // Often enough for r or s to begin with a zero byte or a high bit.
    for (let i = 0; i < 20; i++) {
      const der = await sign(running, { hash_algorithm: hash });
      t.ok(crypto.verify(digest, MESSAGE, { key: open, dsaEncoding: 'der' }, bodyOf(der)));
      t.equal(await verify(running, { signature: der }, `/${hash}`), true);
    }
    const jws = await sign(running, { marshaling_algorithm: 'jws' }, `/${hash}`);
    t.ok(crypto.verify(digest, MESSAGE, { key: open, dsaEncoding: 'ieee-p1363' }, bodyOf(jws, 'base64url')));
    t.notMatch(jws, /[=+/]/);
    const options = { hash_algorithm: hash, marshaling_algorithm: 'jws' };
    t.equal(await verify(running, { signature: jws, ...options }), true);

    const prehashed = { input: base64(crypto.hash(digest, MESSAGE, 'buffer')), prehashed: true };
    t.equal(await verify(running, { signature: jws, ...options, ...prehashed }), true);
  });
}

test('RSA signs by PSS with the longest salt unless told otherwise', async (t) => {
  const running = await startWithKey(t, 'rsa-2048');
  const { open } = running;
  const padding = crypto.constants.RSA_PKCS1_PSS_PADDING;
  const salts = [
    [{}, 222],
    [{ salt_length: 'auto', hash_algorithm: 'sha2-512' }, 190],
    [{ salt_length: 'hash' }, 32],
    [{ salt_length: 20 }, 20],
    [{ salt_length: '0', signature_algorithm: 'pss' }, 0],
  ] as const;
  for (const [options, saltLength] of salts) {
    const digest = 'hash_algorithm' in options ? 'sha512' : 'sha256';
    const signature = await sign(running, options);
    t.ok(
      crypto.verify(digest, MESSAGE, { key: open, padding, saltLength }, bodyOf(signature)),
      `${saltLength}`,
    );
    t.equal(await verify(running, { signature, ...options }), true);
  }
  const ofHashLength = await sign(running, { salt_length: 'hash' });
  t.equal(
    await verify(running, { signature: ofHashLength }),
    true,
    'auto also takes the salt of the hash length',
  );
  t.equal(await verify(running, { signature: ofHashLength, salt_length: 20 }), false);
});

test('RSA signs by PKCS #1 v1.5, of a message, of a digest, and of bytes as they are', async (t) => {
  const running = await startWithKey(t, 'rsa-2048');
  const { open } = running;
  const isGood = (signature: string, digest: string) =>
    crypto.verify(digest, MESSAGE, open, bodyOf(signature));
  const scheme = { signature_algorithm: 'pkcs1v15' };
  t.ok(isGood(await sign(running, scheme), 'sha256'));
  t.ok(isGood(await sign(running, scheme, '/sha2-384'), 'sha384'));
  t.ok(isGood(await sign(running, scheme, '/sha3-256'), 'sha3-256'));

  const digest = crypto.hash('sha512', MESSAGE, 'buffer');
  const prehashed = { ...scheme, input: base64(digest), prehashed: 'true', hash_algorithm: 'sha2-512' };
  t.ok(isGood(await sign(running, prehashed), 'sha512'));

  const raw = { ...scheme, input: base64('any bytes'), prehashed: true, hash_algorithm: 'none' };
  const signature = await sign(running, raw);
  t.equal(await verify(running, { ...raw, signature }), true);
  t.equal(await verify(running, { ...raw, input: base64('other'), signature }), false);
});

test('Ed25519 signs whole messages', async (t) => {
  const running = await startWithKey(t, 'ed25519');
  const signature = await sign(running, {});
  t.ok(crypto.verify(null, MESSAGE, running.open, bodyOf(signature)));
  t.equal(await verify(running, { signature }), true);
  t.equal(await verify(running, { signature, input: base64('other') }), false);
  t.equal(await verify(running, { signature, prehashed: true }), true, 'what it is given is what it signs');
});

test('options that cannot be are refused', async (t) => {
  const rsa = await startWithKey(t, 'rsa-2048');
  const cases: [object, RegExp][] = [
    [{ hash_algorithm: 'md5' }, /^unsupported hash algorithm$/],
    [{ hash_algorithm: 'constructor' }, /^unsupported hash algorithm$/],
    [{ hash_algorithm: 'none' }, /^hash_algorithm none is for prehashed/],
    [{ signature_algorithm: 'dsa' }, /^field "signature_algorithm"/],
    [{ marshaling_algorithm: 'der' }, /^field "marshaling_algorithm"/],
    [{ salt_length: 'long' }, /^field "salt_length"/],
    [{ salt_length: -1 }, /^field "salt_length"/],
    [{ salt_length: 223 }, /^salt_length is too long/],
    [{ prehashed: 'maybe' }, /^field "prehashed": expected true or false/],
    [{ prehashed: true }, /^prehashed input must be a digest of 32 bytes$/],
    [{ input: undefined }, /^missing input$/],
  ];
  for (const [options, error] of cases) {
    const answer = await rsa.request('POST', '/v1/transit/sign/k', { input, ...options });
    t.match([answer.status, answer.errors], [400, [error]], JSON.stringify(options));
  }
});

test('a signature that is not well formed is refused, one that is wrong is not valid', async (t) => {
  const running = await startWithKey(t, 'ecdsa-p256');
  const other = await sign(running, {});
  const r = Buffer.alloc(33, 1);
  const tooLong = Buffer.concat([Buffer.from([0x30, 38, 2, 33]), r, Buffer.from([2, 1, 1])]);
  const malformed = [
    ...['', '30', '3006020101020101ff', '3006020101020181', '300602010102018101', '30810602010102010100'],
    ...['3006020100020102ff', '30070202000102010100', '3006020001020101', tooLong.toString('hex')],
  ];
  for (const hex of malformed.slice(1)) {
    const signature = `vault:v1:${Buffer.from(hex, 'hex').toString('base64')}`;
    t.match(await verify(running, { signature }), /supplied signature is invalid/, hex);
  }
  t.match(await verify(running, { signature: 'x' }), /invalid signature: no prefix/);
  t.match(await verify(running, { signature: 'vault:v1:!' }), /illegal base64 data/);
  t.match(await verify(running, {}), /neither a 'signature' nor an 'hmac'/);
  t.match(await verify(running, { signature: other, hmac: other }), /provide one of/);
  const one = `vault:v1:${Buffer.from('3006020101020101', 'hex').toString('base64')}`;
  t.equal(await verify(running, { signature: one }), false);
  t.equal(await verify(running, { signature: 'vault:v1:AAAA', marshaling_algorithm: 'jws' }), false);
});

test('hmac makes and verifies, by the hash of the path before that of the body', async (t) => {
  const running = await startWithKey(t, 'hmac');
  const secret = running.tokens.held.get('main/k')?.secret;
  if (secret === undefined) throw new Error('no key');
  const expected = (hash: string) => crypto.createHmac(hash, secret).update(MESSAGE).digest('base64');
  const make = async (path: string, body: object) =>
    (await running.request('POST', `/v1/transit/hmac/k${path}`, { input, ...body })).data['hmac'];
  t.equal(await make('', {}), `vault:v1:${expected('sha256')}`);
  t.equal(await make('/sha2-512', { algorithm: 'sha1' }), `vault:v1:${expected('sha512')}`);
  t.equal(await make('', { algorithm: 'sha2-384' }), `vault:v1:${expected('sha384')}`);

  t.equal(await verify(running, { hmac: await make('', {}) }), true);
  t.equal(await verify(running, { hmac: await make('/sha2-512', {}) }, '/sha2-512'), true);
  t.equal(await verify(running, { hmac: await make('/sha2-512', {}) }), false);
  const { errors } = await running.request('POST', '/v1/transit/sign/k', { input });
  t.strictSame(errors, ['key type hmac does not support signing']);
});

test('signing, verifying and hmac work in batches', async (t) => {
  const running = await startWithKey(t, 'ed25519');
  const batch_input = [{ input, reference: 'a' }, { input: base64('two') }];
  const signed = await running.request('POST', '/v1/transit/sign/k', { batch_input });
  const results = signed.data['batch_results'] as { signature: string }[];
  const items = batch_input.map((item, i) => ({ ...item, signature: results[i]?.signature }));
  const verified = await running.request('POST', '/v1/transit/verify/k', {
    batch_input: [...items, { ...items[0], input: base64('three') }],
  });
  t.equal(verified.status, 200);
  t.strictSame(verified.data['batch_results'], [
    { valid: true, reference: 'a' },
    { valid: true, reference: '' },
    { valid: false, reference: 'a' },
  ]);
});
