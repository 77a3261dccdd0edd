/**
 * How a service signs: which of the key's algorithms to use, and how to prepare the data. For PKCS #1 v1.5
 * and ECDSA, of which PKCS#11 has raw mechanisms that services lack.
 */
import { SidekeyError } from '../../errors.ts';
import type { HashName, ResidentKey, SignAlgorithm } from '../resident-port.ts';
import { HASHES, hashOf } from './mechanisms.ts';
import { bytesOf, refuse } from './plan.ts';

export interface Prepared {
  readonly algorithm: SignAlgorithm;
  readonly input: Buffer;
}

const PKCS1_PADDING_BYTES = 11;

/** The digest inside a DigestInfo, and its hash; null: not a DigestInfo. */
function openDigestInfo(content: Buffer): { hash: HashName; digest: Buffer } | null {
  const row = HASHES.find(
    ({ prefix, bytes }) =>
      content.length === prefix.length + bytes && content.subarray(0, prefix.length).equals(prefix),
  );
  return row === undefined ? null : { hash: row.hash, digest: content.subarray(row.prefix.length) };
}

/** PKCS #1 v1.5: by the algorithm of the hash, or by one that pads its input as it is. */
export function preparePkcs1(
  key: ResidentKey,
  algorithms: readonly SignAlgorithm[],
  content: Buffer,
): Prepared {
  if (content.length > bytesOf(key) - PKCS1_PADDING_BYTES)
    refuse('data_len_range', 'the data is too long for the padding');
  const raw = algorithms.find(({ hash }) => hash === null);
  if (raw !== undefined) return { algorithm: raw, input: content };
  const info = openDigestInfo(content);
  const algorithm = info === null ? undefined : algorithms.find(({ hash }) => hash === info.hash);
  if (info !== null && algorithm !== undefined) return { algorithm, input: info.digest };
  throw new SidekeyError('data_invalid', 'the service only signs a DigestInfo with a hash that it supports');
}

/**
 * ECDSA treats a digest as a number: truncating it to the curve's size, or padding it on the left with zeros,
 * yields the same signature (FIPS 186-5, 6.4.1), so that a service's only hash length serves for all.
 */
function fitDigest(digest: Buffer, bytes: number): Buffer {
  const cut = digest.subarray(0, bytes);
  return Buffer.concat([Buffer.alloc(bytes - cut.length), cut]);
}

export function prepareEcdsa(
  key: ResidentKey,
  algorithms: readonly SignAlgorithm[],
  digest: Buffer,
): Prepared {
  if (digest.length === 0) refuse('data_len_range', 'the digest is empty');
  const whole = algorithms.find(({ hash }) => hash === null);
  if (whole !== undefined) return { algorithm: whole, input: digest };
  const algorithm = algorithms.find(
    (each) => each.hash !== null && hashOf(each.hash).bytes === digest.length,
  );
  if (algorithm !== undefined) return { algorithm, input: digest };
  const [first] = algorithms;
  const bytes = first?.hash == null ? 0 : hashOf(first.hash).bytes;
  // Truncation preserves the number only if the curve is no longer than the hash.
  if (first === undefined || (digest.length > bytes && bytes * 8 < key.sizeBits))
    refuse('data_len_range', 'the service cannot sign a digest of this length');
  return { algorithm: first, input: fitDigest(digest, bytes) };
}
