/** Azure Key Vault's key types and algorithms as resident keys. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import type { CipherAlgorithm, KeySpec, NewResidentKey, SignAlgorithm } from '../../tokens/resident-port.ts';
import { jsonAt, textAt } from '../http/json-secret.ts';

interface Named<Algorithm> {
  /** As the service calls it. */
  readonly alg: string;
  readonly algorithm: Algorithm;
}

interface SpecRow {
  readonly spec: KeySpec;
  readonly sizeBits: number;
  readonly kty: 'RSA' | 'EC';
  /** The service's name of the curve, and node:crypto's. */
  readonly curve: { readonly crv: string; readonly jwk: string } | null;
  readonly signs: readonly Named<SignAlgorithm>[];
}

const HASHES = [256, 384, 512] as const;
const RSA_SIGNS: readonly Named<SignAlgorithm>[] = [
  ...HASHES.map((bits) => ({
    ...{ alg: `RS${bits}`, algorithm: { scheme: 'rsa-pkcs1', hash: `sha${bits}` } as const },
  })),
  ...HASHES.map((bits) => ({
    ...{ alg: `PS${bits}`, algorithm: { scheme: 'rsa-pss', hash: `sha${bits}` } as const },
  })),
];

export const RSA_CIPHERS: readonly Named<CipherAlgorithm>[] = [
  { alg: 'RSA-OAEP-256', algorithm: { scheme: 'rsa-oaep', hash: 'sha256', encrypts: false } },
  { alg: 'RSA-OAEP', algorithm: { scheme: 'rsa-oaep', hash: 'sha1', encrypts: false } },
  { alg: 'RSA1_5', algorithm: { scheme: 'rsa-pkcs1', hash: null, encrypts: false } },
];

const rsa = (sizeBits: 2048 | 3072 | 4096): SpecRow => ({
  ...{ spec: `rsa-${sizeBits}`, sizeBits, kty: 'RSA', curve: null, signs: RSA_SIGNS },
});
const ec = (
  spec: KeySpec,
  sizeBits: number,
  curve: { crv: string; jwk: string },
  alg: string,
  hash: 'sha256' | 'sha384' | 'sha512',
): SpecRow => ({
  ...{ spec, sizeBits, kty: 'EC', curve, signs: [{ alg, algorithm: { scheme: 'ecdsa', hash } }] },
});

const SPECS: readonly SpecRow[] = [
  rsa(2048),
  rsa(3072),
  rsa(4096),
  ec('ec-p256', 256, { crv: 'P-256', jwk: 'P-256' }, 'ES256', 'sha256'),
  ec('ec-p384', 384, { crv: 'P-384', jwk: 'P-384' }, 'ES384', 'sha384'),
  ec('ec-p521', 521, { crv: 'P-521', jwk: 'P-521' }, 'ES512', 'sha512'),
  ec('ec-secp256k1', 256, { crv: 'P-256K', jwk: 'secp256k1' }, 'ES256K', 'sha256'),
];

export const CREATABLE: readonly KeySpec[] = SPECS.map(({ spec }) => spec);

/** The public half of a bundle's key, of whatever kind; null: it has none (oct-HSM), or none that is understood. */
export function readPublicKey(key: unknown): KeyObject | null {
  const kty = textAt(key, 'kty').replace(/-HSM$/, '');
  const field = (name: string): string => textAt(key, name);
  const curve = SPECS.find((row) => row.curve?.crv === field('crv'))?.curve;
  const forms: Record<string, Record<string, string>> = {
    RSA: { kty, n: field('n'), e: field('e') },
    EC: { kty, crv: curve?.jwk ?? '', x: field('x'), y: field('y') },
  };
  const jwk = forms[kty];
  if (jwk === undefined) return null;
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch {
    return null;
  }
}

/** The spec of a bundle's key; null: it is not among these words. */
export function findSpec(key: unknown): SpecRow | null {
  const kty = textAt(key, 'kty').replace(/-HSM$/, '');
  const bits = readPublicKey(key)?.asymmetricKeyDetails?.modulusLength;
  const fits = (row: SpecRow): boolean =>
    row.kty === kty && (row.curve === null ? row.sizeBits === bits : row.curve.crv === textAt(key, 'crv'));
  return SPECS.find(fits) ?? null;
}

/** What the key permits itself (key_ops). */
export function permits(key: unknown, operation: 'sign' | 'decrypt'): boolean {
  const listed = jsonAt(key, 'key_ops');
  return Array.isArray(listed) && listed.includes(operation);
}

/** The service's name of an algorithm that a key was listed with; null: there is none. */
export function nameOfSign(spec: KeySpec, { scheme, hash }: SignAlgorithm): string | null {
  const rows = SPECS.find((row) => row.spec === spec)?.signs ?? [];
  const found = rows.find(({ algorithm }) => algorithm.scheme === scheme && algorithm.hash === hash);
  return found?.alg ?? null;
}

export function nameOfCipher({ scheme, hash }: CipherAlgorithm): string | null {
  const found = RSA_CIPHERS.find(({ algorithm }) => algorithm.scheme === scheme && algorithm.hash === hash);
  return found?.alg ?? null;
}

/** The body of a request that makes a key; null: the service has no such key. */
export function creationOf({ spec, uses }: NewResidentKey, isHsm: boolean): object | null {
  const row = SPECS.find((each) => each.spec === spec);
  if (row === undefined || (row.kty === 'EC' && !uses.includes('sign'))) return null;
  const operations = {
    sign: ['sign', 'verify'],
    decrypt: row.kty === 'RSA' ? ['encrypt', 'decrypt'] : [],
    agree: [],
  };
  return {
    kty: isHsm ? `${row.kty}-HSM` : row.kty,
    ...(row.curve === null ? { key_size: row.sizeBits } : { crv: row.curve.crv }),
    key_ops: uses.flatMap((use) => operations[use]),
  };
}
