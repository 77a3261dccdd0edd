/**
 * Keys that stay in a KMIP server: its private keys and its symmetric ones, by name, while they are Active. What the server can do it says itself
 * (Query), and what a key may do the key (Cryptographic Usage Mask).
 */
import { createPublicKey, publicDecrypt, verify, constants, type KeyObject } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import type {
  CipherAlgorithm,
  CipherParameters,
  KeySpec,
  NewResidentKey,
  ResidentKey,
  ResidentKeys,
  SignAlgorithm,
} from '../../tokens/resident-port.ts';
import { decodeDer, scalarBytes } from '../../wire/ecdsa-signature.ts';
import { nameAttribute } from './attributes.ts';
import type { KmipCaller, KmipClient } from './client.ts';
import { KmipNo } from './fault.ts';
import * as keys from './key-operations.ts';
import type { KeyDescription, ServerDescription } from './key-operations.ts';
import { enumeration, integer, structure } from './message.ts';
import { decryptWith, encryptWith, mac, sign } from './resident-operations.ts';
import { ciphersOf, CREATABLE, findSpec, signsOf, specRow } from './resident-tables.ts';
import { KEY_FORMAT_TYPE, OBJECT_TYPE, RESULT_REASON, STATE, TAG, USAGE } from './tables.ts';
import type { TtlvItem } from './ttlv.ts';

/** Locate knows no prefixes: so many keys of a kind are looked through. */
const LOCATE_MAX = 4000;
const DESCRIBED_AT_ONCE = 8;
const VERIFIERS_MAX = 1000;

/** Answers to a Decrypt whose cause may be the ciphertext. */
const MAY_BE_DATA: readonly number[] = [
  RESULT_REASON.CryptographicFailure,
  RESULT_REASON.GeneralFailure,
  RESULT_REASON.InternalServerError,
];
const IS_GONE: readonly number[] = [
  RESULT_REASON.ItemNotFound,
  RESULT_REASON.ObjectNotFound,
  RESULT_REASON.ObjectDestroyed,
];

function reasonOf(error: unknown): number | null {
  return error instanceof SidekeyError && error.cause instanceof KmipNo ? error.cause.reason : null;
}

function isRefusal(error: unknown): boolean {
  return error instanceof SidekeyError && error.code === 'provider_refused';
}

/** Names are unique to a user of the server (KMIP 1.4, 3.2): the two halves of a pair cannot share one. */
const publicName = (name: string): string => `${name}.public`;

const usageAttribute = (usage: number): TtlvItem => integer(TAG.CryptographicUsageMask, usage);

const CURVES: Readonly<Partial<Record<KeySpec, string>>> = {
  ...{ 'ec-p256': 'P-256', 'ec-p384': 'P-384', 'ec-p521': 'P-521', 'ec-secp256k1': 'secp256k1' },
};

/** SubjectPublicKeyInfo of an uncompressed point; null: it is none, or not on the curve. */
function toInfo({ spec, sizeBits }: ResidentKey, point: Buffer): Buffer | null {
  const bytes = scalarBytes(sizeBits);
  if (point.length !== 1 + 2 * bytes) return null;
  const [x, y] = [point.subarray(1, 1 + bytes), point.subarray(1 + bytes)].map((of) =>
    of.toString('base64url'),
  );
  try {
    const key = { kty: 'EC', crv: CURVES[spec] ?? '', x: x ?? '', y: y ?? '' };
    return createPublicKey({ key, format: 'jwk' }).export({ format: 'der', type: 'spki' });
  } catch {
    return null;
  }
}

export interface ResidentOptions {
  readonly provider: string;
  readonly client: KmipClient;
  /** Of data keys: never shown. */
  readonly hidden: readonly string[];
}

export class KmipResidentKeys implements ResidentKeys {
  readonly creates = CREATABLE;
  readonly keepsIds = false;
  readonly #options: ResidentOptions;
  /** By the key's id: what its signatures are checked with. */
  readonly #verifiers = new Map<string, KeyObject>();

  constructor(options: ResidentOptions) {
    this.#options = options;
  }

