/**
 * Secret key types other than the generic one: how the keeper treats them, their lengths, and mechanisms they
 * share with another type (PKCS#11 3.1, 6.20 ff.: an HMAC key works only with its own HMAC, also as an IKE
 * PRF).
 */
import { CKK, CKM } from '../cryptoki.ts';

/** In the keeper's table: a mechanism that accepts any secret key. */
const ANY_SECRET = 0x7fff_ffff;

/** Key types with domain parameters in a prime field, which may be objects of their own. */
const PRIME_FIELD: readonly number[] = [CKK.DSA, CKK.DH, CKK.X9_42_DH];
const PAIRS: readonly number[] = [
  ...[CKK.RSA, CKK.EC, CKK.EC_EDWARDS, CKK.EC_MONTGOMERY],
  ...[CKK.ML_KEM, CKK.ML_DSA, CKK.SLH_DSA],
  ...PRIME_FIELD,
];

export function hasDomainParameters(keyType: number): boolean {
  return PRIME_FIELD.includes(keyType);
}

/** Whether keys of this type are pairs rather than secret keys. */
export function isPairType(keyType: number): boolean {
  return PAIRS.includes(keyType);
}

export interface SecretKeyType {
  readonly type: number;
  /** The type told to the keeper; absent: the same. */
  readonly cellType?: number;
  /** Permitted lengths; absent: any. If there is only one, templates need not give it. */
  readonly lengthsBytes?: readonly number[];
  /** The only mechanisms that accept it; absent: those whose row in the keeper's table names the type. */
  readonly mechanisms?: readonly number[];
  /** The only PRF that it can be the key of, if a derivation names one. */
  readonly prf?: number;
  /** It also works with the mechanisms of this type. */
  readonly kin?: number;
  /** The mechanism that generates it, where the keeper's row names the cell's type. */
  readonly generatedBy?: number;
}

const PRF_KEYED = [CKM.IKE_PRF_DERIVE, CKM.IKE2_PRF_PLUS_DERIVE] as const;

const hmac = (type: number, one: number, general: number, generatedBy?: number): SecretKeyType => ({
  type,
  cellType: CKK.GENERIC_SECRET,
  mechanisms: [one, general, ...PRF_KEYED],
  prf: one,
  ...(generatedBy === undefined ? {} : { generatedBy }),
});

const ROWS: readonly SecretKeyType[] = [
  { type: CKK.AES, lengthsBytes: [16, 24, 32] },
  { type: CKK.AES_XTS, lengthsBytes: [32, 64] },
  { type: CKK.DES, lengthsBytes: [8] },
  { type: CKK.DES2, lengthsBytes: [16], kin: CKK.DES3 },
  { type: CKK.DES3, lengthsBytes: [24] },
  { type: CKK.CHACHA20, lengthsBytes: [32] },
  { type: CKK.POLY1305, lengthsBytes: [32] },
  { type: CKK.HKDF, cellType: CKK.GENERIC_SECRET, mechanisms: [0x402a, 0x402b], generatedBy: 0x402c },
  hmac(CKK.SHA_1_HMAC, CKM.SHA_1_HMAC, 0x222, 0x4003),
  hmac(CKK.SHA224_HMAC, CKM.SHA224_HMAC, 0x257, 0x4004),
  hmac(CKK.SHA256_HMAC, CKM.SHA256_HMAC, 0x252, 0x4005),
  hmac(CKK.SHA384_HMAC, CKM.SHA384_HMAC, 0x262, 0x4006),
  hmac(CKK.SHA512_HMAC, CKM.SHA512_HMAC, 0x272, 0x4007),
  hmac(CKK.SHA512_224_HMAC, 0x49, 0x4a, 0x4008),
  hmac(CKK.SHA512_256_HMAC, 0x4d, 0x4e, 0x4009),
  hmac(CKK.SHA3_224_HMAC, 0x2b6, 0x2b7, 0x2b8),
  hmac(CKK.SHA3_256_HMAC, 0x2b1, 0x2b2, 0x2b3),
  hmac(CKK.SHA3_384_HMAC, 0x2c1, 0x2c2, 0x2c3),
  hmac(CKK.SHA3_512_HMAC, 0x2d1, 0x2d2, 0x2d3),
  hmac(CKK.BLAKE2B_160_HMAC, 0x400d, 0x400e, 0x4010),
  hmac(CKK.BLAKE2B_256_HMAC, 0x4012, 0x4013, 0x4015),
  hmac(CKK.BLAKE2B_384_HMAC, 0x4017, 0x4018, 0x401a),
  hmac(CKK.BLAKE2B_512_HMAC, 0x401c, 0x401d, 0x401f),
  hmac(CKK.MD5_HMAC, 0x211, 0x212),
];

const BY_TYPE = new Map(ROWS.map((row) => [row.type, row]));

export function findSecretType(keyType: number): SecretKeyType | null {
  return BY_TYPE.get(keyType) ?? null;
}

/** The only mechanisms that accept keys of this type; null: the keeper's table decides. */
export function ownMechanisms(keyType: number): readonly number[] | null {
  return BY_TYPE.get(keyType)?.mechanisms ?? null;
}

/** Whether a key of this type can be the key of this PRF. */
export function fitsPrf(keyType: number | null, prf: number): boolean {
  const own = keyType === null ? undefined : BY_TYPE.get(keyType)?.prf;
  return own === undefined || own === prf;
}

/** Whether the keeper treats it as a generic secret, whatever mechanisms it has. */
export function isGenericKind(keyType: number): boolean {
  return BY_TYPE.get(keyType)?.cellType === CKK.GENERIC_SECRET;
}

/** Whether a mechanism whose row names `rowType` accepts keys of this type. */
export function isKin(rowType: number | null, keyType: number): boolean {
  if (rowType === ANY_SECRET) return !isPairType(keyType);
  return rowType === keyType || (rowType !== null && BY_TYPE.get(keyType)?.kin === rowType);
}

export function cellKeyType(keyType: number): number {
  return BY_TYPE.get(keyType)?.cellType ?? keyType;
}

/** The type that a mechanism generates, if the keeper's row names another; null: the row is right. */
export function typeGeneratedBy(mechanism: number): number | null {
  return ROWS.find((row) => row.generatedBy === mechanism)?.type ?? null;
}

/** The only length of a key of this type; null: the template must give it. */
export function onlyLength(keyType: number): number | null {
  const lengths = BY_TYPE.get(keyType)?.lengthsBytes ?? [];
  return lengths.length === 1 ? (lengths[0] ?? null) : null;
}

/** Whether its length is one of several, as for AES. */
export function hasSeveralLengths(keyType: number): boolean {
  return (BY_TYPE.get(keyType)?.lengthsBytes ?? []).length > 1;
}
