/** Keys that come in wrapped and go out in the clear, checked against node:crypto on the other side. */
import * as crypto from 'node:crypto';
import { test } from 'tap';
import { startInstance } from './instance.ts';
import { transitClient, type ApiAnswer } from './transit-client.ts';

type Call = (method: string, path: string, body?: object) => Promise<ApiAnswer>;

const b64 = (text: string | Buffer) => Buffer.from(text).toString('base64');
const plaintext = b64('seventeen camels');

/** As Vault's documentation tells a client to do it. */
async function wrapFor(call: Call, target: Buffer, oaepHash = 'sha256'): Promise<string> {
  const pem = String((await call('GET', '/transit/wrapping_key')).data['public_key']);
  const ephemeral = crypto.randomBytes(32);
  const padding = crypto.constants.RSA_PKCS1_OAEP_PADDING;
  const outer = crypto.publicEncrypt({ key: pem, padding, oaepHash }, ephemeral);
  const cipher = crypto.createCipheriv('id-aes256-wrap-pad', ephemeral, Buffer.from('a65959a6', 'hex'));
  return b64(Buffer.concat([outer, cipher.update(target), cipher.final()]));
}

function openGcm(key: Buffer, ciphertext: unknown): string {
  const message = Buffer.from(String(ciphertext).split(':')[2] ?? '', 'base64');
  const decipher = crypto.createDecipheriv('aes-256-gcm', key, message.subarray(0, 12));
  decipher.setAuthTag(message.subarray(-16));
  return Buffer.concat([decipher.update(message.subarray(12, -16)), decipher.final()]).toString('base64');
}

test('what is imported is the key that was wrapped, in every kind', async (t) => {
  const call = transitClient(await startInstance(t));
  const secret = crypto.randomBytes(32);
  const made = await call('POST', '/transit/keys/ours/import', {
    ...{ ciphertext: await wrapFor(call, secret), type: 'aes256-gcm96', exportable: true },
  });
  t.equal(made.status, 204, JSON.stringify(made.body));
  t.match((await call('GET', '/transit/keys/ours')).data, { imported_key: true, exportable: true });
  const sealed = (await call('POST', '/transit/encrypt/ours', { plaintext })).data['ciphertext'];
  t.equal(openGcm(secret, sealed), plaintext);
  const exported = (await call('GET', '/transit/export/encryption-key/ours')).data;
  t.same(exported['keys'], { 1: b64(secret) });

  const second = crypto.randomBytes(32);
  const next = { ciphertext: await wrapFor(call, second, 'sha384'), hash_function: 'SHA384' };
  t.equal((await call('POST', '/transit/keys/ours/import_version', next)).status, 204);
  const latest = (await call('GET', '/transit/export/encryption-key/ours/latest')).data;
  t.same(latest['keys'], { 2: b64(second) });

  const pairs = {
    'rsa-2048': crypto.generateKeyPairSync('rsa', { modulusLength: 2048 }),
    'ecdsa-p256': crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    ed25519: crypto.generateKeyPairSync('ed25519'),
  } as const;
  for (const [type, { privateKey, publicKey }] of Object.entries(pairs)) {
    const target = privateKey.export({ format: 'der', type: 'pkcs8' });
    const body = { ciphertext: await wrapFor(call, target), type, exportable: true };
    const imported = await call('POST', `/transit/keys/${type}/import`, body);
    t.equal(imported.status, 204, JSON.stringify(imported.body));
    const signed = await call('POST', `/transit/sign/${type}`, {
      ...{ input: plaintext, signature_algorithm: 'pkcs1v15' },
    });
    const signature = Buffer.from(String(signed.data['signature']).split(':')[2] ?? '', 'base64');
    const hash = type === 'ed25519' ? null : 'sha256';
    t.ok(crypto.verify(hash, Buffer.from(plaintext, 'base64'), publicKey, signature), type);
    const verified = await call('POST', `/transit/verify/${type}`, {
      ...{ input: plaintext, signature: signed.data['signature'], signature_algorithm: 'pkcs1v15' },
    });
    t.equal(verified.data['valid'], true, type);
    const out = (await call('GET', `/transit/export/signing-key/${type}/1`)).data['keys'] as Record<
      1,
      string
    >;
    if (type === 'ed25519') t.ok(target.subarray(-32).equals(Buffer.from(out[1], 'base64').subarray(0, 32)));
    else t.ok(crypto.createPrivateKey(out[1]).equals(privateKey), `${type} comes out as it went in`);
    const shown = (await call('GET', `/transit/export/public-key/${type}`)).data['keys'] as Record<1, string>;
    if (type !== 'ed25519') t.ok(crypto.createPublicKey(shown[1]).equals(publicKey));
  }
});

