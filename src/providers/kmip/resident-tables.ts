/** Resident keys in KMIP's terms: which object is which spec, and the Cryptographic Parameters of each way to use it. */
import type { CipherAlgorithm, HashName, KeySpec, SignAlgorithm } from '../../tokens/resident-port.ts';
import type { KeyDescription, ServerDescription } from './key-operations.ts';
import { enumeration, integer, isAtLeast, structure } from './message.ts';
import {
  BLOCK_CIPHER_MODE,
  CRYPTOGRAPHIC_ALGORITHM,
  DIGITAL_SIGNATURE_ALGORITHM,
  HASHING_ALGORITHM,
  OBJECT_TYPE,
  OPERATION,
  PADDING_METHOD,
  RECOMMENDED_CURVE,
  TAG,
  USAGE,
} from './tables.ts';
import type { TtlvItem } from './ttlv.ts';

const { AES, RSA, ECDSA, EC } = CRYPTOGRAPHIC_ALGORITHM;

interface SpecRow {
  readonly spec: KeySpec;
  readonly objectType: number;
  /** The first is what a new key gets. */
  readonly algorithms: readonly number[];
  /** null: the hash's key has any. */
  readonly sizeBits: number | null;
  readonly curve: number | null;
}

const row = (spec: KeySpec, objectType: number, algorithms: number[], sizeBits: number): SpecRow => ({
  spec,
  objectType,
  algorithms,
  sizeBits,
  curve: null,
});
const ec = (spec: KeySpec, sizeBits: number, curve: number): SpecRow => ({
  ...row(spec, OBJECT_TYPE.PrivateKey, [ECDSA, EC], sizeBits),
  curve,
});

interface HashRow {
  readonly hash: HashName;
  readonly hashing: number;
  readonly hmac: number;
  readonly withRsa: number;
}

/** In the order of preference. */
const HASHES: readonly HashRow[] = [
  {
    hash: 'sha256',
    hashing: HASHING_ALGORITHM.SHA256,
    hmac: CRYPTOGRAPHIC_ALGORITHM.HMACSHA256,
    withRsa: DIGITAL_SIGNATURE_ALGORITHM.SHA256withRSAEncryption,
  },
  {
    hash: 'sha384',
    hashing: HASHING_ALGORITHM.SHA384,
    hmac: CRYPTOGRAPHIC_ALGORITHM.HMACSHA384,
    withRsa: DIGITAL_SIGNATURE_ALGORITHM.SHA384withRSAEncryption,
  },
  {
    hash: 'sha512',
    hashing: HASHING_ALGORITHM.SHA512,
    hmac: CRYPTOGRAPHIC_ALGORITHM.HMACSHA512,
    withRsa: DIGITAL_SIGNATURE_ALGORITHM.SHA512withRSAEncryption,
  },
  {
    hash: 'sha224',
    hashing: HASHING_ALGORITHM.SHA224,
    hmac: CRYPTOGRAPHIC_ALGORITHM.HMACSHA224,
    withRsa: DIGITAL_SIGNATURE_ALGORITHM.SHA224withRSAEncryption,
  },
  {
    hash: 'sha1',
    hashing: HASHING_ALGORITHM.SHA1,
    hmac: CRYPTOGRAPHIC_ALGORITHM.HMACSHA1,
    withRsa: DIGITAL_SIGNATURE_ALGORITHM.SHA1withRSAEncryption,
  },
];

const SPECS: readonly SpecRow[] = [
  row('rsa-2048', OBJECT_TYPE.PrivateKey, [RSA], 2048),
  row('rsa-3072', OBJECT_TYPE.PrivateKey, [RSA], 3072),
  row('rsa-4096', OBJECT_TYPE.PrivateKey, [RSA], 4096),
  ec('ec-p256', 256, RECOMMENDED_CURVE.P256),
  ec('ec-p384', 384, RECOMMENDED_CURVE.P384),
  ec('ec-p521', 521, RECOMMENDED_CURVE.P521),
  ec('ec-secp256k1', 256, RECOMMENDED_CURVE.SECP256K1),
  row('aes-128', OBJECT_TYPE.SymmetricKey, [AES], 128),
  row('aes-192', OBJECT_TYPE.SymmetricKey, [AES], 192),
  row('aes-256', OBJECT_TYPE.SymmetricKey, [AES], 256),
  {
    spec: 'generic',
    objectType: OBJECT_TYPE.SymmetricKey,
    algorithms: HASHES.map(({ hmac }) => hmac),
    sizeBits: null,
    curve: null,
  },
];

