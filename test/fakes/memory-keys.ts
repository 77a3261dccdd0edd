/** A key service in memory with real cryptography: what the domain's tests use, itself held to the contract of adapters. */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  privateDecrypt,
  privateEncrypt,
  publicDecrypt,
  randomBytes,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto';
import { SidekeyError } from '../../src/errors.ts';
import type {
  CipherAlgorithm,
  CipherParameters,
  HashName,
  KeySpec,
  NewResidentKey,
  ResidentKey,
  ResidentKeys,
  SignAlgorithm,
} from '../../src/tokens/resident-port.ts';
import { decodeDer } from '../../src/wire/ecdsa-signature.ts';
import { signDigest } from './sign-digest.ts';

interface Held {
  readonly key: ResidentKey;
  readonly material: KeyObject | Buffer;
}

const BITS: Readonly<Partial<Record<KeySpec, number>>> = {
  'rsa-2048': 2048,
  'ec-p256': 256,
  ed25519: 255,
  'ml-dsa-65': 8 * 1952,
  'aes-256': 256,
};
const CURVE = 'prime256v1';

function makeMaterial({ spec, sizeBits }: NewResidentKey): KeyObject | Buffer {
  if (spec === 'rsa-2048') return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  if (spec === 'ec-p256') return generateKeyPairSync('ec', { namedCurve: CURVE }).privateKey;
  if (spec === 'ed25519') return generateKeyPairSync('ed25519').privateKey;
  if (spec === 'ml-dsa-65') return generateKeyPairSync('ml-dsa-65').privateKey;
  return randomBytes((BITS[spec] ?? sizeBits) / 8);
}

const pkcs1 = (hash: HashName | null): SignAlgorithm => ({ scheme: 'rsa-pkcs1', hash });
const SIGNS: Readonly<Partial<Record<KeySpec, readonly SignAlgorithm[]>>> = {
  'rsa-2048': [
    pkcs1(null),
    { scheme: 'rsa-pss', hash: 'sha256' },
    { scheme: 'rsa-pss', hash: 'sha512', anySalt: true, neverUnsalted: true },
  ],
  'ec-p256': [{ scheme: 'ecdsa', hash: 'sha256' }],
  ed25519: [{ scheme: 'eddsa', hash: null, maxBytes: 4096 }],
  'ml-dsa-65': [{ scheme: 'ml-dsa', hash: null, maxBytes: 4096 }],
  generic: [{ scheme: 'hmac', hash: 'sha256' }],
};
const CIPHERS: Readonly<Partial<Record<KeySpec, readonly CipherAlgorithm[]>>> = {
  'rsa-2048': [{ scheme: 'rsa-oaep', hash: 'sha256', encrypts: false }],
  'aes-256': [
    { scheme: 'aes-gcm', hash: null, encrypts: true },
    { scheme: 'aes-cbc-pad', hash: null, encrypts: true },
  ],
};

export class MemoryKeys implements ResidentKeys {
  readonly creates: readonly KeySpec[] = [
    'rsa-2048',
    'ec-p256',
    'ed25519',
    'ml-dsa-65',
    'aes-256',
    'generic',
  ];
  keepsIds = false;
  /** Public halves are not given out: the service verifies. */
  hidesPublic = false;
  /** Thrown by every call while it is set. */
  fault: SidekeyError | null = null;
  readonly calls: string[] = [];
  readonly #held = new Map<string, Held>();