  #refuse(key: string, what: string): never {
    throw new SidekeyError('provider_refused', `provider "${this.#options.provider}" (key ${key}): ${what}`);
  }

  async list(prefix: string, max: number): Promise<ResidentKey[]> {
    const by = this.#options.client.begin();
    const server = await keys.queryServer(by);
    const ids = await this.#locateActive(by);
    const found: ResidentKey[] = [];
    for (let at = 0; at < ids.length; at += DESCRIBED_AT_ONCE) {
      const some = ids.slice(at, at + DESCRIBED_AT_ONCE);
      const described = await Promise.all(some.map((id) => this.#describe(by, id, prefix, server)));
      found.push(...described.filter((key) => key !== null));
      if (found.length > max) this.#refuse('-', `more than ${max} keys: a narrower prefix is needed`);
    }
    return found;
  }

  async #locateActive(by: KmipCaller): Promise<string[]> {
    const located: string[] = [];
    for (const type of [OBJECT_TYPE.PrivateKey, OBJECT_TYPE.SymmetricKey]) {
      const filter = [enumeration(TAG.ObjectType, type), enumeration(TAG.State, STATE.Active)];
      const ids = await keys.locate(by, filter, LOCATE_MAX);
      if (ids.length >= LOCATE_MAX) this.#refuse('-', `more than ${LOCATE_MAX} keys of a kind`);
      located.push(...ids);
    }
    return located.filter((id) => !this.#options.hidden.includes(id));
  }

  /** null: it is not among these words, or not active any more. */
  async #describe(
    by: KmipCaller,
    id: string,
    prefix: string,
    server: ServerDescription,
  ): Promise<ResidentKey | null> {
    let described: KeyDescription;
    try {
      described = await keys.describeKey(by, id);
    } catch (error) {
      if (isRefusal(error)) return null;
      throw error;
    }
    const name = described.names.find((each) => each.startsWith(prefix));
    const spec = findSpec(described);
    if (name === undefined || spec === null || described.state !== STATE.Active) return null;
    return {
      id,
      name,
      version: null,
      isPrimary: true,
      spec,
      sizeBits: described.sizeBits ?? 0,
      signs: signsOf(described, server),
      ciphers: ciphersOf(described, server),
      ckaId: null,
      createdAt: described.createdAt,
    };
  }

  async publicKey(key: ResidentKey): Promise<Buffer> {
    const by = this.#options.client.begin();
    const id = await this.#publicKeyId(by, key);
    const { X509, PKCS1, TransparentECPublicKey } = KEY_FORMAT_TYPE;
    let { format, material } = await keys.getPublicKey(by, id, null);
    const point = format === TransparentECPublicKey && material !== null ? toInfo(key, material) : null;
    if (point !== null) return point;
    if (format !== X509 && format !== PKCS1) ({ format, material } = await keys.getPublicKey(by, id, X509));
    if (material === null || (format !== X509 && format !== PKCS1))
      this.#refuse(id, 'the public key comes in no format that is known here');
    try {
      const type = format === X509 ? 'spki' : 'pkcs1';
      const object = createPublicKey({ key: material, format: 'der', type });
      return object.export({ format: 'der', type: 'spki' });
    } catch (cause) {
      throw new SidekeyError(
        'provider_refused',
        `provider "${this.#options.provider}" (key ${id}): the public key is not what it says`,
        { cause },
      );
    }
  }

  /** By the private key's link; where the server keeps none, by name. */
  async #publicKeyId(by: KmipCaller, key: ResidentKey): Promise<string> {
    const { publicKeyId } = await keys.describeKey(by, key.id);
    if (publicKeyId !== null) return publicKeyId;
    for (const name of [publicName(key.name), key.name]) {
      const filter = [enumeration(TAG.ObjectType, OBJECT_TYPE.PublicKey), nameAttribute(name)];
      const [id, ...more] = await keys.locate(by, filter, 2);
      if (id !== undefined && more.length === 0) return id;
    }
    return this.#refuse(key.id, `there is not one public key of the name "${key.name}"`);
  }

  async create(wanted: NewResidentKey): Promise<ResidentKey> {
    const by = this.#options.client.begin();
    const taken = await keys.locate(by, [nameAttribute(wanted.name)], 1);
    if (taken.length > 0) this.#refuse(wanted.name, 'the name is taken');
    const ids = await this.#make(by, wanted);
    try {
      for (const id of ids) await this.#activate(by, id);
      const key = await this.#describe(by, ids[0], wanted.name, await keys.queryServer(by));
      return key ?? this.#refuse(ids[0], 'the server made something else');
    } catch (error) {
      // It would never be seen, and its name would be taken.
      for (const id of ids) await this.#end(by, id).catch(() => undefined);
      throw error;
    }
  }

  /** Unique identifiers: of the key, and of its public half. */
  #make(by: KmipCaller, wanted: NewResidentKey): Promise<[string, ...string[]]> {
    const { name, spec, uses } = wanted;
    const { objectType, algorithms, sizeBits, curve } = specRow(spec);
    const isPair = objectType === OBJECT_TYPE.PrivateKey;
    const usage = (use: 'sign' | 'decrypt', bits: number): number => (uses.includes(use) ? bits : 0);
    const common: TtlvItem[] = [
      enumeration(TAG.CryptographicAlgorithm, algorithms[0] ?? 0),
      integer(TAG.CryptographicLength, sizeBits ?? wanted.sizeBits),
    ];
    if (curve !== null)
      common.push(structure(TAG.CryptographicDomainParameters, enumeration(TAG.RecommendedCurve, curve)));
    if (!isPair) {
      const bits =
        usage('sign', USAGE.MACGenerate | USAGE.MACVerify) | usage('decrypt', USAGE.Encrypt | USAGE.Decrypt);
      const attributes = [nameAttribute(name), ...common, usageAttribute(bits)];
      return keys.createSecretKey(by, name, attributes).then((id) => [id]);
    }
    const attributes = {
      common,
      private: [
        nameAttribute(name),
        usageAttribute(usage('sign', USAGE.Sign) | usage('decrypt', USAGE.Decrypt)),
      ],
      public: [
        nameAttribute(publicName(name)),
        usageAttribute(usage('sign', USAGE.Verify) | usage('decrypt', USAGE.Encrypt)),
      ],
    };
    return keys
      .createKeyPair(by, name, attributes)
      .then(({ privateKeyId, publicKeyId }) => [privateKeyId, publicKeyId]);
  }

  /** A call whose answer was lost is refused the second time. */
  async #activate(by: KmipCaller, id: string): Promise<void> {
    try {
      await keys.activate(by, id);
    } catch (error) {
      if (!isRefusal(error) || (await keys.describeKey(by, id)).state !== STATE.Active) throw error;
    }
  }

  async destroy(key: ResidentKey): Promise<string> {
    const by = this.#options.client.begin();
    const isPair = specRow(key.spec).objectType === OBJECT_TYPE.PrivateKey;
    const publicId = isPair ? await this.#publicKeyId(by, key).catch(() => null) : null;
    await this.#end(by, key.id);
    this.#verifiers.delete(key.id);
    if (publicId !== null) await this.#end(by, publicId).catch(() => undefined);
    return 'destroyed';
  }

  async #end(by: KmipCaller, id: string): Promise<void> {
    try {
      const { state } = await keys.describeKey(by, id);
      if (state === STATE.Active) await keys.revoke(by, id);
      await keys.destroy(by, id);
    } catch (error) {
      if (!IS_GONE.includes(reasonOf(error) ?? 0)) throw error;
    }
  }

  async sign(key: ResidentKey, algorithm: SignAlgorithm, input: Buffer, saltBytes: number): Promise<Buffer> {
    const by = this.#options.client.begin();
    if (algorithm.scheme === 'hmac' || algorithm.scheme === 'aes-cmac')
      return mac(by, key.id, algorithm, input);
    const signature = await sign(by, key.id, algorithm, input, saltBytes);
    if (algorithm.scheme === 'ecdsa') return this.#rawEcdsa(key, signature);
    if (algorithm.takesMessage) await this.#check(key, algorithm, input, saltBytes, signature);
    else if (algorithm.scheme === 'rsa-pkcs1') await this.#checkPadding(key, input, signature);
    return signature;
  }

  /** KMIP does not say how: servers give DER, or r and s side by side. */
  #rawEcdsa(key: ResidentKey, signature: Buffer): Buffer {
    const raw = decodeDer(signature, key.sizeBits);
    if (raw !== null) return raw;
    if (signature.length === 2 * scalarBytes(key.sizeBits)) return signature;
    return this.#refuse(key.id, 'the server gave no ECDSA signature');
  }

  async #verifier(key: ResidentKey): Promise<KeyObject> {
    const known = this.#verifiers.get(key.id);
    const object = known ?? createPublicKey({ key: await this.publicKey(key), format: 'der', type: 'spki' });
    if (this.#verifiers.size >= VERIFIERS_MAX) this.#verifiers.clear();
    this.#verifiers.set(key.id, object);
    return object;
  }

  /** Of a digest: the padding is PKCS #1's, and the digest at its end. */
  async #checkPadding(key: ResidentKey, digest: Buffer, signature: Buffer): Promise<void> {
    try {
      const how = { key: await this.#verifier(key), padding: constants.RSA_PKCS1_PADDING };
      if (publicDecrypt(how, signature).subarray(-digest.length).equals(digest)) return;
    } catch (error) {
      if (error instanceof SidekeyError) throw error;
    }
    this.#refuse(key.id, 'the server does not sign by rsa-pkcs1 as it was asked');
  }

  /** Servers ignore what they do not know of the parameters (PyKMIP always salts with the most that there is room for). */
  async #check(
    key: ResidentKey,
    { scheme, hash }: SignAlgorithm,
    message: Buffer,
    saltLength: number,
    signature: Buffer,
  ): Promise<void> {
    const object = await this.#verifier(key);
    const options =
      scheme === 'rsa-pss'
        ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }
        : { padding: constants.RSA_PKCS1_PADDING };
    if (!verify(hash, message, { key: object, ...options }, signature))
      this.#refuse(key.id, `the server does not sign by ${scheme} as it was asked`);
  }

  encrypt(
    key: ResidentKey,
    algorithm: CipherAlgorithm,
    parameters: CipherParameters,
    plaintext: Buffer,
  ): Promise<Buffer> {
    return encryptWith(this.#options.client.begin(), key.id, algorithm, parameters, plaintext);
  }

  async decrypt(
    key: ResidentKey,
    algorithm: CipherAlgorithm,
    parameters: CipherParameters,
    ciphertext: Buffer,
  ): Promise<Buffer> {
    const by = this.#options.client.begin();
    try {
      return await decryptWith(by, key.id, algorithm, parameters, ciphertext);
    } catch (error) {
      if (!MAY_BE_DATA.includes(reasonOf(error) ?? 0)) throw error;
      const { state } = await keys.describeKey(by, key.id);
      if (state !== STATE.Active) throw error;
      // One code for whatever is wrong with it: a padding and a tag alike.
      throw new SidekeyError('encrypted_data_invalid', `key ${key.id} does not open this`);
    }
  }
}
