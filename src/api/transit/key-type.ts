/** Key types by their Transit names, and the description of a key in `GET keys/:name`. */
import { createPublicKey, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import type { Operation } from '../../tokens/ports.ts';
import type { NamedKey, NamedKeyVersion, NewNamedKeyKind } from '../../tokens/service.ts';
import { Refusal } from '../fault.ts';

export const DEFAULT_KEY_TYPE = 'aes256-gcm96';
export const ML_DSA = 'ml-dsa';

const NEW_KINDS: Readonly<Record<string, NewNamedKeyKind>> = {
  'aes128-gcm96': { kind: 'aes', sizeBits: 128 },
  'aes256-gcm96': { kind: 'aes', sizeBits: 256 },
  'chacha20-poly1305': { kind: 'chacha20', sizeBits: 256 },
  'rsa-2048': { kind: 'rsa', sizeBits: 2048 },
  'rsa-3072': { kind: 'rsa', sizeBits: 3072 },
  'rsa-4096': { kind: 'rsa', sizeBits: 4096 },
  'ecdsa-p256': { kind: 'ec', sizeBits: 256 },
  'ecdsa-p384': { kind: 'ec', sizeBits: 384 },
  'ecdsa-p521': { kind: 'ec', sizeBits: 521 },
  ed25519: { kind: 'ed25519' },
};

const HMAC_KEY_BYTES = { default: 32, min: 32, max: 512 } as const;

/** `parameter_set` of ML-DSA, and the size of its public keys in bits. */
const ML_DSA_SIZES = { '44': 10496, '65': 15616, '87': 20736 } as const;

/** What some types need besides their name, in Vault's terms. */
export interface TypeOptions {
  /** Only for hmac. */
  readonly keySizeBytes?: number | undefined;
  /** Required for ml-dsa, ignored otherwise. */
  readonly parameterSet?: string | undefined;
}

export function newKindOf(type: string, { keySizeBytes, parameterSet }: TypeOptions): NewNamedKeyKind {
  if (type === 'hmac') return newHmacKind(keySizeBytes ?? HMAC_KEY_BYTES.default);
  if (keySizeBytes !== undefined && keySizeBytes !== 0)
    throw new Refusal(400, 'key_size is for keys of type hmac');
  if (type === ML_DSA) return newMlDsaKind(parameterSet ?? '');
  const kind = Object.hasOwn(NEW_KINDS, type) ? NEW_KINDS[type] : undefined;
  if (kind === undefined) throw new Refusal(400, `unknown key type ${type}`);
  return kind;
}

/** For an imported key: a key of type hmac has the size it comes with. */
export function kindOfImport(type: string): NewNamedKeyKind {
  return newKindOf(type, {});
}

/** The same as the latest version. */
export function nextKindOf(key: NamedKey): NewNamedKeyKind {
  return newKindOf(typeNameOf(key), { parameterSet: parameterSetOf(key) });
}

function newMlDsaKind(set: string): NewNamedKeyKind {
  if (set === '44' || set === '65' || set === '87') return { kind: ML_DSA, sizeBits: ML_DSA_SIZES[set] };
  throw new Refusal(400, `field "parameter_set": expected 44, 65 or 87 for key type ${ML_DSA}`);
}

/** For ML-DSA; undefined for every other type. */
function parameterSetOf({ kind, sizeBits }: NamedKey): string | undefined {
  if (kind !== ML_DSA) return undefined;
  return Object.entries(ML_DSA_SIZES).find(([, size]) => size === sizeBits)?.[0];
}

function newHmacKind(bytes: number): NewNamedKeyKind {
  const { min, max } = HMAC_KEY_BYTES;
  if (bytes < min || bytes > max) throw new Refusal(400, `key_size must be ${min} to ${max} bytes`);
  return { kind: 'generic', sizeBits: bytes * 8 };
}

/**
 * Names for every key that a PKCS#11 program may have created, including those that Transit cannot create.
 */
const TYPE_NAMES: Readonly<Record<NamedKey['kind'], (bits: number) => string>> = {
  aes: (bits) => `aes${bits}-gcm96`,
  chacha20: () => 'chacha20-poly1305',
  envelope: () => 'tink-envelope-aes256-gcm',
  generic: () => 'hmac',
  rsa: (bits) => `rsa-${bits}`,
  ec: (bits) => `ecdsa-p${bits}`,
  ed25519: () => 'ed25519',
  x25519: () => 'x25519',
  'ml-dsa': () => ML_DSA,
};

export function typeNameOf(key: NamedKey): string {
  return TYPE_NAMES[key.kind](key.sizeBits);
}

type PublicForm = (
  key: NamedKey,
  publicKeyInfo: Buffer,
) => { readonly name: string; readonly public_key: string };

/** SubjectPublicKeyInfo ends with the raw key (RFC 8410, 4). */
const RAW_25519_BYTES = 32;

const writePem = (der: Buffer) =>
  createPublicKey({ key: der, format: 'der', type: 'spki' })
    .export({ format: 'pem', type: 'spki' })
    .toString();
const writeRaw = (der: Buffer) => der.subarray(-RAW_25519_BYTES).toString('base64');

const PUBLIC_FORMS: Readonly<Partial<Record<NamedKey['kind'], PublicForm>>> = {
  rsa: (key, der) => ({ name: typeNameOf(key), public_key: writePem(der) }),
  ec: (key, der) => ({ name: `P-${key.sizeBits}`, public_key: writePem(der) }),
  ed25519: (_key, der) => ({ name: 'ed25519', public_key: writeRaw(der) }),
  x25519: (_key, der) => ({ name: 'x25519', public_key: writeRaw(der) }),
  'ml-dsa': (key, der) => ({ name: `ml-dsa-${parameterSetOf(key)}`, public_key: writePem(der) }),
};

/** The public key of a pair, in the format of its kind; empty if unknown. */
export function describePublicKey(key: NamedKey, { publicKeyInfo }: NamedKeyVersion): string {
  const form = PUBLIC_FORMS[key.kind];
  return form === undefined || publicKeyInfo === null ? '' : form(key, publicKeyInfo).public_key;
}

/** Unix seconds for secret keys, an object with the public key for pairs. */
function describeVersion(
  key: NamedKey,
  { createdAt, publicKeyInfo, certificate }: NamedKeyVersion,
): number | Record<string, unknown> {
  const form = PUBLIC_FORMS[key.kind];
  if (form === undefined || publicKeyInfo === null) return Math.floor(Date.parse(createdAt) / 1000);
  const chain = certificate === null ? '' : new X509Certificate(certificate).toString();
  return { ...form(key, publicKeyInfo), creation_time: createdAt, certificate_chain: chain };
}

const CAN_ENCRYPT: readonly NamedKey['kind'][] = ['aes', 'chacha20', 'envelope', 'rsa'];
const CAN_SIGN: readonly NamedKey['kind'][] = ['rsa', 'ec', 'ed25519', 'ml-dsa'];

export const keyAnswer = z.object({
  name: z.string(),
  type: z.string(),
  latest_version: z.int(),
  min_available_version: z.int(),
  min_decryption_version: z.int(),
  min_encryption_version: z.int(),
  deletion_allowed: z.boolean(),
  derived: z.boolean(),
  exportable: z.boolean(),
  allow_plaintext_backup: z.boolean(),
  auto_rotate_period: z.int(),
  imported_key: z.boolean(),
  supports_encryption: z.boolean(),
  supports_decryption: z.boolean(),
  supports_signing: z.boolean(),
  supports_derivation: z.boolean(),
  /** For derived keys. */
  kdf: z.string().optional(),
  convergent_encryption: z.boolean().optional(),
  /** In bytes, for type hmac. */
  key_size: z.int().optional(),
  /** For type ml-dsa. */
  parameter_set: z.string().optional(),
  /** By version number. */
  keys: z.record(z.string(), z.union([z.int(), z.record(z.string(), z.unknown())])),
});

export function describeKey(key: NamedKey): z.output<typeof keyAnswer> {
  const can = (operation: Operation, kinds: readonly NamedKey['kind'][]) =>
    kinds.includes(key.kind) && key.operations.includes(operation);
  const set = parameterSetOf(key);
  const versions = key.versions.filter(({ version }) => version >= key.policy.minDecryptionVersion);
  return {
    name: key.name,
    type: typeNameOf(key),
    latest_version: key.latestVersion,
    min_available_version: key.policy.minAvailableVersion,
    min_decryption_version: key.policy.minDecryptionVersion,
    min_encryption_version: key.policy.minEncryptionVersion,
    deletion_allowed: key.policy.deletionAllowed,
    derived: key.derived,
    exportable: key.extractable,
    allow_plaintext_backup: false,
    auto_rotate_period: key.policy.autoRotateMs / 1000,
    imported_key: key.imported,
    supports_encryption: can('encrypt', CAN_ENCRYPT),
    supports_decryption: can('decrypt', CAN_ENCRYPT),
    supports_signing: can('sign', CAN_SIGN),
    supports_derivation: key.kind === 'aes' && key.resident === undefined,
    ...(key.derived ? { kdf: 'hkdf_sha256', convergent_encryption: false } : {}),
    ...(key.kind === 'generic' ? { key_size: key.sizeBits / 8 } : {}),
    ...(set === undefined ? {} : { parameter_set: set }),
    keys: Object.fromEntries(versions.map((each) => [each.version, describeVersion(key, each)])),
  };
}
