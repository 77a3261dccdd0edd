/**
 * The specs of resident keys in terms of PKCS#11: key type, size, curve, and the mechanism that generates
 * them.
 */
import type { AttributeMap } from '../objects/attribute-value.ts';
import { readUlong } from '../objects/attribute-value.ts';
import { CKA, CKK, CKM } from '../cryptoki.ts';
import type { KeySpec } from '../resident-port.ts';

export interface SpecRow {
  readonly spec: KeySpec;
  readonly keyType: number;
  /** null: read from the key itself. */
  readonly sizeBits: number | null;
  /** CKA_EC_PARAMS: the DER of the curve's identifier. */
  readonly curve: Buffer | null;
  /** CKA_PARAMETER_SET, for key types that have one. */
  readonly set?: number;
  readonly generatedBy: number;
}

const rsa = (spec: KeySpec, sizeBits: number): SpecRow => ({
  spec,
  keyType: CKK.RSA,
  sizeBits,
  curve: null,
  generatedBy: CKM.RSA_PKCS_KEY_PAIR_GEN,
});
const ec = (spec: KeySpec, sizeBits: number, curve: string): SpecRow => ({
  spec,
  keyType: CKK.EC,
  sizeBits,
  curve: Buffer.from(curve, 'hex'),
  generatedBy: CKM.EC_KEY_PAIR_GEN,
});
const mlDsa = (spec: KeySpec, set: number, publicBytes: number): SpecRow => ({
  ...{ spec, keyType: CKK.ML_DSA, sizeBits: 8 * publicBytes, curve: null, set },
  generatedBy: CKM.ML_DSA_KEY_PAIR_GEN,
});
const aes = (spec: KeySpec, sizeBits: number): SpecRow => ({
  spec,
  keyType: CKK.AES,
  sizeBits,
  curve: null,
  generatedBy: CKM.AES_KEY_GEN,
});

const ROWS: readonly SpecRow[] = [
  rsa('rsa-2048', 2048),
  rsa('rsa-3072', 3072),
  rsa('rsa-4096', 4096),
  ec('ec-p256', 256, '06082a8648ce3d030107'),
  ec('ec-p384', 384, '06052b81040022'),
  ec('ec-p521', 521, '06052b81040023'),
  ec('ec-secp256k1', 256, '06052b8104000a'),
  {
    spec: 'ed25519',
    keyType: CKK.EC_EDWARDS,
    sizeBits: 255,
    curve: Buffer.from('06032b6570', 'hex'),
    generatedBy: CKM.EC_EDWARDS_KEY_PAIR_GEN,
  },
  mlDsa('ml-dsa-44', 1, 1312),
  mlDsa('ml-dsa-65', 2, 1952),
  mlDsa('ml-dsa-87', 3, 2592),
  aes('aes-128', 128),
  aes('aes-192', 192),
  aes('aes-256', 256),
  {
    spec: 'generic',
    keyType: CKK.GENERIC_SECRET,
    sizeBits: null,
    curve: null,
    generatedBy: CKM.GENERIC_SECRET_KEY_GEN,
  },
];

const BY_SPEC = new Map(ROWS.map((row) => [row.spec, row]));

export function rowOf(spec: KeySpec): SpecRow {
  const row = BY_SPEC.get(spec);
  if (row === undefined) throw new TypeError(`spec ${spec} has no row`);
  return row;
}

export function isPair({ keyType }: SpecRow): boolean {
  return keyType !== CKK.AES && keyType !== CKK.GENERIC_SECRET;
}

/** Identifiers of Ed25519 by name, as PKCS#11 3.1, 6.3.5 permits. */
const ED25519_NAMES = ['130c656477617264733235353139'];

function sizeAsked(keyType: number, attributes: AttributeMap): number | null {
  const isRsa = keyType === CKK.RSA;
  const given = readUlong(attributes, isRsa ? CKA.MODULUS_BITS : CKA.VALUE_LEN);
  return given === null || isRsa ? given : given * 8;
}

/** The spec that a template describes, by the attributes of its public or secret key; null: none. */
export function findSpec(keyType: number, attributes: AttributeMap): SpecRow | null {
  const params = attributes.get(CKA.EC_PARAMS)?.toString('hex');
  if (params !== undefined) {
    if (ED25519_NAMES.includes(params)) return rowOf('ed25519');
    return ROWS.find((row) => row.keyType === keyType && row.curve?.toString('hex') === params) ?? null;
  }
  const set = readUlong(attributes, CKA.PARAMETER_SET);
  if (set !== null) return ROWS.find((row) => row.keyType === keyType && row.set === set) ?? null;
  const size = sizeAsked(keyType, attributes);
  const fits = (row: SpecRow): boolean => row.sizeBits === null || row.sizeBits === size;
  return ROWS.find((row) => row.keyType === keyType && row.curve === null && fits(row)) ?? null;
}