  #enter(call: string): void {
    this.calls.push(call);
    if (this.fault !== null) throw this.fault;
  }

  #find(key: ResidentKey): Held {
    const held = this.#held.get(key.id);
    if (held === undefined) throw new SidekeyError('provider_refused', `no key ${key.id}`);
    return held;
  }

  async list(prefix: string): Promise<ResidentKey[]> {
    this.#enter('list');
    return [...this.#held.values()].map(({ key }) => key).filter(({ name }) => name.startsWith(prefix));
  }

  async publicKey(key: ResidentKey): Promise<Buffer> {
    this.#enter('publicKey');
    const { material } = this.#find(key);
    if (Buffer.isBuffer(material) || this.hidesPublic)
      throw new SidekeyError('provider_refused', 'no public key');
    return createPublicKey(material).export({ format: 'der', type: 'spki' });
  }

  async rotate(former: ResidentKey): Promise<ResidentKey> {
    this.#enter('rotate');
    const held = this.#find(former);
    const [name, uses] = [
      former.name,
      former.signs.length > 0 ? (['sign'] as const) : (['decrypt'] as const),
    ];
    this.#held.set(former.id, { ...held, key: { ...former, isPrimary: false, version: '1' } });
    const id = `${former.id}-next`;
    const wanted = { name, spec: former.spec, sizeBits: former.sizeBits, uses, ckaId: Buffer.alloc(0) };
    const key = { ...former, id, version: '2', isPrimary: true };
    this.#held.set(id, { key, material: makeMaterial(wanted) });
    return key;
  }

  async create(wanted: NewResidentKey): Promise<ResidentKey> {
    this.#enter('create');
    const { name, spec } = wanted;
    if ([...this.#held.values()].some(({ key }) => key.name === name))
      throw new SidekeyError('provider_refused', `there is a key ${name}`);
    const key: ResidentKey = {
      ...{ id: `key-${randomBytes(4).toString('hex')}`, name, version: null, isPrimary: true, spec },
      ...{ sizeBits: BITS[spec] ?? wanted.sizeBits, createdAt: null, ckaId: null },
      signs: wanted.uses.includes('sign') ? (SIGNS[spec] ?? []) : [],
      ciphers: wanted.uses.includes('decrypt') ? (CIPHERS[spec] ?? []) : [],
      ...(wanted.uses.includes('agree') && spec === 'ec-p256' ? { agrees: true } : {}),
    };
    this.#held.set(key.id, { key, material: makeMaterial(wanted) });
    return key;
  }

  async destroy(key: ResidentKey): Promise<string> {
    this.#enter('destroy');
    this.#find(key);
    this.#held.delete(key.id);
    return 'destroyed';
  }

  async sign(
    key: ResidentKey,
    { scheme, hash }: SignAlgorithm,
    input: Buffer,
    saltBytes: number,
  ): Promise<Buffer> {
    this.#enter('sign');
    const { material } = this.#find(key);
    if (Buffer.isBuffer(material))
      return createHmac(hash ?? 'sha256', material)
        .update(input)
        .digest();
    if (scheme === 'eddsa' || scheme === 'ml-dsa') return sign(null, input, material);
    if (scheme === 'rsa-pkcs1')
      return privateEncrypt({ key: material, padding: constants.RSA_PKCS1_PADDING }, input);
    const how = { scheme, hash: hash ?? 'sha256', saltBytes } as const;
    if (scheme === 'rsa-pss') return signDigest(material, { ...how, scheme }, input);
    return decodeDer(signDigest(material, { ...how, scheme: 'ecdsa' }, input), key.sizeBits) ?? input;
  }

  async verifies(): Promise<boolean> {
    return this.hidesPublic;
  }

  async verify(
    key: ResidentKey,
    { scheme }: SignAlgorithm,
    input: Buffer,
    signature: Buffer,
  ): Promise<boolean> {
    this.#enter('verify');
    const { material } = this.#find(key);
    if (Buffer.isBuffer(material)) throw new SidekeyError('provider_refused', 'no pair');
    if (scheme === 'eddsa') return verify(null, input, createPublicKey(material), signature);
    if (scheme !== 'rsa-pkcs1') throw new SidekeyError('provider_refused', `no ${scheme}`);
    const how = { key: createPublicKey(material), padding: constants.RSA_PKCS1_PADDING };
    try {
      return publicDecrypt(how, signature).equals(input);
    } catch {
      return false;
    }
  }

  async agree(key: ResidentKey, other: Buffer): Promise<Buffer> {
    this.#enter('agree');
    const { material } = this.#find(key);
    if (Buffer.isBuffer(material)) throw new SidekeyError('provider_refused', 'no pair');
    const publicKey = createPublicKey({ key: other, format: 'der', type: 'spki' });
    return diffieHellman({ privateKey: material, publicKey });
  }

  async encrypt(
    key: ResidentKey,
    { scheme }: CipherAlgorithm,
    { iv, aad }: CipherParameters,
    plaintext: Buffer,
  ): Promise<Buffer> {
    this.#enter('encrypt');
    const material = this.#find(key).material as Buffer;
    if (scheme === 'aes-gcm') {
      const cipher = createCipheriv('aes-256-gcm', material, iv).setAAD(aad);
      return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    }
    const cipher = createCipheriv('aes-256-cbc', material, iv);
    return Buffer.concat([cipher.update(plaintext), cipher.final()]);
  }

  async decrypt(
    key: ResidentKey,
    { scheme }: CipherAlgorithm,
    parameters: CipherParameters,
    ciphertext: Buffer,
  ): Promise<Buffer> {
    this.#enter('decrypt');
    const { material } = this.#find(key);
    try {
      if (!Buffer.isBuffer(material)) {
        const padding = constants.RSA_PKCS1_OAEP_PADDING;
        return privateDecrypt({ key: material, padding, oaepHash: 'sha256' }, ciphertext);
      }
      return openWith(material, scheme, parameters, ciphertext);
    } catch (cause) {
      throw new SidekeyError('encrypted_data_invalid', 'it does not open', { cause });
    }
  }
}

function openWith(
  material: Buffer,
  scheme: CipherAlgorithm['scheme'],
  { iv, aad }: CipherParameters,
  ciphertext: Buffer,
): Buffer {
  if (scheme !== 'aes-gcm') {
    const decipher = createDecipheriv('aes-256-cbc', material, iv);
    return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
  }
  const decipher = createDecipheriv('aes-256-gcm', material, iv, { authTagLength: 16 }).setAAD(aad);
  decipher.setAuthTag(ciphertext.subarray(-16));
  return Buffer.concat([decipher.update(ciphertext.subarray(0, -16)), decipher.final()]);
}
