/** The keys and algorithms of a PKCS#11 token in the domain's terms: one table per kind, with the mechanism behind each row. */
import { createPublicKey } from 'node:crypto';
import { CKK, CKM, CKO } from '../../tokens/cryptoki.ts';
import type {
  CipherAlgorithm,
  CipherParameters,
  HashName,
  KeySpec,
  NewResidentKey,
  ResidentKey,
  SignAlgorithm,
} from '../../tokens/resident-port.ts';
import type {
  HsmKeyList,
  HsmKeyRow,
  HsmPublicKey,
  KeyReference,
  NewHsmKey,
  WorkerMechanism,
} from './resident-request.ts';

interface HsmSpec {
  readonly spec: KeySpec;
  readonly keyType: number;
  readonly mechanism: number;
  /** Of the modulus or the value; null: any. */
  readonly sizeBits: number | null;
  readonly curve?: string;
  readonly jwk?: string;
}

const rsa = (spec: KeySpec, sizeBits: number): HsmSpec => ({
  spec,
  keyType: CKK.RSA,
  mechanism: 0,
  sizeBits,
});
const aes = (spec: KeySpec, sizeBits: number): HsmSpec => ({
  ...{ spec, keyType: CKK.AES, mechanism: CKM.AES_KEY_GEN, sizeBits },
});
const ec = (spec: KeySpec, sizeBits: number, curve: string, jwk: string): HsmSpec => ({
  ...{ spec, keyType: CKK.EC, mechanism: CKM.EC_KEY_PAIR_GEN, sizeBits, curve, jwk },
});

const SPECS: readonly HsmSpec[] = [
  rsa('rsa-2048', 2048),
  rsa('rsa-3072', 3072),
  rsa('rsa-4096', 4096),
  ec('ec-p256', 256, '06082a8648ce3d030107', 'P-256'),
  ec('ec-p384', 384, '06052b81040022', 'P-384'),
  ec('ec-p521', 521, '06052b81040023', 'P-521'),
  aes('aes-128', 128),
  aes('aes-192', 192),
  aes('aes-256', 256),
  { spec: 'generic', keyType: CKK.GENERIC_SECRET, mechanism: CKM.GENERIC_SECRET_KEY_GEN, sizeBits: null },
];

/** By CKM_: what the token must list for it. */
type HashRow = readonly [hash: HashName, mechanism: number, mgf: number, hmac: number, bytes: number];
const HASHES: readonly HashRow[] = [
  ['sha256', 0x250, 2, 0x251, 32],
  ['sha384', 0x260, 3, 0x261, 48],
  ['sha512', 0x270, 4, 0x271, 64],
  ['sha1', 0x220, 1, 0x221, 20],
];
const SIGN_MECHANISMS = { 'rsa-pkcs1': 0x01, 'rsa-pss': 0x0d, ecdsa: 0x1041, 'aes-cmac': 0x108a } as const;
const CIPHER_MECHANISMS: Readonly<Record<CipherAlgorithm['scheme'], number>> = {
  'rsa-pkcs1': 0x01,
  'rsa-oaep': 0x09,
  'aes-ecb': 0x1081,
  'aes-cbc': 0x1082,
  'aes-cbc-pad': 0x1085,
  'aes-gcm': 0x1087,
};

function hashRow(name: HashName | null): HashRow {
  const row = HASHES.find(([hash]) => hash === name);
  if (row === undefined) throw new TypeError(`hash ${name} has no row`);
  return row;
}

