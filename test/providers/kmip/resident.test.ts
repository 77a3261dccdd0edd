// Resident keys with PyKMIP's server, which supports RSA signatures over messages, AES-GCM, padded AES-CBC, HMAC and CMAC.
import { constants, createHmac, createPublicKey, randomBytes, verify } from 'node:crypto';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../../src/clock.ts';
import { createLogger } from '../../../src/log/logger.ts';
import { KMIP } from '../../../src/providers/kmip/kmip-kind.ts';
import type {
  CipherParameters,
  NewResidentKey,
  ResidentKey,
  ResidentKeys,
} from '../../../src/tokens/resident-port.ts';
import { testResidentKeys } from '../resident-contract.ts';
import { PyKmip } from './pykmip.ts';

const NONE: CipherParameters = {
  iv: Buffer.alloc(0),
  aad: Buffer.alloc(0),
  tagBits: 0,
  label: Buffer.alloc(0),
};
const server = await PyKmip.start(t);
const kek = await server.makeKey('aes');

function createResident(t: Test, options: Record<string, unknown> = {}): ResidentKeys {
  const service = KMIP.create(KMIP.schema.parse(server.options(kek, options)), {
    name: 'kmip',
    log: createLogger('silent'),
    clock: SYSTEM_CLOCK,
    random: randomBytes,
    resolvePath: (path) => path,
  });
  t.teardown(() => service.close());
  if (!service.resident) throw new Error('no resident keys');
  return service.resident;
}

testResidentKeys(t, 'PyKMIP', async (t) => ({
  keys: createResident(t),
  specs: ['rsa-2048', 'aes-128', 'aes-192', 'aes-256'],
  uses: { 'rsa-2048': [['sign']], 'aes-128': [['decrypt'], ['sign']] },
}));

const wanted = (name: string, more: Partial<NewResidentKey>): NewResidentKey => ({
  name,
  spec: 'rsa-2048',
  sizeBits: 0,
  uses: ['sign', 'decrypt'],
  ckaId: Buffer.alloc(0),
  ...more,
});

function cipherOf(key: ResidentKey, scheme: string) {
  const found = key.ciphers.find((each) => each.scheme === scheme);
  if (!found) throw new Error(`no ${scheme}`);
  return found;
}

for (const newest of ['2.0', '1.4', '1.2'])
  t.test(`KMIP ${newest}: a pair is made, listed, read, used and destroyed`, async (t) => {
    const resident = createResident(t, { 'newest-version': newest });
    const name = `pair-${newest}`;
    const made = await resident.create(wanted(name, {}));
    t.match(made, { name, spec: 'rsa-2048', sizeBits: 2048, version: null, isPrimary: true });
    const listed = await resident.list('pair-', 10);
    t.strictSame(listed, [made], 'the very same as a list shows');
    t.ok(Math.abs((made.createdAt ?? 0) - Date.now()) < 60_000);
    const object = createPublicKey({ key: await resident.publicKey(made), format: 'der', type: 'spki' });
    t.equal(object.asymmetricKeyDetails?.modulusLength, 2048);
    const message = randomBytes(100);
    for (const hash of ['sha256', 'sha512'] as const) {
      const algorithm = made.signs.find((each) => each.scheme === 'rsa-pkcs1' && each.hash === hash);
      if (!algorithm?.takesMessage) throw new Error('no algorithm that takes messages');
      const signature = await resident.sign(made, algorithm, message, 0);
      t.ok(verify(hash, message, { key: object, padding: constants.RSA_PKCS1_PADDING }, signature));
      // Signature Verify, for which the server needs the public key.
      t.equal(await resident.verify?.(made, algorithm, message, signature, 0), true);
      t.equal(await resident.verify?.(made, algorithm, Buffer.from('another'), signature, 0), false);
      const bad = Buffer.from(signature);
      bad[9] = (bad[9] ?? 0) ^ 1;
      t.equal(await resident.verify?.(made, algorithm, message, bad, 0), false);
    }
    t.ok(
      made.signs.every(({ scheme }) => scheme === 'rsa-pkcs1'),
      'no more than PyKMIP does',
    );
    t.strictSame(made.ciphers, []);
    await t.rejects(resident.create(wanted(name, {})), {
      code: 'provider_refused',
      message: /in use already/,
    });
    await t.rejects(async () => resident.rotate?.(made), {
      code: 'provider_refused',
      message: /the server does not support RekeyKeyPair/,
    });
    t.equal(await resident.destroy(made), 'destroyed');
    t.strictSame(await resident.list('pair-', 10), []);
    await t.rejects(resident.publicKey(made), { code: 'provider_refused' }, 'and its public half is gone');
  });

