// Resident keys of Google Cloud KMS, against a strict fake of it with real cryptography: no server can be installed.
import { createCipheriv, createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { gcpKind } from '../../src/providers/gcp/gcp-key-service.ts';
import type { CipherParameters, NewResidentKey } from '../../src/tokens/resident-port.ts';
import { EMAIL, FakeGcpKms, KEY, RING } from '../fakes/fake-gcp-kms.ts';
import { FakeService } from '../fakes/fake-service.ts';
import { testResidentKeys } from './resident-contract.ts';

const account = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});
const NONE: CipherParameters = {
  iv: Buffer.alloc(0),
  aad: Buffer.alloc(0),
  tagBits: 0,
  label: Buffer.alloc(0),
};

delete process.env['GOOGLE_APPLICATION_CREDENTIALS'];
process.env['METADATA_SERVER_DETECTION'] = 'none';

async function scene(t: Test, options: Record<string, unknown> = {}) {
  const kms = new FakeGcpKms(account.publicKey);
  const server = new FakeService(kms.handle);
  await server.start();
  const dir = t.testdir();
  const file = { type: 'service_account', project_id: 'p-1', client_email: EMAIL, private_key_id: 'k1' };
  writeFileSync(join(dir, 'account.json'), JSON.stringify({ ...file, private_key: account.privateKey }));
  const parsed = gcpKind.schema.parse({
    kind: 'gcp-kms',
    key: KEY,
    endpoint: server.url,
    'credentials-file': 'account.json',
    timeout: '3s',
    'try-timeout': '2s',
    ...options,
  });
  const service = gcpKind.create(parsed, {
    name: 'g',
    log: createLogger('silent'),
    clock: SYSTEM_CLOCK,
    random: randomBytes,
    resolvePath: (path) => resolve(dir, path),
  });
  t.teardown(async () => {
    await service.close();
    await server.stop();
  });
  if (!service.resident) throw new Error('no resident keys');
  return { kms, server, keys: service.resident };
}

testResidentKeys(t, 'gcp-kms', async (t) => ({
  // The fake generates its keys before it answers, which takes time on a busy machine.
  keys: (await scene(t, { 'resident-protection': 'hsm', timeout: '9s', 'try-timeout': '9s' })).keys,
  specs: ['rsa-2048', 'ec-p256', 'ec-p384', 'ec-secp256k1', 'ed25519', 'generic'],
}));

const wanted = (name: string, more: Partial<NewResidentKey>): NewResidentKey => ({
  name,
  spec: 'ec-p256',
  sizeBits: 0,
  uses: ['sign'],
  ckaId: Buffer.alloc(0),
  ...more,
});

t.test('each enabled version is a key of its own, the newest is meant when none is named', async (t) => {
  const { kms, keys } = await scene(t);
  for (let i = 0; i < 3; i++) kms.keys.add('app-ec', 'ASYMMETRIC_SIGN', 'EC_SIGN_P256_SHA256');
  kms.keys.add('app-opaque', 'ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION');
  kms.keys.add('app-new', 'ASYMMETRIC_SIGN', 'PQ_SIGN_ML_DSA_65');
  kms.keys.add('other', 'ASYMMETRIC_SIGN', 'EC_SIGN_P384_SHA384');
  const listed = await keys.list('app-', 10);
  t.strictSame(
    listed.map(({ id, name, version, isPrimary }) => [id, name, version, isPrimary]),
    ['3', '2', '1'].map((version) => [
      `${RING}/cryptoKeys/app-ec/cryptoKeyVersions/${version}`,
      'app-ec',
      version,
      version === '3',
    ]),
  );
  t.notOk(
    (await keys.list('', 10)).some(({ id }) => id.startsWith(`${KEY}/`)),
    'the KEK is not shown',
  );
  await t.rejects(keys.list('app-', 2), { code: 'provider_refused', message: /prefix/ });
  const [, second] = listed;
  if (!second) throw new Error('no second version');
  t.match(await keys.destroy(second), /^is destroyed at 20\d\d-/);
  t.strictSame(
    (await keys.list('app-', 10)).map(({ version }) => version),
    ['3', '1'],
  );
});

