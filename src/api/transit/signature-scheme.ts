/** Turns a key and the options of a sign or verify request into operations of the keeper, by kind of key. */
import type { Mechanism } from '../../tokens/ports.ts';
import type { NamedKey } from '../../tokens/service.ts';
import { decodeBase64 } from '../base64.ts';
import { decodeDer, encodeDer, scalarBytes } from '../../wire/ecdsa-signature.ts';
import { Refusal } from '../fault.ts';
import { digestOf, type HashAlgorithm } from './hash-algorithm.ts';
import { typeNameOf } from './key-type.ts';
import { CKM, eddsaMechanism, mlDsaMechanism, plainMechanism, pssMechanism } from '../mechanism.ts';

export interface SigningOptions {
  /** null: `none`, the input is signed as it is. */
  readonly hash: HashAlgorithm | null;
  readonly prehashed: boolean;
  readonly signatureAlgorithm: 'pss' | 'pkcs1v15';
  readonly saltLength: 'auto' | 'hash' | number;
  readonly marshaling: 'asn1' | 'jws';
}

export interface SigningPlan {
  readonly mechanism: Mechanism;
  readonly data: Buffer;
}

type Planner = (key: NamedKey, options: SigningOptions, input: Buffer) => SigningPlan[];

const PLANNERS: Readonly<Partial<Record<NamedKey['kind'], Planner>>> = {
  rsa: (key, options, input) =>
    options.signatureAlgorithm === 'pss' ? planPss(key, options, input) : [planPkcs1(options, input)],
  ec: (key, options, input) => [planEcdsa(key, options, input)],
  ed25519: (_key, _options, input) => [planEddsa(input)],
  'ml-dsa': (_key, options, input) => [planMlDsa(options, input)],
};

/** Signing uses the first plan; a signature is valid if it verifies under any of them. */
export function planSignature(key: NamedKey, options: SigningOptions, input: Buffer): SigningPlan[] {
  const plan = PLANNERS[key.kind];
  if (plan === undefined) throw new Refusal(400, `key type ${typeNameOf(key)} does not support signing`);
  return plan(key, options, input);
}

function requireHash(options: SigningOptions): HashAlgorithm {
  if (options.hash === null)
    throw new Refusal(400, 'hash_algorithm none is for prehashed input and signature_algorithm pkcs1v15');
  return options.hash;
}

function checkDigest(hash: HashAlgorithm, digest: Buffer): Buffer {
  if (digest.length !== hash.sizeBytes)
    throw new Refusal(400, `prehashed input must be a digest of ${hash.sizeBytes} bytes`);
  return digest;
}

/** For keys whose mechanism takes a digest. */
function digestInput(hash: HashAlgorithm, options: SigningOptions, input: Buffer): Buffer {
  return options.prehashed ? checkDigest(hash, input) : digestOf(hash, input);
}

/** The longest salt that fits: emLen - hLen - 2 (RFC 8017, 9.1.1). */
function longestSalt(keyBits: number, hash: HashAlgorithm): number {
  return Math.ceil((keyBits - 1) / 8) - hash.sizeBytes - 2;
}

/**
 * Vault's `auto` is the longest salt when signing, and any salt when verifying. PKCS#11 needs a length, so
 * verification tries the two in use: the longest, and that of the hash (as PKCS#11 programs and cloud
 * services choose). If a key service supports only the latter, signing uses that.
 */
function saltLengths(key: NamedKey, hash: HashAlgorithm, wanted: SigningOptions['saltLength']): number[] {
  if (wanted === 'auto') {
    const lengths = [...new Set([longestSalt(key.sizeBits, hash), hash.sizeBytes])];
    return key.resident?.salts === 'digest' ? lengths.reverse() : lengths;
  }
  return [wanted === 'hash' ? hash.sizeBytes : wanted];
}

/** Prefers mechanisms that hash: a key may be restricted to them (CKA_ALLOWED_MECHANISMS). */
function planPss(key: NamedKey, options: SigningOptions, input: Buffer): SigningPlan[] {
  const hash = requireHash(options);
  const data = options.prehashed ? checkDigest(hash, input) : input;
  const type = options.prehashed ? CKM.RSA_PKCS_PSS : hash.mechanisms.rsaPss;
  return saltLengths(key, hash, options.saltLength).map((salt) => {
    if (salt > longestSalt(key.sizeBits, hash))
      throw new Refusal(400, 'salt_length is too long for this key');
    return { mechanism: pssMechanism(type, hash, salt), data };
  });
}

function planPkcs1(options: SigningOptions, input: Buffer): SigningPlan {
  const { hash, prehashed } = options;
  if (hash === null && prehashed) return { mechanism: plainMechanism(CKM.RSA_PKCS), data: input };
  const known = requireHash(options);
  if (!prehashed) return { mechanism: plainMechanism(known.mechanisms.rsaPkcs), data: input };
  const info = Buffer.from(known.digestInfo, 'hex');
  const data = Buffer.concat([info, checkDigest(known, input)]);
  return { mechanism: plainMechanism(CKM.RSA_PKCS), data };
}

/**
 * ECDSA signs the leftmost bits of the digest; truncated here, since tokens differ in accepting longer
 * digests.
 */
function planEcdsa(key: NamedKey, options: SigningOptions, input: Buffer): SigningPlan {
  const digest = digestInput(requireHash(options), options, input);
  return { mechanism: plainMechanism(CKM.ECDSA), data: digest.subarray(0, scalarBytes(key.sizeBits)) };
}

/** Ignores `prehashed`, as Vault does: Ed25519 signs its input. */
function planEddsa(input: Buffer): SigningPlan {
  return { mechanism: eddsaMechanism(), data: input };
}

/**
 * ML-DSA hashes by itself. No document says how Vault would sign a digest (HashML-DSA, or the digest as
 * message), so that is refused.
 */
function planMlDsa({ prehashed }: SigningOptions, input: Buffer): SigningPlan {
  if (prehashed) throw new Refusal(400, 'prehashed is not for key type ml-dsa');
  return { mechanism: mlDsaMechanism(), data: input };
}

/** From PKCS#11's format to base64 (asn1) or base64url (jws). */
export function encodeSignature(
  key: NamedKey,
  marshaling: SigningOptions['marshaling'],
  raw: Buffer,
): string {
  if (marshaling === 'jws') return raw.toString('base64url');
  return (key.kind === 'ec' ? encodeDer(raw) : raw).toString('base64');
}

export function decodeSignature(
  key: NamedKey,
  marshaling: SigningOptions['marshaling'],
  text: string,
): Buffer {
  if (marshaling === 'jws') return decodeBase64(text, 'base64url');
  const bytes = decodeBase64(text);
  const raw = key.kind === 'ec' ? decodeDer(bytes, key.sizeBits) : bytes;
  if (raw === null) throw new Refusal(400, 'supplied signature is invalid');
  return raw;
}
