/**
 * The versions of a named key: objects of one token, class and type with the same CKA_LABEL, numbered by
 * CKA_SIDEKEY_VERSION. An object made by a PKCS#11 program has no number and is version 1. The policy of the
 * name is stored with the latest version.
 */
import {
  encodeBool,
  encodeUlong,
  readBool,
  readUlong,
  type AttributeMap,
} from '../objects/attribute-value.ts';
import { CKA, CKK, CKO } from '../cryptoki.ts';
import { isGenericKind } from '../objects/key-types.ts';
import type { Objects, View } from '../objects/objects.ts';
import type { KeyPolicy, NamedKey } from '../service.ts';
import { classOf, has, keyTypeOf, type TokenObject } from '../objects/token-object.ts';

/** `main` is the secret or private key; `shown` the public key of a pair, if it exists. */
export interface KeyVersion {
  readonly version: number;
  readonly main: TokenObject;
  readonly shown: TokenObject | null;
}

export interface KeyFamily {
  readonly name: string;
  readonly policy: KeyPolicy;
  readonly latest: KeyVersion;
  /** Ascending; never empty. */
  readonly versions: ReadonlyMap<number, KeyVersion>;
}

type Kind = NamedKey['kind'];

const KINDS: ReadonlyMap<number, Kind> = new Map<number, Kind>([
  [CKK.AES, 'aes'],
  [CKK.CHACHA20, 'chacha20'],
  [CKK.GENERIC_SECRET, 'generic'],
  [CKK.RSA, 'rsa'],
  [CKK.EC, 'ec'],
  [CKK.EC_EDWARDS, 'ed25519'],
  [CKK.EC_MONTGOMERY, 'x25519'],
  [CKK.ML_DSA, 'ml-dsa'],
]);

/** CKA_PARAMETER_SET of ML-DSA by the size of the public key in bits (FIPS 204, table 2). */
export const ML_DSA_SETS: ReadonlyMap<number, number> = new Map([
  [8 * 1312, 1],
  [8 * 1952, 2],
  [8 * 2592, 3],
]);

/** Named curves by the DER encoding of their object identifier. */
const CURVE_BITS: ReadonlyMap<string, number> = new Map([
  ['06082a8648ce3d030107', 256],
  ['06052b81040022', 384],
  ['06052b81040023', 521],
]);
const RAW_CURVES: readonly string[] = ['06032b6570', '06032b656e'];

/** Object identifiers of the curves, in DER. */
export const CURVE_OF_BITS: ReadonlyMap<number, Buffer> = new Map(
  [...CURVE_BITS].map(([der, bits]) => [bits, Buffer.from(der, 'hex')]),
);
export const ED25519 = Buffer.from('06032b6570', 'hex');

export function kindOfKey(object: TokenObject): Kind {
  if (has(object, CKA.SIDEKEY_DERIVED)) return 'aes';
  const keyType = keyTypeOf(object) ?? CKK.GENERIC_SECRET;
  return isGenericKind(keyType) ? 'generic' : (KINDS.get(keyType) ?? 'generic');
}

/** null: a certificate, or a key of unknown size. */
export function sizeBitsOf(object: TokenObject): number | null {
  const { attributes } = object;
  const bytes = readUlong(attributes, CKA.VALUE_LEN);
  if (bytes !== null) return bytes * 8;
  const modulus = attributes.get(CKA.MODULUS);
  if (modulus !== undefined) return modulus.length * 8;
  const set = readUlong(attributes, CKA.PARAMETER_SET);
  if (set !== null) return [...ML_DSA_SETS].find(([, number]) => number === set)?.[0] ?? null;
  const curve = attributes.get(CKA.EC_PARAMS);
  return curve === undefined ? null : (CURVE_BITS.get(curve.toString('hex')) ?? 255);
}

/** Whether the HTTP API supports the key's type: not other curves, nor XTS. */
export function isNameable(object: TokenObject): boolean {
  const keyType = keyTypeOf(object) ?? CKK.GENERIC_SECRET;
  const curve = object.attributes.get(CKA.EC_PARAMS)?.toString('hex');
  if (curve !== undefined) return CURVE_BITS.has(curve) || RAW_CURVES.includes(curve);
  return KINDS.has(keyType) || isGenericKind(keyType);
}

const MAIN_CLASSES: readonly number[] = [CKO.SECRET_KEY, CKO.PRIVATE_KEY];