/** Each with the mechanism that it takes. */
const SIGNS: Readonly<Record<number, readonly (readonly [number, SignAlgorithm])[]>> = {
  [CKK.RSA]: [
    [SIGN_MECHANISMS['rsa-pkcs1'], { scheme: 'rsa-pkcs1', hash: null }],
    ...HASHES.map(
      ([hash]) => [SIGN_MECHANISMS['rsa-pss'], { scheme: 'rsa-pss', hash, anySalt: true }] as const,
    ),
  ],
  [CKK.EC]: [[SIGN_MECHANISMS.ecdsa, { scheme: 'ecdsa', hash: null }]],
  [CKK.AES]: [[SIGN_MECHANISMS['aes-cmac'], { scheme: 'aes-cmac', hash: null }]],
  [CKK.GENERIC_SECRET]: HASHES.map(([hash, , , hmac]) => [hmac, { scheme: 'hmac', hash }] as const),
};

/** Modules refuse keys for HMAC that are shorter than the hash (SoftHSM: CKR_KEY_SIZE_RANGE). */
function isLongEnough({ scheme, hash }: SignAlgorithm, sizeBits: number): boolean {
  return scheme !== 'hmac' || sizeBits >= 8 * hashRow(hash)[4];
}

function signsOf({ keyType, signs, sizeBits }: HsmKeyRow, { mechanisms }: HsmKeyList): SignAlgorithm[] {
  if (!signs) return [];
  return (SIGNS[keyType] ?? [])
    .filter(([mechanism, row]) => mechanisms.includes(mechanism) && isLongEnough(row, sizeBits))
    .map(([, algorithm]) => algorithm);
}

function ciphersOf(row: HsmKeyRow, { mechanisms, oaepHashes }: HsmKeyList): CipherAlgorithm[] {
  const { keyType, decrypts, encrypts } = row;
  if (!decrypts) return [];
  const has = (scheme: CipherAlgorithm['scheme']) => mechanisms.includes(CIPHER_MECHANISMS[scheme]);
  if (keyType === CKK.RSA) {
    const oaep = HASHES.filter(([, mechanism]) => has('rsa-oaep') && oaepHashes.includes(mechanism));
    return [
      ...oaep.map(([hash]): CipherAlgorithm => ({ scheme: 'rsa-oaep', hash, encrypts: false })),
      ...(has('rsa-pkcs1') ? [{ scheme: 'rsa-pkcs1', hash: null, encrypts: false } as const] : []),
    ];
  }
  if (keyType !== CKK.AES) return [];
  const schemes = ['aes-gcm', 'aes-cbc', 'aes-cbc-pad', 'aes-ecb'] as const;
  return schemes.filter(has).map((scheme) => ({ scheme, hash: null, encrypts }));
}

function specOf({ keyType, sizeBits, curve }: HsmKeyRow): HsmSpec | null {
  const fits = (row: HsmSpec): boolean =>
    row.curve === undefined ? row.sizeBits === null || row.sizeBits === sizeBits : row.curve === curve;
  return SPECS.find((row) => row.keyType === keyType && fits(row)) ?? null;
}

export function toKey(row: HsmKeyRow, list: HsmKeyList): ResidentKey | null {
  const spec = specOf(row);
  const [signs, ciphers] = [signsOf(row, list), ciphersOf(row, list)];
  const agrees = row.agrees && row.keyType === CKK.EC && list.mechanisms.includes(CKM.ECDH1_DERIVE);
  if (spec === null || (signs.length === 0 && ciphers.length === 0 && !agrees)) return null;
  const { label, id } = row;
  return {
    id: residentIdOf(row),
    ...{ name: label, version: null, isPrimary: true, spec: spec.spec, createdAt: null },
    ...{ sizeBits: spec.sizeBits ?? row.sizeBits, signs, ciphers },
    ckaId: id === '' ? null : Buffer.from(id, 'hex'),
    ...(agrees ? { agrees: true } : {}),
  };
}

export function residentIdOf({ objectClass, id, label }: KeyReference): string {
  return JSON.stringify([objectClass, id, label]);
}

export function referenceOf({ id }: ResidentKey): KeyReference {
  const [objectClass, cka, label] = JSON.parse(id) as [number, string, string];
  return { objectClass, label, id: cka };
}

