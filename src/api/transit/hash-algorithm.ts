/** Hashes by their Transit names, with their names in node:crypto and PKCS#11. */
import { createHash } from 'node:crypto';
import { Refusal } from '../fault.ts';

/** PKCS#11 numbers: the hash (CKM_), its mask generation function (CKG_), and mechanisms built on it. */
export interface HashMechanisms {
  readonly hash: number;
  readonly mgf: number;
  readonly rsaPkcs: number;
  readonly rsaPss: number;
  readonly hmac: number;
}

export interface HashAlgorithm {
  /** Name for node:crypto. */
  readonly digest: string;
  readonly sizeBytes: number;
  /** DigestInfo up to the digest (RFC 8017, 9.2, note 1), in hex. */
  readonly digestInfo: string;
  readonly mechanisms: HashMechanisms;
}

const HASHES: Readonly<Record<string, HashAlgorithm>> = {
  sha1: {
    digest: 'sha1',
    sizeBytes: 20,
    digestInfo: '3021300906052b0e03021a05000414',
    mechanisms: { hash: 0x220, mgf: 1, rsaPkcs: 0x06, rsaPss: 0x0e, hmac: 0x221 },
  },
  'sha2-224': {
    digest: 'sha224',
    sizeBytes: 28,
    digestInfo: '302d300d06096086480165030402040500041c',
    mechanisms: { hash: 0x255, mgf: 5, rsaPkcs: 0x46, rsaPss: 0x47, hmac: 0x256 },
  },
  'sha2-256': {
    digest: 'sha256',
    sizeBytes: 32,
    digestInfo: '3031300d060960864801650304020105000420',
    mechanisms: { hash: 0x250, mgf: 2, rsaPkcs: 0x40, rsaPss: 0x43, hmac: 0x251 },
  },
  'sha2-384': {
    digest: 'sha384',
    sizeBytes: 48,
    digestInfo: '3041300d060960864801650304020205000430',
    mechanisms: { hash: 0x260, mgf: 3, rsaPkcs: 0x41, rsaPss: 0x44, hmac: 0x261 },
  },
  'sha2-512': {
    digest: 'sha512',
    sizeBytes: 64,
    digestInfo: '3051300d060960864801650304020305000440',
    mechanisms: { hash: 0x270, mgf: 4, rsaPkcs: 0x42, rsaPss: 0x45, hmac: 0x271 },
  },
  'sha3-224': {
    digest: 'sha3-224',
    sizeBytes: 28,
    digestInfo: '302d300d06096086480165030402070500041c',
    mechanisms: { hash: 0x2b5, mgf: 6, rsaPkcs: 0x66, rsaPss: 0x67, hmac: 0x2b6 },
  },
  'sha3-256': {
    digest: 'sha3-256',
    sizeBytes: 32,
    digestInfo: '3031300d060960864801650304020805000420',
    mechanisms: { hash: 0x2b0, mgf: 7, rsaPkcs: 0x60, rsaPss: 0x63, hmac: 0x2b1 },
  },
  'sha3-384': {
    digest: 'sha3-384',
    sizeBytes: 48,
    digestInfo: '3041300d060960864801650304020905000430',
    mechanisms: { hash: 0x2c0, mgf: 8, rsaPkcs: 0x61, rsaPss: 0x64, hmac: 0x2c1 },
  },
  'sha3-512': {
    digest: 'sha3-512',
    sizeBytes: 64,
    digestInfo: '3051300d060960864801650304020a05000440',
    mechanisms: { hash: 0x2d0, mgf: 9, rsaPkcs: 0x62, rsaPss: 0x65, hmac: 0x2d1 },
  },
};

export const DEFAULT_HASH = 'sha2-256';
export const HASH_NAMES: readonly string[] = Object.keys(HASHES);

export function findHash(name: string): HashAlgorithm {
  const hash = Object.hasOwn(HASHES, name) ? HASHES[name] : undefined;
  if (hash === undefined) throw new Refusal(400, 'unsupported hash algorithm');
  return hash;
}

export function digestOf(hash: HashAlgorithm, message: Buffer): Buffer {
  return createHash(hash.digest).update(message).digest();
}