export function* mainObjects(objects: Objects, view: View, label: Buffer | null): Generator<TokenObject> {
  for (const objectClass of MAIN_CLASSES) {
    const template = new Map<number, Buffer>([[CKA.CLASS, encodeUlong(objectClass)]]);
    if (label !== null) template.set(CKA.LABEL, label);
    for (const object of objects.find(view, template)) if (isNameable(object)) yield object;
  }
}

function publicHalf(objects: Objects, view: View, main: TokenObject): TokenObject | null {
  if (classOf(main) !== CKO.PRIVATE_KEY) return null;
  const asked: [number, Buffer][] = [[CKA.CLASS, encodeUlong(CKO.PUBLIC_KEY)]];
  for (const type of [CKA.ID, CKA.LABEL]) asked.push([type, main.attributes.get(type) ?? Buffer.alloc(0)]);
  for (const shown of objects.find(view, new Map(asked)))
    if (keyTypeOf(shown) === keyTypeOf(main)) return shown;
  return null;
}

const POLICY = {
  minAvailableVersion: CKA.SIDEKEY_MIN_AVAILABLE,
  minDecryptionVersion: CKA.SIDEKEY_MIN_DECRYPTION,
  minEncryptionVersion: CKA.SIDEKEY_MIN_ENCRYPTION,
  autoRotateMs: CKA.SIDEKEY_AUTO_ROTATE,
} as const satisfies Partial<Record<keyof KeyPolicy, number>>;

/** The policy of a name that nobody has configured. */
export const DEFAULT_POLICY: KeyPolicy = {
  ...{ minAvailableVersion: 0, minDecryptionVersion: 1, minEncryptionVersion: 0 },
  ...{ autoRotateMs: 0, deletionAllowed: false },
};

function readPolicy(attributes: AttributeMap): KeyPolicy {
  return {
    minAvailableVersion: readUlong(attributes, POLICY.minAvailableVersion) ?? 0,
    minDecryptionVersion: readUlong(attributes, POLICY.minDecryptionVersion) ?? 1,
    minEncryptionVersion: readUlong(attributes, POLICY.minEncryptionVersion) ?? 0,
    autoRotateMs: readUlong(attributes, POLICY.autoRotateMs) ?? 0,
    deletionAllowed: readBool(attributes, CKA.SIDEKEY_DELETION_ALLOWED),
  };
}

export function writePolicy(policy: KeyPolicy): [number, Buffer][] {
  const names = Object.keys(POLICY) as (keyof typeof POLICY)[];
  return [
    ...names.map((name): [number, Buffer] => [POLICY[name], encodeUlong(policy[name])]),
    [CKA.SIDEKEY_DELETION_ALLOWED, encodeBool(policy.deletionAllowed)],
  ];
}

function isSameSort(a: TokenObject, b: TokenObject): boolean {
  return classOf(a) === classOf(b) && keyTypeOf(a) === keyTypeOf(b);
}

/**
 * If several objects have one number, the oldest counts: nobody can take over a name by creating another
 * object under it.
 */
function numberVersions(mains: readonly TokenObject[]): Map<number, TokenObject> {
  const numbered = new Map<number, TokenObject>();
  for (const main of mains) {
    const version = readUlong(main.attributes, CKA.SIDEKEY_VERSION) ?? 1;
    if (!numbered.has(version)) numbered.set(version, main);
  }
  return new Map([...numbered].sort(([a], [b]) => a - b));
}

/** null: there is no key of this name. The oldest object determines the key's class and type. */
export function findFamily(objects: Objects, view: View, name: string): KeyFamily | null {
  const found = [...mainObjects(objects, view, Buffer.from(name))];
  const [first] = found;
  if (first === undefined) return null;
  const numbered = numberVersions(found.filter((main) => isSameSort(main, first)));
  const last = Math.max(...numbered.keys());
  const policy = readPolicy(numbered.get(last)?.attributes ?? new Map());
  const kept = [...numbered].filter(([version]) => version >= policy.minAvailableVersion || version === last);
  const versions = new Map(
    kept.map(([version, main]) => [version, { version, main, shown: publicHalf(objects, view, main) }]),
  );
  const latest = versions.get(last);
  return latest === undefined ? null : { name, policy, latest, versions };
}

/** The labels of all keys, each once. */
export function findNames(objects: Objects, view: View): string[] {
  const names = new Set<string>();
  for (const object of mainObjects(objects, view, null))
    names.add(object.attributes.get(CKA.LABEL)?.toString('utf8') ?? '');
  names.delete('');
  return [...names];
}
