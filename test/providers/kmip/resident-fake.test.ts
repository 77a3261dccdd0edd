// What PyKMIP does not do of resident keys: digests, salts, curves, decryption by RSA, AES without padding, keys for HMAC; also by KMIP 2.1.
import { constants, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import { chmodSync } from 'node:fs';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../../src/clock.ts';
import { createLogger } from '../../../src/log/logger.ts';
import { KMIP } from '../../../src/providers/kmip/kmip-kind.ts';
import type { KmipVersion } from '../../../src/providers/kmip/message.ts';
import { FakeKmip } from '../../fakes/fake-kmip.ts';
import { FakeKmipKeys } from '../../fakes/fake-kmip-keys.ts';
import { testResidentKeys } from '../resident-contract.ts';

async function scene(t: Test, version: KmipVersion) {
  const held = new FakeKmipKeys(version);
  const server = await FakeKmip.start(t.testdir(), held.script);
  const { ca, client } = server.certificates;
  chmodSync(client.key, 0o600);
  const files = { 'ca-file': ca, 'certificate-file': client.certificate, 'key-file': client.key };
  const options = { kind: 'kmip', host: '127.0.0.1', port: server.port, ...files, 'key-id': 'none' };
  const service = KMIP.create(KMIP.schema.parse({ ...options, timeout: '9s', 'try-timeout': '9s' }), {
    name: 'kmip',
    log: createLogger('silent'),
    clock: SYSTEM_CLOCK,
    random: randomBytes,
    resolvePath: (path) => path,
  });
  t.teardown(async () => {
    await service.close();
    await server.close();
  });
  if (!service.resident) throw new Error('no resident keys');
  return { held, keys: service.resident };
}

for (const [major, minor] of [
  [1, 4],
  [2, 1],
] as const)
  testResidentKeys(t, `a KMIP server of ${major}.${minor}`, async (t) => ({
    keys: (await scene(t, { major, minor })).keys,
    specs:
      major === 1
        ? ['rsa-2048', 'ec-p256', 'ec-secp256k1', 'aes-256', 'generic']
        : ['rsa-2048', 'ec-p384', 'ec-p521', 'aes-128', 'generic'],
  }));

t.test('OAEP takes a label, and destroying takes both halves', async (t) => {
  const { held, keys } = await scene(t, { major: 1, minor: 4 });
  const wanted = { name: 'rsa', spec: 'rsa-2048', sizeBits: 0, ckaId: Buffer.alloc(0) } as const;
  const key = await keys.create({ ...wanted, uses: ['decrypt'] });
  t.strictSame(key.signs, []);
  const algorithm = key.ciphers.find(({ hash }) => hash === 'sha256');
  if (!algorithm) throw new Error('no OAEP');
  const shown = createPublicKey({ key: await keys.publicKey(key), format: 'der', type: 'spki' });
  const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
  const label = Buffer.from('label');
  const ciphertext = publicEncrypt({ key: shown, ...oaep, oaepLabel: label }, Buffer.from('secret'));
  const none = { iv: Buffer.alloc(0), aad: Buffer.alloc(0), tagBits: 0 };
  t.equal((await keys.decrypt(key, algorithm, { ...none, label }, ciphertext)).toString(), 'secret');
  await t.rejects(keys.decrypt(key, algorithm, { ...none, label: Buffer.alloc(0) }, ciphertext), {
    code: 'encrypted_data_invalid',
  });
  t.equal(held.size, 2);
  await keys.destroy(key);
  t.equal(held.size, 0);
});