t.test('an AES key encrypts and decrypts, by GCM and CBC', async (t) => {
  const resident = createResident(t);
  const key = await resident.create(wanted('aes', { spec: 'aes-256' }));
  const plaintext = randomBytes(100);
  for (const [scheme, parameters] of [
    ['aes-gcm', { ...NONE, iv: randomBytes(12), aad: Buffer.from('aad'), tagBits: 128 }],
    ['aes-gcm', { ...NONE, iv: randomBytes(12), tagBits: 96 }],
    ['aes-cbc-pad', { ...NONE, iv: randomBytes(16) }],
  ] as const) {
    const algorithm = cipherOf(key, scheme);
    const ciphertext = await resident.encrypt(key, algorithm, parameters, plaintext);
    t.equal(ciphertext.length, scheme === 'aes-gcm' ? 100 + parameters.tagBits / 8 : 112);
    t.ok((await resident.decrypt(key, algorithm, parameters, ciphertext)).equals(plaintext));
    const bad = Buffer.from(ciphertext);
    bad[bad.length - 1] = (bad.at(-1) ?? 0) ^ 0x80;
    if (scheme === 'aes-gcm')
      await t.rejects(resident.decrypt(key, algorithm, parameters, bad), { code: 'encrypted_data_invalid' });
    await t.rejects(resident.decrypt(key, algorithm, parameters, ciphertext.subarray(0, -1)), {
      code: 'encrypted_data_invalid',
    });
  }
  server.setState(key.id, 'deactivated');
  t.strictSame(await resident.list('aes', 10), [], 'a key that is not active is not there');
  const gcm = { ...NONE, iv: randomBytes(12), tagBits: 128 };
  await t.rejects(resident.encrypt(key, cipherOf(key, 'aes-gcm'), gcm, plaintext), {
    code: 'provider_refused',
  });
  server.setState(key.id, 'active');
  await resident.destroy(key);
});

t.test('codes are made by HMAC and by CMAC', async (t) => {
  const resident = createResident(t);
  const id = await server.makeKey('hmac', 'mac-hmac', Buffer.alloc(32, 7));
  const cmac = await resident.create(wanted('mac-cmac', { spec: 'aes-128', uses: ['sign'] }));
  const listed = await resident.list('mac-', 10);
  t.strictSame(listed.map(({ spec, sizeBits }) => `${spec} ${sizeBits}`).sort(), [
    'aes-128 128',
    'generic 256',
  ]);
  const hmac = listed.find((key) => key.id === id);
  const [algorithm] = hmac?.signs ?? [];
  if (!hmac || !algorithm) throw new Error('no key for HMAC');
  t.strictSame(hmac.signs, [{ scheme: 'hmac', hash: 'sha256' }]);
  const message = randomBytes(1000);
  const expected = createHmac('sha256', Buffer.alloc(32, 7)).update(message).digest();
  t.ok((await resident.sign(hmac, algorithm, message, 0)).equals(expected));
  t.strictSame(cmac.signs, [{ scheme: 'aes-cmac', hash: null }]);
  t.strictSame(cmac.ciphers, [], 'it was made to sign alone');
  const code = await resident.sign(cmac, { scheme: 'aes-cmac', hash: null }, message, 0);
  t.equal(code.length, 16);
  t.ok((await resident.sign(cmac, { scheme: 'aes-cmac', hash: null }, message, 0)).equals(code));
});

t.test('a salt that the server does not honour is refused, not passed on', async (t) => {
  const resident = createResident(t);
  const key = await resident.create(wanted('salted', {}));
  const pss = { scheme: 'rsa-pss', hash: 'sha256', takesMessage: true } as const;
  await t.rejects(resident.sign(key, pss, Buffer.from('a'), 32), {
    code: 'provider_refused',
    message: /rsa-pss/,
  });
  const most = 256 - 32 - 2;
  t.equal((await resident.sign(key, pss, Buffer.from('a'), most)).length, 256);
  await resident.destroy(key);
});

t.test('what is not to be listed is not', async (t) => {
  const resident = createResident(t);
  const key = await resident.create(wanted('kept.1', { spec: 'aes-128' }));
  await resident.create(wanted('kept.2', { spec: 'aes-192' }));
  t.notOk(
    (await resident.list('', 100)).some(({ id }) => id === kek),
    'the key of data keys',
  );
  t.strictSame((await resident.list('kept.', 2)).map(({ name }) => name).sort(), ['kept.1', 'kept.2']);
  await t.rejects(resident.list('kept.', 1), { code: 'provider_refused', message: /prefix/ });
  await t.rejects(resident.create(wanted('ec', { spec: 'ec-p256' })), { code: 'provider_refused' });
  t.strictSame(await resident.list('ec', 10), [], 'and nothing is left of it');
  await resident.destroy(key);
  await t.rejects(resident.publicKey({ ...key, id: '9999' }), { code: 'provider_refused' });
});

t.test('a server that is away is unreachable', async (t) => {
  const resident = createResident(t, { timeout: '1s', 'try-timeout': '500ms' });
  await server.stop();
  await t.rejects(resident.list('', 10), { code: 'provider_unreachable' });
  await t.rejects(resident.create(wanted('away', {})), { code: 'provider_unreachable' });
  await server.start();
  t.ok(await resident.list('', 100));
});
