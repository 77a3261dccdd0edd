/**
 * The keys of a ring of the strict Google Cloud KMS: lists in pages, versions, public keys, and real cryptography by each algorithm.
 * Fields and checksums are taken by the service itself, which refuses what is left over.
 */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  privateDecrypt,
  privateEncrypt,
  randomBytes,
  sign,
  type KeyObject,
} from 'node:crypto';
import { signDigest } from './sign-digest.ts';

/** How the service reads and writes a field with its checksum, and says no. */
export interface FieldDesk {
  take(fields: Record<string, unknown>, name: string): Buffer;
  takeDigest(fields: Record<string, unknown>, hash: string): Buffer;
  give(name: string, bytes: Buffer): object;
  end(fields: object): void;
  refuse(status: number, name: string, message: string): never;
}

interface Version {
  readonly name: string;
  readonly algorithm: string;
  readonly protectionLevel: string;
  readonly createTime: string;
  state: 'PENDING_GENERATION' | 'ENABLED' | 'DISABLED' | 'DESTROY_SCHEDULED';
  readonly privateKey: KeyObject | null;
  readonly secret: Buffer;
  destroyTime?: string;
}

interface Key {
  readonly name: string;
  readonly purpose: string;
  readonly versions: Version[];
}

const CURVES: Readonly<Record<string, string>> = { P256: 'P-256', P384: 'P-384', SECP256K1: 'secp256k1' };
const PURPOSES: Readonly<Record<string, RegExp>> = {
  ASYMMETRIC_SIGN: /^(RSA_SIGN|EC_SIGN)_/,
  ASYMMETRIC_DECRYPT: /^RSA_DECRYPT_OAEP_/,
  MAC: /^HMAC_/,
  RAW_ENCRYPT_DECRYPT: /^AES_(128|256)_(GCM|CBC)$/,
};
const MAC_BYTES: Readonly<Record<string, number>> = {
  SHA1: 20,
  SHA224: 28,
  SHA256: 32,
  SHA384: 48,
  SHA512: 64,
};
const VERBS: Readonly<Record<string, string>> = {
  asymmetricSign: 'ASYMMETRIC_SIGN',
  asymmetricDecrypt: 'ASYMMETRIC_DECRYPT',
  macSign: 'MAC',
  rawEncrypt: 'RAW_ENCRYPT_DECRYPT',
  rawDecrypt: 'RAW_ENCRYPT_DECRYPT',
};

function makePrivateKey(algorithm: string): KeyObject | null {
  const rsa = /^RSA_.*_(2048|3072|4096)(_|$)/.exec(algorithm)?.[1];
  if (rsa !== undefined) return generateKeyPairSync('rsa', { modulusLength: Number(rsa) }).privateKey;
  const curve = CURVES[/^EC_SIGN_(P256|P384|SECP256K1)_/.exec(algorithm)?.[1] ?? ''];
  if (curve !== undefined) return generateKeyPairSync('ec', { namedCurve: curve }).privateKey;
  return algorithm === 'EC_SIGN_ED25519' ? generateKeyPairSync('ed25519').privateKey : null;
}

function makeSecret(algorithm: string): Buffer {
  const aes = /^AES_(128|256)_/.exec(algorithm)?.[1];
  if (aes !== undefined) return randomBytes(Number(aes) / 8);
  return randomBytes(MAC_BYTES[algorithm.replace('HMAC_', '')] ?? 0);
}

export class FakeGcpKeys {
  readonly #desk: FieldDesk;
  readonly #ring: string;
  readonly #keys = new Map<string, Key>();
  /** So many looks at a new version find it pending. */
  looks = 1;
  #pending = 0;
  /** Most entries of a page. */
  page = 2;

  constructor(ring: string, desk: FieldDesk) {
    this.#ring = ring;
    this.#desk = desk;
  }