t.test('every way to sign: PKCS #1 and PSS with the hash of the key, and what is refused', async (t) => {
  const { kms, keys } = await scene(t);
  kms.keys.add('rsa-pss', 'ASYMMETRIC_SIGN', 'RSA_SIGN_PSS_2048_SHA256');
  kms.keys.add('rsa-pkcs1', 'ASYMMETRIC_SIGN', 'RSA_SIGN_PKCS1_4096_SHA512');
  const [pss, pkcs1] = await keys.list('rsa-', 10);
  t.strictSame(pss?.signs, [{ scheme: 'rsa-pss', hash: 'sha256' }]);
  t.strictSame(pkcs1?.signs, [{ scheme: 'rsa-pkcs1', hash: 'sha512' }]);
  for (const key of [pss, pkcs1]) {
    const [algorithm] = key?.signs ?? [];
    if (!key || !algorithm) throw new Error('no algorithm');
    const digest = createHash(algorithm.hash ?? '')
      .update('a')
      .digest();
    t.equal((await keys.sign(key, algorithm, digest, digest.length)).length * 8, key.sizeBits);
    const short = digest.subarray(1);
    await t.rejects(keys.sign(key, algorithm, short, 32), { code: 'provider_refused' });
  }
  await t.rejects(keys.create(wanted('a/b', {})), {
    code: 'provider_refused',
    message: /a name may contain/,
  });
  await t.rejects(keys.create(wanted('p521', { spec: 'ec-p521' })), { code: 'provider_refused' });
  await t.rejects(keys.create(wanted('odd', { spec: 'generic', sizeBits: 200 })), {
    code: 'provider_refused',
  });
  t.notOk(keys.creates.includes('ec-secp256k1'), 'software has none');
});

t.test('AES: CBC with the IV of the caller both ways, GCM to decrypt only', async (t) => {
  const { kms, keys } = await scene(t);
  kms.keys.add('aes-cbc', 'RAW_ENCRYPT_DECRYPT', 'AES_256_CBC');
  const gcmVersion = kms.keys.add('aes-gcm', 'RAW_ENCRYPT_DECRYPT', 'AES_128_GCM');
  const [cbc, gcm] = await keys.list('aes-', 10);
  const [cbcWay] = cbc?.ciphers ?? [];
  const [gcmWay] = gcm?.ciphers ?? [];
  if (!cbc || !gcm || !cbcWay || !gcmWay) throw new Error('no keys');
  t.match([cbcWay, gcmWay], [{ encrypts: true }, { encrypts: false }]);
  const [plaintext, iv] = [randomBytes(64), randomBytes(16)];
  const ciphertext = await keys.encrypt(cbc, cbcWay, { ...NONE, iv }, plaintext);
  t.equal(ciphertext.length, 64);
  t.ok((await keys.decrypt(cbc, cbcWay, { ...NONE, iv }, ciphertext)).equals(plaintext));
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-128-gcm', kms.keys.secretOf(gcmVersion), nonce).setAAD(
    Buffer.from('aad'),
  );
  const sealed = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  const parameters = { ...NONE, iv: nonce, aad: Buffer.from('aad'), tagBits: 128 };
  t.ok((await keys.decrypt(gcm, gcmWay, parameters, sealed)).equals(plaintext));
  sealed.writeUInt8(sealed.readUInt8(0) ^ 1, 0);
  await t.rejects(keys.decrypt(gcm, gcmWay, parameters, sealed), { code: 'encrypted_data_invalid' });
});

t.test('what changed on its way is asked for again, and never believed', async (t) => {
  const { kms, keys, server } = await scene(t);
  const key = await keys.create(wanted('changes', { uses: ['sign'] }));
  const mac = await keys.create(wanted('changes-mac', { spec: 'generic', sizeBits: 256 }));
  const [[algorithm], [hmac]] = [key.signs, mac.signs];
  if (!algorithm || !hmac) throw new Error('no algorithm');
  const digest = createHash('sha256').update('a').digest();
  const uses = [
    () => keys.sign(key, algorithm, digest, 0),
    () => keys.sign(mac, hmac, digest, 0),
    () => keys.publicKey(key),
  ];
  for (const use of uses) {
    const before = server.seen.length;
    kms.behaviour.corrupt = 1;
    t.ok((await use()).length > 0);
    t.equal(server.seen.length - before, 2, 'once more');
    kms.behaviour.corrupt = 100;
    await t.rejects(use(), { code: 'provider_unreachable', message: /changed on its way/ });
    kms.behaviour.corrupt = 0;
  }
});

t.test('no right, no service, no generated key in time', async (t) => {
  const { kms, keys, server } = await scene(t, { timeout: '1s', 'try-timeout': '400ms' });
  kms.behaviour.allows = false;
  await t.rejects(keys.list('', 10), { code: 'provider_refused', message: /PERMISSION_DENIED/ });
  kms.behaviour.allows = true;
  kms.keys.looks = 1000;
  await t.rejects(keys.create(wanted('slow', {})), { code: 'provider_unreachable' });
  await server.stop();
  await t.rejects(keys.list('', 10), { code: 'provider_unreachable' });
});