test('imports and exports that must not be are refused', async (t) => {
  const call = transitClient(await startInstance(t));
  const ciphertext = await wrapFor(call, crypto.randomBytes(16));
  const refused = async (body: object, error: RegExp, path = 'keys/k/import') => {
    const answer = await call('POST', `/transit/${path}`, body);
    t.match([answer.status, answer.errors], [400, [error]], JSON.stringify(answer.body));
  };
  await refused({ ciphertext, type: 'aes256-gcm96' }, /./);
  await refused({ ciphertext, type: 'rsa-2048' }, /cannot be wrapped or unwrapped/);
  await refused({ ciphertext: b64(crypto.randomBytes(552)) }, /cannot be wrapped or unwrapped/);
  await refused({ ciphertext, hash_function: 'MD5' }, /unsupported hash function/);
  await refused({}, /missing ciphertext/);
  t.equal((await call('GET', '/transit/keys/k')).status, 404, 'nothing is left behind');
  t.equal((await call('POST', '/transit/keys/k/import', { ciphertext, type: 'aes128-gcm96' })).status, 204);
  await refused({ ciphertext }, /already exists/);
  await call('POST', '/transit/keys/own');
  await refused({ ciphertext }, /keys that were imported/, 'keys/own/import_version');
  for (const path of ['encryption-key/own', 'encryption-key/k'])
    t.match((await call('GET', `/transit/export/${path}`)).errors, [/not exportable/]);
  t.match((await call('GET', '/transit/export/signing-key/own')).errors, [/has no signing-key/]);
  t.equal((await call('GET', '/transit/export/encryption-key/nobody')).status, 404);
  t.same((await call('LIST', '/transit/keys')).data, { keys: ['k', 'own'] });
  const use = '/transit/decrypt/import%2Fwrapping-key';
  const wrapped = { ciphertext: `vault:v1:${b64(crypto.randomBytes(512))}` };
  t.match((await call('POST', use, wrapped)).errors, ['key does not permit this operation']);
});

test('the HMAC key beside an exportable key leaves, and makes the same HMACs', async (t) => {
  const call = transitClient(await startInstance(t));
  const exported = async (name: string): Promise<Record<string, string>> => {
    const { status, data } = await call('GET', `/transit/export/hmac-key/${name}`);
    t.match([status, data], [200, { name }], name);
    return data['keys'] as Record<string, string>;
  };
  for (const type of ['aes256-gcm96', 'rsa-2048', 'ecdsa-p256', 'ed25519']) {
    await call('POST', `/transit/keys/${type}`, { type, exportable: true });
    if (type === 'ed25519') await call('POST', `/transit/keys/${type}/rotate`);
    // Made for the export where no HMAC was asked for before.
    const keys = type === 'rsa-2048' ? null : await exported(type);
    const { hmac } = (await call('POST', `/transit/hmac/${type}`, { input: plaintext })).data;
    const [, version = '', mac] = String(hmac).split(':');
    const key = Buffer.from((keys ?? (await exported(type)))[version.slice(1)] ?? '', 'base64');
    t.equal(key.length, 32);
    const expected = crypto.createHmac('sha256', key).update(Buffer.from(plaintext, 'base64'));
    t.equal(mac, expected.digest('base64'), type);
    if (keys !== null) t.same(await exported(type), keys, 'the same each time');
  }
  t.same(Object.keys(await exported('ed25519')), ['1', '2']);
  await call('POST', '/transit/keys/closed');
  await call('POST', '/transit/hmac/closed', { input: plaintext });
  await call('POST', '/transit/keys/silent');
  const { body: before } = await call('GET', '/sidekey/tokens');
  for (const name of ['closed', 'silent']) {
    const refused = await call('GET', `/transit/export/hmac-key/${name}`);
    t.match([refused.status, refused.errors], [400, [/not exportable/]]);
  }
  t.same(
    (await call('GET', '/sidekey/tokens')).body,
    before,
    'nothing was made for an export that is refused',
  );
});

test('a derived key is HKDF of its secret, as docs/transit.md says', async (t) => {
  const call = transitClient(await startInstance(t));
  await call('POST', '/transit/keys/tenants', { derived: true, exportable: true });
  const context = b64('tenant one');
  const sealed = (await call('POST', '/transit/encrypt/tenants', { plaintext, context })).data['ciphertext'];
  const { 1: base } = (await call('GET', '/transit/export/encryption-key/tenants')).data['keys'] as Record<
    1,
    string
  >;
  const info = Buffer.from(context, 'base64');
  const key = Buffer.from(crypto.hkdfSync('sha256', Buffer.from(base, 'base64'), '', info, 32));
  t.equal(openGcm(key, sealed), plaintext);
});