  /** A key of the ring, ready; a second call adds a version. */
  add(id: string, purpose: string, algorithm: string): Version {
    const name = `${this.#ring}/cryptoKeys/${id}`;
    const key = this.#keys.get(name) ?? { name, purpose, versions: [] };
    this.#keys.set(name, key);
    const version: Version = {
      name: `${name}/cryptoKeyVersions/${key.versions.length + 1}`,
      algorithm,
      protectionLevel: 'SOFTWARE',
      createTime: new Date().toISOString(),
      state: 'ENABLED',
      privateKey: makePrivateKey(algorithm),
      secret: makeSecret(algorithm),
    };
    key.versions.push(version);
    return version;
  }

  /** The key of a version, for a test to compare with. */
  secretOf({ name }: { name: string }): Buffer {
    return this.#version(name).secret;
  }

  /** `path`: below /v1/. */
  answer(method: string, path: string, query: URLSearchParams, fields: Record<string, unknown>): object {
    const [name = '', verb] = path.split(':');
    if (name === `${this.#ring}/cryptoKeys`)
      return method === 'GET' ? this.#listKeys(query) : this.#create(query, fields);
    if (method === 'POST' && name.endsWith('/cryptoKeyVersions')) return this.#rotate(name, fields);
    if (method === 'GET' && name.endsWith('/cryptoKeyVersions')) return this.#listVersions(name, query);
    if (method === 'GET' && name.endsWith('/publicKey')) return this.#publicKey(name.slice(0, -10));
    const version = this.#version(name);
    if (method === 'GET') return this.#look(version);
    if (verb === 'destroy') return this.#destroy(version, fields);
    return this.#use(version, verb ?? '', fields);
  }