export function signMechanism({ scheme, hash }: SignAlgorithm, saltBytes: number): WorkerMechanism {
  if (scheme === 'hmac') return { type: hashRow(hash)[3] };
  if (scheme === 'eddsa' || scheme === 'ml-dsa')
    throw new TypeError(`no key of an HSM is listed with ${scheme}`);
  const type = SIGN_MECHANISMS[scheme];
  if (scheme !== 'rsa-pss') return { type };
  const [, mechanism, mgf] = hashRow(hash);
  return { type, pss: { hash: mechanism, mgf, saltBytes } };
}

export function cipherMechanism(
  { scheme, hash }: CipherAlgorithm,
  parameters: CipherParameters,
): WorkerMechanism {
  const type = CIPHER_MECHANISMS[scheme];
  const [iv, aad] = [parameters.iv.toString('hex'), parameters.aad.toString('hex')];
  if (scheme === 'aes-gcm') return { type, gcm: { iv, aad, tagBits: parameters.tagBits } };
  if (scheme !== 'rsa-oaep') return iv === '' ? { type } : { type, iv };
  const [, mechanism, mgf] = hashRow(hash);
  return { type, oaep: { hash: mechanism, mgf, label: parameters.label.toString('hex') } };
}

function base64url(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64url');
}

/**
 * SubjectPublicKeyInfo (DER). CKA_EC_POINT is a DER OCTET STRING around an uncompressed point; some modules omit the OCTET STRING.
 */
export function publicKeyInfoOf(shown: HsmPublicKey): Buffer {
  const jwk =
    'modulus' in shown
      ? { kty: 'RSA', n: base64url(shown.modulus), e: base64url(shown.exponent) }
      : curveJwk(shown.curve, Buffer.from(shown.point, 'hex'));
  return createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'der', type: 'spki' });
}

function curveJwk(curve: string, point: Buffer): Record<string, string> {
  const row = SPECS.find((each) => each.curve === curve);
  const half = Math.ceil((row?.sizeBits ?? 0) / 8);
  const raw = point.subarray(-2 * half);
  const [x, y] = [raw.subarray(0, half), raw.subarray(half)];
  return { kty: 'EC', crv: row?.jwk ?? '', x: x.toString('base64url'), y: y.toString('base64url') };
}

/** All specs that a token may be asked to generate. */
export const CREATABLE: readonly KeySpec[] = SPECS.map(({ spec }) => spec);

/** null: HSM keys of this spec cannot be created. */
export function newKeyOf({ name, spec, sizeBits, uses }: NewResidentKey, id: Buffer): NewHsmKey | null {
  const row = SPECS.find((each) => each.spec === spec);
  if (row === undefined) return null;
  const { keyType, mechanism, curve } = row;
  return {
    ...{ label: name, keyType, mechanism, isPair: keyType === CKK.RSA || keyType === CKK.EC },
    id: id.toString('hex'),
    ...(curve === undefined
      ? { modulusBits: row.sizeBits ?? 0, valueBytes: (row.sizeBits ?? sizeBits) / 8 }
      : { curve }),
    ...{ signs: uses.includes('sign'), decrypts: uses.includes('decrypt'), agrees: uses.includes('agree') },
  };
}

/** Where the new key will be found. */
export function referenceOfNew({ isPair, id, label }: NewHsmKey): KeyReference {
  return { objectClass: isPair ? CKO.PRIVATE_KEY : CKO.SECRET_KEY, id, label };
}

const UNCOMPRESSED = 4;

/** The point of a SubjectPublicKeyInfo, uncompressed (SEC 1, 2.3.3). */
export function pointOf(info: Buffer): Buffer {
  const { x = '', y = '' } = createPublicKey({ key: info, format: 'der', type: 'spki' }).export({
    format: 'jwk',
  });
  const coordinates = [Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')];
  return Buffer.concat([Buffer.of(UNCOMPRESSED), ...coordinates]);
}
