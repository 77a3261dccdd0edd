/** The mechanisms that the API uses, with parameters laid out as in native-shim/wire/params.h. */
import { LIMITS } from '../wire/tables.ts';
import { WireWriter } from '../wire/buffer.ts';
import { NONCE_BYTES, type Mechanism } from '../tokens/ports.ts';
import { Refusal } from './fault.ts';
import type { HashAlgorithm } from './transit/hash-algorithm.ts';

export const CKM = {
  RSA_PKCS: 0x0001,
  RSA_PKCS_OAEP: 0x0009,
  RSA_PKCS_PSS: 0x000d,
  ECDSA: 0x1041,
  EDDSA: 0x1057,
  AES_GCM: 0x1087,
  CHACHA20_POLY1305: 0x4021,
  ML_DSA: 0x1d,
} as const;

/** For AES-GCM and ChaCha20-Poly1305. */
export const GCM_NONCE_BYTES = NONCE_BYTES;
export const GCM_TAG_BYTES = 16;
/** What the parameter leaves for associated data, after nonce, tag length and two lengths. */
const AAD_MAX = LIMITS.paramsMax - GCM_NONCE_BYTES - 12;

export function plainMechanism(type: number): Mechanism {
  return { type, params: Buffer.alloc(0) };
}

function checkAssociatedData(associatedData: Buffer): void {
  if (associatedData.length > AAD_MAX) throw new Refusal(400, `associated_data is over ${AAD_MAX} bytes`);
}

/** Two lengths and a number take the rest. */
function roomFor(nonce: Buffer, associatedData: Buffer): number {
  return nonce.length + associatedData.length + 12;
}

/** The tag always has 16 bytes. */
export function chachaMechanism(nonce: Buffer, associatedData: Buffer): Mechanism {
  checkAssociatedData(associatedData);
  const writer = new WireWriter(roomFor(nonce, associatedData)).bytes(nonce).bytes(associatedData);
  return { type: CKM.CHACHA20_POLY1305, params: writer.done() };
}

export function gcmMechanism(nonce: Buffer, associatedData: Buffer): Mechanism {
  checkAssociatedData(associatedData);
  const writer = new WireWriter(roomFor(nonce, associatedData))
    .bytes(nonce)
    .bytes(associatedData)
    .u32(GCM_TAG_BYTES * 8);
  return { type: CKM.AES_GCM, params: writer.done() };
}

export function oaepMechanism(hash: HashAlgorithm): Mechanism {
  const numbers = hash.mechanisms;
  const writer = new WireWriter().u64(numbers.hash).u64(numbers.mgf).bytes(Buffer.alloc(0));
  return { type: CKM.RSA_PKCS_OAEP, params: writer.done() };
}

/** `type` decides whether the keeper gets the message (the mechanism hashes) or its digest. */
export function pssMechanism(type: number, hash: HashAlgorithm, saltBytes: number): Mechanism {
  const numbers = hash.mechanisms;
  const writer = new WireWriter().u64(numbers.hash).u64(numbers.mgf).u64(saltBytes);
  return { type, params: writer.done() };
}

/** Pure ML-DSA (FIPS 204, 5.2) without a context; hedged (CKH_HEDGE_PREFERRED). */
export function mlDsaMechanism(): Mechanism {
  return { type: CKM.ML_DSA, params: new WireWriter().u8(0).bytes(Buffer.alloc(0)).done() };
}

/** Pure Ed25519: no parameter, no pre-hash, no context. */
export function eddsaMechanism(): Mechanism {
  return { type: CKM.EDDSA, params: new WireWriter().u8(0).u8(0).bytes(Buffer.alloc(0)).done() };
}
