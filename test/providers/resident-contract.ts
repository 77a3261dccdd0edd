/**
 * The contract of every adapter's resident keys (src/tokens/resident-port.ts), with a service that answers. Everything that a key
 * claims to support is done, and checked by node:crypto with the public key.
 */
import {
  constants,
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
  verify,
  type KeyObject,
} from 'node:crypto';
import type { Test } from 'tap';
import type {
  CipherAlgorithm,
  CipherParameters,
  KeySpec,
  ResidentKey,
  ResidentKeys,
  ResidentUse,
  SignAlgorithm,
} from '../../src/tokens/resident-port.ts';

export interface ResidentScene {
  readonly keys: ResidentKeys;
  /** Specs to try; absent: all that it creates. */
  readonly specs?: readonly KeySpec[];
  /** Uses for which keys of a spec can be created, if this service supports fewer than others. */
  readonly uses?: Readonly<Partial<Record<KeySpec, readonly (readonly ResidentUse[])[]>>>;
}

/** For emulators of AWS, which do not support key agreement. */
export const NO_AGREEMENT: NonNullable<ResidentScene['uses']> = {
  ...{ 'ec-p256': [['sign']], 'ec-p384': [['sign']], 'ec-p521': [['sign']] },
};

const MESSAGE = Buffer.from('a message of some length, so that no hash of it is short');
const MAX = 100;

const USES: Readonly<Partial<Record<KeySpec, readonly (readonly ResidentUse[])[]>>> = {
  'rsa-2048': [['sign'], ['decrypt']],
  'rsa-3072': [['sign'], ['decrypt']],
  'rsa-4096': [['sign'], ['decrypt']],
  'aes-128': [['decrypt']],
  'aes-192': [['decrypt']],
  'aes-256': [['decrypt']],
};

function inputOf({ scheme, hash, takesMessage }: SignAlgorithm): {
  input: Buffer;
  verifyHash: string | null;
} {
  if (takesMessage === true) return { input: MESSAGE, verifyHash: hash };
  if (scheme === 'eddsa' || scheme === 'ml-dsa') return { input: MESSAGE, verifyHash: null };
  if (scheme === 'hmac' || scheme === 'aes-cmac') return { input: MESSAGE, verifyHash: null };
  const used = hash ?? 'sha256';
  const digest = createHash(used).update(MESSAGE).digest();
  if (scheme !== 'rsa-pkcs1' || hash !== null) return { input: digest, verifyHash: used };
  const prefix = Buffer.from('3031300d060960864801650304020105000420', 'hex');
  return { input: Buffer.concat([prefix, digest]), verifyHash: used };
}

function isSignature(key: KeyObject, algorithm: SignAlgorithm, signature: Buffer, salt: number): boolean {
  const { verifyHash } = inputOf(algorithm);
  if (verifyHash === null && !algorithm.scheme.startsWith('rsa'))
    return verify(null, MESSAGE, key, signature);
  if (algorithm.scheme === 'ecdsa')
    return verify(verifyHash, MESSAGE, { key, dsaEncoding: 'ieee-p1363' }, signature);
  const isPss = algorithm.scheme === 'rsa-pss';
  const padding = isPss ? constants.RSA_PKCS1_PSS_PADDING : constants.RSA_PKCS1_PADDING;
  return verify(verifyHash, MESSAGE, { key, padding, ...(isPss ? { saltLength: salt } : {}) }, signature);
}

async function checkSigning(t: Test, keys: ResidentKeys, key: ResidentKey, shown: KeyObject): Promise<void> {
  for (const algorithm of key.signs) {
    const { input } = inputOf(algorithm);
    const usual = algorithm.hash === null ? 0 : createHash(algorithm.hash).digest().length;
    const other = algorithm.neverUnsalted ? 1 : 0;
    const salts = algorithm.scheme === 'rsa-pss' && algorithm.anySalt ? [usual, other] : [usual];
    for (const salt of salts) {
      const signature = await keys.sign(key, algorithm, input, salt);
      const name = `${key.spec} by ${algorithm.scheme} ${algorithm.hash ?? ''}`;
      t.ok(isSignature(shown, algorithm, signature, salt), name);
    }
  }
}