  #rotate(path: string, fields: Record<string, unknown>): object {
    const key = this.#keys.get(path.slice(0, -'/cryptoKeyVersions'.length));
    const last = key?.versions.at(-1);
    if (!key || !last || Object.keys(fields).length > 0) return this.#version(path);
    const id = key.name.slice(key.name.lastIndexOf('/') + 1);
    return this.#look(this.add(id, key.purpose, last.algorithm));
  }

  #version(name: string): Version {
    const key = this.#keys.get(name.slice(0, name.indexOf('/cryptoKeyVersions/')));
    const version = key?.versions.find((each) => each.name === name);
    return version ?? this.#desk.refuse(404, 'NOT_FOUND', `CryptoKeyVersion ${name} not found.`);
  }

  #describe({ name, algorithm, protectionLevel, createTime, state, destroyTime }: Version): object {
    return { name, algorithm, protectionLevel, createTime, state, ...(destroyTime ? { destroyTime } : {}) };
  }

  #look(version: Version): object {
    if (version.state === 'PENDING_GENERATION' && this.#pending-- <= 0) version.state = 'ENABLED';
    return this.#describe(version);
  }

  #paged(field: string, entries: readonly object[], query: URLSearchParams): object {
    const size = Number(query.get('pageSize'));
    if (!(size >= 1 && size <= 1000)) this.#desk.refuse(400, 'INVALID_ARGUMENT', 'page_size');
    const from = Number(query.get('pageToken') ?? 0);
    const to = from + Math.min(size, this.page);
    // An empty list and an empty token are left out.
    return {
      ...(entries.length > 0 ? { [field]: entries.slice(from, to) } : {}),
      totalSize: entries.length,
      ...(to < entries.length ? { nextPageToken: String(to) } : {}),
    };
  }

  #listKeys(query: URLSearchParams): object {
    const entries = [...this.#keys.values()].map(({ name, purpose, versions }) => ({
      ...{ name, purpose, createTime: versions[0]?.createTime },
      versionTemplate: { algorithm: versions[0]?.algorithm, protectionLevel: 'SOFTWARE' },
    }));
    return this.#paged('cryptoKeys', entries, query);
  }

  #listVersions(name: string, query: URLSearchParams): object {
    const key = this.#keys.get(name.slice(0, -'/cryptoKeyVersions'.length));
    if (!key) return this.#desk.refuse(404, 'NOT_FOUND', name);
    if (query.get('filter') !== 'state=ENABLED') this.#desk.refuse(400, 'INVALID_ARGUMENT', 'filter');
    const enabled = key.versions.filter(({ state }) => state === 'ENABLED');
    return this.#paged(
      'cryptoKeyVersions',
      enabled.map((each) => this.#describe(each)),
      query,
    );
  }

  #create(query: URLSearchParams, fields: Record<string, unknown>): object {
    const id = query.get('cryptoKeyId') ?? '';
    const { purpose, versionTemplate, ...rest } = fields;
    this.#desk.end(rest);
    const { algorithm, protectionLevel, ...others } = versionTemplate as Record<string, string>;
    this.#desk.end(others);
    const isKnown = PURPOSES[String(purpose)]?.test(algorithm ?? '') === true;
    const isAllowed = protectionLevel === 'HSM' || algorithm !== 'EC_SIGN_SECP256K1_SHA256';
    if (!/^[A-Za-z0-9_-]{1,63}$/.test(id) || !isKnown || !isAllowed)
      this.#desk.refuse(400, 'INVALID_ARGUMENT', `${id} ${String(purpose)} ${algorithm}`);
    if (this.#keys.has(`${this.#ring}/cryptoKeys/${id}`))
      this.#desk.refuse(409, 'ALREADY_EXISTS', `CryptoKey ${id} already exists.`);
    const version = this.add(id, String(purpose), algorithm ?? '');
    version.state = 'PENDING_GENERATION';
    this.#pending = this.looks;
    return { name: `${this.#ring}/cryptoKeys/${id}`, purpose, versionTemplate };
  }

  #destroy(version: Version, fields: object): object {
    this.#desk.end(fields);
    version.state = 'DESTROY_SCHEDULED';
    version.destroyTime = new Date(Date.now() + 30 * 86_400_000).toISOString();
    return this.#describe(version);
  }

  #publicKey(name: string): object {
    const { privateKey, state, algorithm } = this.#version(name);
    if (state !== 'ENABLED' || !privateKey)
      return this.#desk.refuse(400, 'FAILED_PRECONDITION', `${name} has no public key or is ${state}.`);
    const pem = createPublicKey(privateKey).export({ format: 'pem', type: 'spki' }).toString();
    return { name, algorithm, protectionLevel: 'SOFTWARE', ...this.#desk.give('pem', Buffer.from(pem)), pem };
  }

  #use(version: Version, verb: string, fields: Record<string, unknown>): object {
    const { name, algorithm, state } = version;
    const purpose = VERBS[verb] ?? this.#desk.refuse(404, 'NOT_FOUND', verb);
    if (!PURPOSES[purpose]?.test(algorithm))
      this.#desk.refuse(400, 'FAILED_PRECONDITION', `${name} is of another purpose`);
    if (state !== 'ENABLED')
      this.#desk.refuse(400, 'FAILED_PRECONDITION', `${name} is not enabled, current state is: ${state}.`);
    const uses: Record<string, () => object> = {
      asymmetricSign: () => this.#sign(version, fields),
      asymmetricDecrypt: () => this.#open(version, fields),
      macSign: () => this.#mac(version, fields),
      rawEncrypt: () => this.#encrypt(version, fields),
      rawDecrypt: () => this.#decrypt(version, fields),
    };
    const answer = uses[verb]?.() ?? {};
    this.#desk.end(fields);
    return { ...answer, protectionLevel: 'SOFTWARE' };
  }

  #sign({ name, algorithm, privateKey }: Version, fields: Record<string, unknown>): object {
    if (!privateKey) return this.#desk.refuse(400, 'FAILED_PRECONDITION', name);
    const give = (signature: Buffer, verified: string): object => ({
      ...{ name, ...this.#desk.give('signature', signature), [verified]: true },
    });
    const hash = /_SHA(\d+)$/.exec(algorithm)?.[1];
    if (hash === undefined) {
      const data = this.#desk.take(fields, 'data');
      const key = { key: privateKey, padding: constants.RSA_PKCS1_PADDING };
      const isRaw = algorithm.startsWith('RSA_SIGN_RAW_PKCS1_');
      return give(isRaw ? privateEncrypt(key, data) : sign(null, data, privateKey), 'verifiedDataCrc32c');
    }
    const digest = this.#desk.takeDigest(fields, `sha${hash}`);
    const isPss = algorithm.includes('_PSS_');
    const scheme = algorithm.startsWith('EC_') ? 'ecdsa' : isPss ? 'rsa-pss' : 'rsa-pkcs1';
    const signature = signDigest(privateKey, { scheme, hash: `sha${hash}` }, digest);
    return give(signature, 'verifiedDigestCrc32c');
  }

  #open({ algorithm, privateKey }: Version, fields: Record<string, unknown>): object {
    const ciphertext = this.#desk.take(fields, 'ciphertext');
    const oaepHash = (/_(SHA\d+)$/.exec(algorithm)?.[1] ?? '').toLowerCase();
    try {
      const how = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash };
      if (!privateKey) throw new TypeError('no private key');
      const plaintext = privateDecrypt({ key: privateKey, ...how }, ciphertext);
      return { ...this.#desk.give('plaintext', plaintext), verifiedCiphertextCrc32c: true };
    } catch {
      return this.#desk.refuse(400, 'INVALID_ARGUMENT', 'Decryption failed: the ciphertext is invalid.');
    }
  }

  #mac({ name, algorithm, secret }: Version, fields: Record<string, unknown>): object {
    const data = this.#desk.take(fields, 'data');
    const mac = createHmac(algorithm.replace('HMAC_', '').toLowerCase(), secret).update(data).digest();
    return { name, ...this.#desk.give('mac', mac), verifiedDataCrc32c: true };
  }

  #encrypt({ name, algorithm, secret }: Version, fields: Record<string, unknown>): object {
    const plaintext = this.#desk.take(fields, 'plaintext');
    if (algorithm.endsWith('_GCM'))
      return this.#desk.refuse(400, 'INVALID_ARGUMENT', 'no IV may be given for AES-GCM');
    const iv = this.#desk.take(fields, 'initializationVector');
    if (iv.length !== 16 || plaintext.length % 16 !== 0)
      this.#desk.refuse(400, 'INVALID_ARGUMENT', 'the IV has 16 bytes, and the plaintext whole blocks');
    const cipher = createCipheriv(`aes-${secret.length * 8}-cbc`, secret, iv).setAutoPadding(false);
    const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
    const verified = { verifiedPlaintextCrc32c: true, verifiedInitializationVectorCrc32c: true };
    return { name, ...this.#desk.give('ciphertext', ciphertext), ...verified };
  }

  #decrypt({ algorithm, secret }: Version, fields: Record<string, unknown>): object {
    const ciphertext = this.#desk.take(fields, 'ciphertext');
    const iv = this.#desk.take(fields, 'initializationVector');
    const verified = { verifiedCiphertextCrc32c: true, verifiedInitializationVectorCrc32c: true };
    const bits = secret.length * 8;
    if (algorithm.endsWith('_CBC')) {
      const decipher = createDecipheriv(`aes-${bits}-cbc`, secret, iv).setAutoPadding(false);
      const plaintext = Buffer.concat([decipher.update(ciphertext), decipher.final()]);
      return { ...this.#desk.give('plaintext', plaintext), ...verified };
    }
    const aad = this.#desk.take(fields, 'additionalAuthenticatedData');
    const tagLength = Number(fields['tagLength']);
    delete fields['tagLength'];
    try {
      const options = { authTagLength: tagLength };
      const decipher = createDecipheriv(bits === 128 ? 'aes-128-gcm' : 'aes-256-gcm', secret, iv, options);
      decipher.setAAD(aad).setAuthTag(ciphertext.subarray(-tagLength));
      const body = ciphertext.subarray(0, -tagLength);
      const plaintext = Buffer.concat([decipher.update(body), decipher.final()]);
      const all = { ...verified, verifiedAdditionalAuthenticatedDataCrc32c: true };
      return { ...this.#desk.give('plaintext', plaintext), ...all };
    } catch {
      return this.#desk.refuse(400, 'INVALID_ARGUMENT', 'Decryption failed: the ciphertext is invalid.');
    }
  }
}
