/**
 * What each mechanism requires of a resident key, as a table: scheme and hash. With the parameter and the
 * key's algorithms, the plans (signing-plans.ts, cipher-plans.ts) turn this into a request to the service.
 */
import { CKK, CKM, MECHANISM_FLAG } from '../cryptoki.ts';
import type { MechanismRow } from '../ports.ts';
import type { CipherScheme, HashName, KeySpec, SignScheme } from '../resident-port.ts';

export interface SignMechanism {
  readonly type: number;
  readonly scheme: SignScheme;
  /** null: the data is already the digest, DigestInfo or message. */
  readonly hash: HashName | null;
  /** The parameter gives the length of the MAC. */
  readonly general?: true;
}

interface HashRow {
  readonly hash: HashName;
  readonly bytes: number;
  /** CKM_ of the digest and CKG_ of MGF1 with it: the parameters of PSS and OAEP. */
  readonly mechanism: number;
  readonly mgf: number;
  /** The DigestInfo before the digest (RFC 8017, 9.2). */
  readonly prefix: Buffer;
  readonly pkcs1: number;
  readonly pss: number;
  readonly ecdsa: number;
  readonly hmac: number;
  readonly hmacGeneral: number;
}

function hashRow(
  hash: HashName,
  bytes: number,
  oid: string,
  types: Omit<HashRow, 'hash' | 'bytes' | 'prefix'>,
): HashRow {
  const identifier = Buffer.from(`06${(oid.length / 2).toString(16).padStart(2, '0')}${oid}0500`, 'hex');
  const algorithm = Buffer.concat([Buffer.of(0x30, identifier.length), identifier]);
  const inner = Buffer.concat([algorithm, Buffer.of(0x04, bytes)]);
  const prefix = Buffer.concat([Buffer.of(0x30, inner.length + bytes), inner]);
  return { hash, bytes, prefix, ...types };
}

const SHA2 = '60864801650304020';

// prettier-ignore
export const HASHES: readonly HashRow[] = [
  hashRow('sha1', 20, '2b0e03021a',
    { mechanism: 0x220, mgf: 1, pkcs1: 0x06, pss: 0x0e, ecdsa: 0x1042, hmac: 0x221, hmacGeneral: 0x222 }),
  hashRow('sha224', 28, `${SHA2}4`,
    { mechanism: 0x255, mgf: 5, pkcs1: 0x46, pss: 0x47, ecdsa: 0x1043, hmac: 0x256, hmacGeneral: 0x257 }),
  hashRow('sha256', 32, `${SHA2}1`,
    { mechanism: 0x250, mgf: 2, pkcs1: 0x40, pss: 0x43, ecdsa: 0x1044, hmac: 0x251, hmacGeneral: 0x252 }),
  hashRow('sha384', 48, `${SHA2}2`,
    { mechanism: 0x260, mgf: 3, pkcs1: 0x41, pss: 0x44, ecdsa: 0x1045, hmac: 0x261, hmacGeneral: 0x262 }),
  hashRow('sha512', 64, `${SHA2}3`,
    { mechanism: 0x270, mgf: 4, pkcs1: 0x42, pss: 0x45, ecdsa: 0x1046, hmac: 0x271, hmacGeneral: 0x272 }),
  hashRow('sha3-224', 28, `${SHA2}7`,
    { mechanism: 0x2b5, mgf: 6, pkcs1: 0x66, pss: 0x67, ecdsa: 0x1047, hmac: 0x2b6, hmacGeneral: 0x2b7 }),
  hashRow('sha3-256', 32, `${SHA2}8`,
    { mechanism: 0x2b0, mgf: 7, pkcs1: 0x60, pss: 0x63, ecdsa: 0x1048, hmac: 0x2b1, hmacGeneral: 0x2b2 }),
  hashRow('sha3-384', 48, `${SHA2}9`,
    { mechanism: 0x2c0, mgf: 8, pkcs1: 0x61, pss: 0x64, ecdsa: 0x1049, hmac: 0x2c1, hmacGeneral: 0x2c2 }),
  hashRow('sha3-512', 64, `${SHA2}a`,
    { mechanism: 0x2d0, mgf: 9, pkcs1: 0x62, pss: 0x65, ecdsa: 0x104a, hmac: 0x2d1, hmacGeneral: 0x2d2 }),
];

const BY_NAME = new Map(HASHES.map((row) => [row.hash, row]));

export function hashOf(name: HashName): HashRow {
  const row = BY_NAME.get(name);
  if (row === undefined) throw new TypeError(`hash ${name} has no row`);
  return row;
}

export const SIGN_MECHANISMS: readonly SignMechanism[] = [
  { type: 0x01, scheme: 'rsa-pkcs1', hash: null },
  { type: 0x0d, scheme: 'rsa-pss', hash: null },
  { type: 0x1041, scheme: 'ecdsa', hash: null },
  { type: 0x1057, scheme: 'eddsa', hash: null },
  { type: CKM.ML_DSA, scheme: 'ml-dsa', hash: null },
  { type: 0x108a, scheme: 'aes-cmac', hash: null },
  { type: 0x108b, scheme: 'aes-cmac', hash: null, general: true },
  ...HASHES.flatMap(({ hash, pkcs1, pss, ecdsa, hmac, hmacGeneral }): SignMechanism[] => [
    { type: pkcs1, scheme: 'rsa-pkcs1', hash },
    { type: pss, scheme: 'rsa-pss', hash },
    { type: ecdsa, scheme: 'ecdsa', hash },
    { type: hmac, scheme: 'hmac', hash },
    { type: hmacGeneral, scheme: 'hmac', hash, general: true },
  ]),
];

export const CIPHER_MECHANISMS: readonly { readonly type: number; readonly scheme: CipherScheme }[] = [
  { type: 0x01, scheme: 'rsa-pkcs1' },
  { type: 0x09, scheme: 'rsa-oaep' },
  { type: 0x1081, scheme: 'aes-ecb' },
  { type: 0x1082, scheme: 'aes-cbc' },
  { type: 0x1085, scheme: 'aes-cbc-pad' },
  { type: 0x1087, scheme: 'aes-gcm' },
];

const ML_DSA = { keyType: CKK.ML_DSA, min: 1312, max: 2592, standing: 'approved' } as const;

/**
 * A key on a curve, with another's public point: the X9.63 derivation happens here, on the secret that the
 * service returns.
 */
export const AGREEMENT_MECHANISMS: readonly number[] = [CKM.ECDH1_DERIVE, CKM.ECDH1_COFACTOR_DERIVE];

/**
 * What a key service does with its own keys, whatever OpenSSL supports here. Their public halves verify only
 * where OpenSSL does.
 */
export const SERVICE_MECHANISMS: readonly { readonly row: MechanismRow; readonly spec: KeySpec }[] = [
  {
    row: {
      ...ML_DSA,
      ...{ type: CKM.ML_DSA_KEY_PAIR_GEN, name: 'CKM_ML_DSA_KEY_PAIR_GEN' },
      flags: MECHANISM_FLAG.GENERATE_KEY_PAIR,
    },
    spec: 'ml-dsa-65',
  },
  {
    row: { ...ML_DSA, type: CKM.ML_DSA, name: 'CKM_ML_DSA', flags: MECHANISM_FLAG.SIGN },
    spec: 'ml-dsa-65',
  },
];