export const CREATABLE: readonly KeySpec[] = SPECS.map(({ spec }) => spec);

export function specRow(spec: KeySpec): SpecRow {
  const found = SPECS.find((each) => each.spec === spec);
  if (found === undefined) throw new TypeError(`spec ${spec} has no row`);
  return found;
}

/** The spec of an object that the server described; null: these words have none for it. */
export function findSpec({ objectType, algorithm, sizeBits, curve }: KeyDescription): KeySpec | null {
  const fits = (each: SpecRow): boolean =>
    each.objectType === objectType &&
    algorithm !== null &&
    each.algorithms.includes(algorithm) &&
    (each.sizeBits === null || each.sizeBits === sizeBits) &&
    each.curve === curve;
  return SPECS.find(fits)?.spec ?? null;
}

const hashRow = (hash: HashName | null): HashRow | undefined => HASHES.find((each) => each.hash === hash);

/** Digests may be given from 1.4 on; messages always. */
function signatureAlgorithms(scheme: SignAlgorithm['scheme'], takesDigests: boolean): SignAlgorithm[] {
  // Before 1.4 a server salts as it likes.
  const salt = scheme === 'rsa-pss' && takesDigests ? { anySalt: true as const } : {};
  const messages = HASHES.map(({ hash }) => ({ scheme, hash, takesMessage: true as const, ...salt }));
  return takesDigests ? [...messages, ...HASHES.map(({ hash }) => ({ scheme, hash, ...salt }))] : messages;
}

/** Servers that have an operation, but not every form of it. */
const LIMITS: readonly {
  readonly vendor: RegExp;
  readonly signs: (algorithm: SignAlgorithm) => boolean;
  readonly ciphers: (algorithm: CipherAlgorithm) => boolean;
}[] = [
  {
    // It looks at messages alone, salts with the most that there is room for, decrypts with symmetric keys only, and pads always.
    vendor: /^PyKMIP /,
    signs: ({ scheme, takesMessage }) =>
      !scheme.startsWith('rsa') || (scheme === 'rsa-pkcs1' && takesMessage === true),
    ciphers: ({ scheme }) => scheme === 'aes-gcm' || scheme === 'aes-cbc-pad',
  },
];

function rsaAndEcdsa(algorithm: number | null, takesDigests: boolean): SignAlgorithm[] {
  if (algorithm !== RSA) return signatureAlgorithms('ecdsa', takesDigests);
  return [...signatureAlgorithms('rsa-pkcs1', takesDigests), ...signatureAlgorithms('rsa-pss', takesDigests)];
}

export function signsOf(described: KeyDescription, server: ServerDescription): SignAlgorithm[] {
  const { algorithm, usage, version } = described;
  const can = (operation: number, bit: number): boolean =>
    server.operations.has(operation) && (usage & bit) !== 0;
  const hmac = HASHES.find((each) => each.hmac === algorithm);
  if (algorithm === AES || hmac !== undefined) {
    if (!can(OPERATION.MAC, USAGE.MACGenerate)) return [];
    return [hmac === undefined ? { scheme: 'aes-cmac', hash: null } : { scheme: 'hmac', hash: hmac.hash }];
  }
  if (!can(OPERATION.Sign, USAGE.Sign)) return [];
  const limits = LIMITS.filter(({ vendor }) => vendor.test(server.vendor));
  return rsaAndEcdsa(algorithm, isAtLeast(version, 1, 4)).filter((each) =>
    limits.every(({ signs }) => signs(each)),
  );
}

function aesCiphers(takesAad: boolean, encrypts: boolean): CipherAlgorithm[] {
  const schemes = ['aes-gcm', 'aes-cbc-pad', 'aes-cbc', 'aes-ecb'] as const;
  return schemes
    .filter((scheme) => takesAad || scheme !== 'aes-gcm')
    .map((scheme) => ({ scheme, hash: null, encrypts }));
}

function rsaCiphers(namesMasks: boolean): CipherAlgorithm[] {
  const pkcs1: CipherAlgorithm = { scheme: 'rsa-pkcs1', hash: null, encrypts: false };
  const oaep = HASHES.map(({ hash }): CipherAlgorithm => ({
    scheme: 'rsa-oaep',
    hash,
    takesLabel: true,
    encrypts: false,
  }));
  return namesMasks ? [...oaep, pkcs1] : [pkcs1];
}