async function checkCodes(t: Test, keys: ResidentKeys, key: ResidentKey): Promise<void> {
  for (const algorithm of key.signs) {
    const [first, again] = [
      await keys.sign(key, algorithm, MESSAGE, 0),
      await keys.sign(key, algorithm, MESSAGE, 0),
    ];
    const other = await keys.sign(key, algorithm, Buffer.from('another'), 0);
    const bytes = algorithm.hash === null ? 16 : createHash(algorithm.hash).digest().length;
    t.equal(first.length, bytes, `${algorithm.scheme} ${algorithm.hash ?? ''}`);
    t.ok(first.equals(again) && !first.equals(other), 'the same message gives the same code');
  }
}

const NONE: CipherParameters = {
  iv: Buffer.alloc(0),
  aad: Buffer.alloc(0),
  tagBits: 0,
  label: Buffer.alloc(0),
};

async function checkDecryption(
  t: Test,
  keys: ResidentKeys,
  key: ResidentKey,
  shown: KeyObject,
): Promise<void> {
  for (const algorithm of key.ciphers) {
    const isOaep = algorithm.scheme === 'rsa-oaep';
    const padding = isOaep ? constants.RSA_PKCS1_OAEP_PADDING : constants.RSA_PKCS1_PADDING;
    const how = { key: shown, padding, ...(isOaep ? { oaepHash: algorithm.hash ?? 'sha1' } : {}) };
    const ciphertext = publicEncrypt(how, Buffer.from('a secret'));
    const name = `${key.spec} by ${algorithm.scheme} ${algorithm.hash ?? ''}`;
    t.equal((await keys.decrypt(key, algorithm, NONE, ciphertext)).toString(), 'a secret', name);
    if (!isOaep) continue;
    ciphertext.writeUInt8(ciphertext.readUInt8(9) ^ 1, 9);
    await t.rejects(keys.decrypt(key, algorithm, NONE, ciphertext), { code: 'encrypted_data_invalid' });
  }
}

function parametersFor({ scheme }: CipherAlgorithm): CipherParameters {
  if (scheme === 'aes-gcm') return { ...NONE, iv: randomBytes(12), aad: Buffer.from('beside'), tagBits: 128 };
  return scheme === 'aes-ecb' ? NONE : { ...NONE, iv: randomBytes(16) };
}

async function checkCiphers(t: Test, keys: ResidentKeys, key: ResidentKey): Promise<void> {
  for (const algorithm of key.ciphers.filter(({ encrypts }) => encrypts)) {
    const parameters = parametersFor(algorithm);
    const plaintext = randomBytes(48);
    const ciphertext = await keys.encrypt(key, algorithm, parameters, plaintext);
    t.notOk(ciphertext.includes(plaintext.subarray(0, 16)), `${key.spec} by ${algorithm.scheme}`);
    t.ok((await keys.decrypt(key, algorithm, parameters, ciphertext)).equals(plaintext), 'and back');
    if (algorithm.scheme !== 'aes-gcm') continue;
    t.equal(ciphertext.length, plaintext.length + 16, 'with its tag at the end');
    ciphertext.writeUInt8(ciphertext.readUInt8(0) ^ 1, 0);
    await t.rejects(keys.decrypt(key, algorithm, parameters, ciphertext), { code: 'encrypted_data_invalid' });
  }
}

async function checkAgreement(
  t: Test,
  keys: ResidentKeys,
  key: ResidentKey,
  shown: KeyObject,
): Promise<void> {
  if (key.agrees !== true || keys.agree === undefined) return;
  const namedCurve = shown.asymmetricKeyDetails?.namedCurve ?? '';
  const other = generateKeyPairSync('ec', { namedCurve });
  const secret = await keys.agree(key, other.publicKey.export({ format: 'der', type: 'spki' }));
  const expected = diffieHellman({ privateKey: other.privateKey, publicKey: shown });
  t.ok(secret.equals(expected), `${key.spec}: both sides have the same secret`);
}

function isPair(spec: KeySpec): boolean {
  return !spec.startsWith('aes') && spec !== 'generic';
}

async function checkKey(t: Test, keys: ResidentKeys, key: ResidentKey): Promise<void> {
  if (!isPair(key.spec)) {
    await checkCodes(t, keys, key);
    return checkCiphers(t, keys, key);
  }
  const info = await keys.publicKey(key);
  const shown = createPublicKey({ key: info, format: 'der', type: 'spki' });
  await checkSigning(t, keys, key, shown);
  await checkDecryption(t, keys, key, shown);
  await checkAgreement(t, keys, key, shown);
}