export function ciphersOf(described: KeyDescription, server: ServerDescription): CipherAlgorithm[] {
  const { algorithm, usage, version } = described;
  const can = (operation: number, bit: number): boolean =>
    server.operations.has(operation) && (usage & bit) !== 0;
  if (!can(OPERATION.Decrypt, USAGE.Decrypt)) return [];
  // Associated data, tags, and the hash of a mask came with 1.4.
  const isRecent = isAtLeast(version, 1, 4);
  const all: Record<number, CipherAlgorithm[]> = {
    [AES]: aesCiphers(isRecent, can(OPERATION.Encrypt, USAGE.Encrypt)),
    [RSA]: rsaCiphers(isRecent),
  };
  const limits = LIMITS.filter(({ vendor }) => vendor.test(server.vendor));
  return (all[algorithm ?? 0] ?? []).filter((each) => limits.every(({ ciphers }) => ciphers(each)));
}

const padding = (method: number): TtlvItem => enumeration(TAG.PaddingMethod, method);
const mode = (number: number): TtlvItem => enumeration(TAG.BlockCipherMode, number);
const cryptographic = (algorithm: number): TtlvItem => enumeration(TAG.CryptographicAlgorithm, algorithm);
const hashing = (hash: HashName | null): TtlvItem[] =>
  hashRow(hash) === undefined ? [] : [enumeration(TAG.HashingAlgorithm, hashRow(hash)?.hashing ?? 0)];

/** MGF1 by the same hash. */
function mask(hash: HashName | null): TtlvItem[] {
  const MGF1 = 1;
  const number = hashRow(hash)?.hashing ?? 0;
  return [enumeration(TAG.MaskGenerator, MGF1), enumeration(TAG.MaskGeneratorHashingAlgorithm, number)];
}

/** `saltBytes`: null, where the server's version has no field for it. */
export function signParameters({ scheme, hash }: SignAlgorithm, saltBytes: number | null): TtlvItem {
  const rows: Record<SignAlgorithm['scheme'], TtlvItem[]> = {
    // Named as a whole as well: Cosmian KMS salts unless it is.
    'rsa-pkcs1': [
      padding(PADDING_METHOD.PKCS1v15),
      ...hashing(hash),
      enumeration(TAG.DigitalSignatureAlgorithm, hashRow(hash)?.withRsa ?? 0),
      cryptographic(RSA),
    ],
    'rsa-pss': [
      padding(PADDING_METHOD.PSS),
      ...hashing(hash),
      cryptographic(RSA),
      ...(saltBytes === null ? [] : [integer(TAG.SaltLength, saltBytes), ...mask(hash)]),
    ],
    ecdsa: [...hashing(hash), cryptographic(ECDSA)],
    eddsa: [],
    'ml-dsa': [],
    // The algorithm says the hash, and some servers (Cosmian KMS) want it said again.
    hmac: [...hashing(hash), cryptographic(hashRow(hash)?.hmac ?? 0)],
    'aes-cmac': [mode(BLOCK_CIPHER_MODE.CMAC), cryptographic(AES)],
  };
  return structure(TAG.CryptographicParameters, ...rows[scheme]);
}

export function cipherParameters(
  { scheme, hash }: CipherAlgorithm,
  { tagBits, label }: { tagBits: number; label: Buffer },
): TtlvItem {
  const rows: Record<CipherAlgorithm['scheme'], TtlvItem[]> = {
    'aes-gcm': [mode(BLOCK_CIPHER_MODE.GCM), cryptographic(AES), integer(TAG.TagLength, tagBits / 8)],
    'aes-cbc': [mode(BLOCK_CIPHER_MODE.CBC), padding(PADDING_METHOD.None), cryptographic(AES)],
    'aes-cbc-pad': [mode(BLOCK_CIPHER_MODE.CBC), padding(PADDING_METHOD.PKCS5), cryptographic(AES)],
    'aes-ecb': [mode(BLOCK_CIPHER_MODE.ECB), padding(PADDING_METHOD.None), cryptographic(AES)],
    'rsa-pkcs1': [padding(PADDING_METHOD.PKCS1v15), cryptographic(RSA)],
    'rsa-oaep': [
      padding(PADDING_METHOD.OAEP),
      ...hashing(hash),
      cryptographic(RSA),
      ...mask(hash),
      ...(label.length > 0 ? [{ tag: TAG.PSource, type: 'bytes' as const, value: label }] : []),
    ],
  };
  return structure(TAG.CryptographicParameters, ...rows[scheme]);
}