/** Services that support key agreement create keys for it on the NIST curves. */
function usesOf(spec: KeySpec, keys: ResidentKeys): readonly (readonly ResidentUse[])[] {
  const others = USES[spec] ?? [['sign']];
  return keys.agree !== undefined && spec.startsWith('ec-p') ? [...others, ['agree']] : others;
}

export function testResidentKeys(
  t: Test,
  name: string,
  makeScene: (t: Test) => Promise<ResidentScene>,
): void {
  void t.test(`${name}: keys are made, listed, used and destroyed in the service`, async (t) => {
    const { keys, specs = keys.creates, uses: possible = {} } = await makeScene(t);
    const prefix = `contract-${randomBytes(3).toString('hex')}-`;
    for (const spec of specs) {
      for (const uses of possible[spec] ?? usesOf(spec, keys)) {
        const wanted = {
          ...{ name: `${prefix}${spec}-${uses.join('')}`, spec, uses },
          ...{
            sizeBits: 256,
            ckaId: keys.keepsIds ? Buffer.from(`id ${spec} ${uses.join('')}`) : Buffer.alloc(0),
          },
        };
        const made = await keys.create(wanted);
        const listed = (await keys.list(prefix, MAX)).find(({ id }) => id === made.id);
        t.same(
          listed,
          { ...made, createdAt: listed?.createdAt },
          `${spec} for ${uses.join()} is listed as it was made`,
        );
        t.equal(made.name, wanted.name);
        t.equal(made.spec, spec);
        if (keys.keepsIds) t.same(made.ckaId, wanted.ckaId);
        const able = { sign: made.signs.length, decrypt: made.ciphers.length, agree: Number(made.agrees) };
        t.ok(able[uses[0] ?? 'sign'] > 0, `it can ${uses.join()}`);
        if (listed !== undefined) await checkKey(t, keys, listed);
      }
    }
    t.same(await keys.list(`${prefix}none`, MAX), [], 'another prefix, no key');
  });

  void t.test(`${name}: a rotated key is two, both of which sign, where keys have versions`, async (t) => {
    const { keys, specs = keys.creates } = await makeScene(t);
    const spec = specs.find((each) => each === 'ec-p256');
    if (keys.rotate === undefined || spec === undefined) return;
    const prefix = `turn-${randomBytes(3).toString('hex')}-`;
    const rest = { sizeBits: 256, ckaId: Buffer.alloc(0) };
    const former = await keys.create({ name: `${prefix}key`, spec, uses: ['sign'], ...rest });
    const before = await keys.publicKey(former);
    const made = await keys.rotate(former);
    t.not(made.id, former.id);
    const listed = await keys.list(prefix, MAX);
    t.same(
      listed.map(({ id, isPrimary }) => [id, isPrimary]).sort(),
      [
        [former.id, false],
        [made.id, true],
      ].sort(),
    );
    for (const key of listed) {
      const shown = createPublicKey({ key: await keys.publicKey(key), format: 'der', type: 'spki' });
      await checkSigning(t, keys, key, shown);
    }
    t.ok(before.equals(await keys.publicKey(former)) && !before.equals(await keys.publicKey(made)));
  });

  void t.test(`${name}: a name is taken once, and a destroyed key is of no use`, async (t) => {
    const { keys, specs = keys.creates } = await makeScene(t);
    const prefix = `once-${randomBytes(3).toString('hex')}-`;
    const [spec] = specs;
    if (spec === undefined) return;
    const wanted = { name: `${prefix}key`, spec, uses: USES[spec]?.[0] ?? ['sign' as const] };
    const rest = { sizeBits: 256, ckaId: Buffer.alloc(0) };
    const key = await keys.create({ ...wanted, ...rest });
    await t.rejects(keys.create({ ...wanted, ...rest }), { code: 'provider_refused' });
    t.equal((await keys.list(prefix, MAX)).length, 1);
    t.match(await keys.destroy(key), /destroyed/);
    t.same(await keys.list(prefix, MAX), []);
    const [algorithm] = key.signs;
    if (algorithm === undefined) return;
    await t.rejects(keys.sign(key, algorithm, inputOf(algorithm).input, 32), { code: 'provider_refused' });
  });
}
