/**
 * Every attribute of data, X.509 certificates, public, private and secret keys (PKCS#11 3.2, 4.4 to 4.11),
 * one row each: the kind of value, the objects that have it, its default, who may set it and how it may
 * change. Code walks this table; an attribute's rules are nowhere else.
 */
import { CKA, CKK, CKM } from '../cryptoki.ts';

export type ValueKind = 'bool' | 'ulong' | 'bytes' | 'date' | 'mechanisms' | 'template';
export type ObjectKind =
  'data' | 'certificate' | 'public' | 'private' | 'secret' | 'domain' | 'mechanism' | 'profile';
/** How an object is created. Both templates of a pair are `generate`. */
export type Origin = 'create' | 'generate' | 'unwrap' | 'derive';
/**
 * How C_SetAttributeValue and C_CopyObject may change it. raise: only to true; lower: only to false; so: only
 * by the security officer; copy: only in C_CopyObject.
 */
export type Change = 'no' | 'free' | 'raise' | 'lower' | 'so' | 'copy';

export interface AttributeRow {
  readonly type: number;
  readonly name: string;
  readonly kind: ValueKind;
  readonly of: readonly ObjectKind[];
  /** Key types that have it; absent: all. */
  readonly keyTypes?: readonly number[];
  /** The value if the template does not set it. Absent: none, until the keeper supplies one. */
  readonly default?: boolean | number | 'empty' | 'unavailable';
  /** If the template does not set it, it takes the value of this attribute, whose row comes earlier. */
  readonly like?: number;
  /** If the template does not set it, but sets this attribute to true, it is false. */
  readonly yields?: number;
  /** Where a template may set it; empty: only the token sets it. */
  readonly set: readonly Origin[];
  readonly change: Change;
  /** Where a template must set it. */
  readonly needed?: readonly Origin[];
  /** Secret key material: never stored among the attributes; only the keeper has it. */
  readonly material?: true;
  /**
   * Not covered by the seal, because it protects nothing and applications change it freely (see sealing.ts).
   */
  readonly unsealed?: true;
}

const ALL: readonly ObjectKind[] = ['data', 'certificate', 'public', 'private', 'secret', 'domain'];
const KEYS: readonly ObjectKind[] = ['public', 'private', 'secret'];
const HIDDEN: readonly ObjectKind[] = ['private', 'secret'];
const ASYMMETRIC: readonly ObjectKind[] = ['public', 'private'];
const FACTS: readonly ObjectKind[] = ['mechanism', 'profile'];
const RSA = [CKK.RSA];
const CURVES = [CKK.EC, CKK.EC_EDWARDS, CKK.EC_MONTGOMERY];
const WITH_SUBPRIME = [CKK.DSA, CKK.X9_42_DH];
const PRIME_FIELD = [CKK.DH, ...WITH_SUBPRIME];
/** PKCS#11 3.2: post-quantum keys, which have a parameter set. */
const SETS = [CKK.ML_KEM, CKK.ML_DSA, CKK.SLH_DSA];
const KEM = [CKK.ML_KEM];

const ANY: readonly Origin[] = ['create', 'generate', 'unwrap', 'derive'];
const NONE: readonly Origin[] = [];

type Rest = Partial<Omit<AttributeRow, 'type' | 'name' | 'kind' | 'of'>>;

function row(name: keyof typeof CKA, kind: ValueKind, of: readonly ObjectKind[], rest: Rest): AttributeRow {
  return { type: CKA[name], name: `CKA_${name}`, kind, of, set: ANY, change: 'no', ...rest };
}

/**
 * Usage flags default to true, as in SoftHSM: pkcs11-tool, PyKCS11 and others unwrap with keys that they
 * created without CKA_UNWRAP, and a mechanism that does not fit the key's type is refused anyway. CKA_DERIVE
 * is the exception, as in SoftHSM. To restrict a key, say so in its template, or set CKA_ALLOWED_MECHANISMS.
 */
const usage = (name: keyof typeof CKA, of: readonly ObjectKind[], rest: Rest = {}): AttributeRow =>
  row(name, 'bool', of, { default: true, change: 'free', ...rest });

/** Domain parameters of a public key, or of a domain parameters object: input to generating a pair. */
const domainRow = (name: keyof typeof CKA, keyTypes: readonly number[]): AttributeRow =>
  row(name, 'bytes', ['public'], {
    keyTypes,
    set: ['create', 'generate'],
    needed: ['create', 'generate'],
  });

/** Also set where they come with the key, or are what is generated. */
const givenRow = (name: keyof typeof CKA, keyTypes: readonly number[]): AttributeRow =>
  row(name, 'bytes', ['private', 'domain'], { keyTypes, set: ['create'], needed: ['create'] });

export const ATTRIBUTES: readonly AttributeRow[] = [
  row('CLASS', 'ulong', ALL, { needed: ['create', 'unwrap', 'derive'] }),
  row('TOKEN', 'bool', ALL, { default: false, change: 'copy' }),
  row('PRIVATE', 'bool', HIDDEN, { default: true, change: 'copy' }),
  row('PRIVATE', 'bool', ['data', 'certificate', 'public', 'domain'], { default: false, change: 'copy' }),
  row('MODIFIABLE', 'bool', ALL, { default: true, change: 'copy' }),
  row('COPYABLE', 'bool', ALL, { default: true, change: 'lower' }),
  row('DESTROYABLE', 'bool', ALL, { default: true, change: 'copy' }),
  row('LABEL', 'bytes', ALL, { default: 'empty', change: 'free', unsealed: true }),
  row('UNIQUE_ID', 'bytes', ALL, { set: NONE }),

  row('CLASS', 'ulong', FACTS, { set: NONE }),
  ...(['TOKEN', 'PRIVATE', 'MODIFIABLE', 'COPYABLE', 'DESTROYABLE'] as const).map((name) =>
    row(name, 'bool', FACTS, { set: NONE }),
  ),
  row('MECHANISM_TYPE', 'ulong', ['mechanism'], { set: NONE }),
  row('PROFILE_ID', 'ulong', ['profile'], { set: NONE }),

  row('APPLICATION', 'bytes', ['data'], { default: 'empty', change: 'free', unsealed: true }),
  row('OBJECT_ID', 'bytes', ['data'], { default: 'empty', change: 'free', unsealed: true }),
  row('VALUE', 'bytes', ['data'], { default: 'empty', change: 'free' }),

  row('CERTIFICATE_TYPE', 'ulong', ['certificate'], { needed: ['create'] }),
  row('CERTIFICATE_CATEGORY', 'ulong', ['certificate'], { default: 0 }),
  row('CHECK_VALUE', 'bytes', ['certificate'], { default: 'empty' }),
  row('SUBJECT', 'bytes', ['certificate'], { needed: ['create'] }),
  row('ISSUER', 'bytes', ['certificate'], { default: 'empty', change: 'free' }),
  row('SERIAL_NUMBER', 'bytes', ['certificate'], { default: 'empty', change: 'free' }),
  row('VALUE', 'bytes', ['certificate'], { needed: ['create'] }),
  row('URL', 'bytes', ['certificate'], { default: 'empty' }),
  row('HASH_OF_SUBJECT_PUBLIC_KEY', 'bytes', ['certificate'], { default: 'empty' }),
  row('HASH_OF_ISSUER_PUBLIC_KEY', 'bytes', ['certificate'], { default: 'empty' }),
  row('JAVA_MIDP_SECURITY_DOMAIN', 'ulong', ['certificate'], { default: 0 }),
  row('NAME_HASH_ALGORITHM', 'ulong', ['certificate'], { default: CKM.SHA_1 }),

  row('KEY_TYPE', 'ulong', [...KEYS, 'domain'], { needed: ['create', 'unwrap', 'derive'] }),
  row('ID', 'bytes', [...KEYS, 'certificate'], { default: 'empty', change: 'free', unsealed: true }),
  row('START_DATE', 'date', [...KEYS, 'certificate'], { default: 'empty', change: 'free' }),
  row('END_DATE', 'date', [...KEYS, 'certificate'], { default: 'empty', change: 'free' }),
  row('DERIVE', 'bool', KEYS, { default: false, change: 'free' }),
  row('LOCAL', 'bool', [...KEYS, 'domain'], { default: false, set: NONE }),
  row('KEY_GEN_MECHANISM', 'ulong', KEYS, { default: 'unavailable', set: NONE }),
  row('ALLOWED_MECHANISMS', 'mechanisms', KEYS, { default: 'empty' }),
  row('SUBJECT', 'bytes', ASYMMETRIC, { default: 'empty', change: 'free', unsealed: true }),
  row('PUBLIC_KEY_INFO', 'bytes', [...ASYMMETRIC, 'certificate'], { default: 'empty' }),

  usage('ENCRYPT', ['public', 'secret']),
  usage('DECRYPT', HIDDEN),
  usage('SIGN', HIDDEN),
  // For RSA the same as signing: whoever forbids signing means this too.
  usage('SIGN_RECOVER', ['private'], { like: CKA.SIGN }),
  usage('VERIFY', ['public', 'secret']),
  usage('VERIFY_RECOVER', ['public'], { like: CKA.VERIFY }),
  usage('WRAP', ['public', 'secret']),
  usage('UNWRAP', HIDDEN),
  usage('ENCAPSULATE', ['public'], { keyTypes: KEM }),
  usage('DECAPSULATE', ['private'], { keyTypes: KEM }),

  row('TRUSTED', 'bool', ['public', 'secret', 'certificate'], { default: false, change: 'so' }),
  row('SENSITIVE', 'bool', ['private'], { default: true, change: 'raise' }),
  // PKCS#11 3.1, 4.10.2 has the default false. If nobody can extract the key, true shows no less of it.
  row('SENSITIVE', 'bool', ['secret'], { default: true, yields: CKA.EXTRACTABLE, change: 'raise' }),
  row('EXTRACTABLE', 'bool', HIDDEN, { default: false, change: 'lower' }),
  row('ALWAYS_SENSITIVE', 'bool', HIDDEN, { default: false, set: NONE }),
  row('NEVER_EXTRACTABLE', 'bool', HIDDEN, { default: false, set: NONE }),
  row('WRAP_WITH_TRUSTED', 'bool', HIDDEN, { default: false, change: 'raise' }),
  row('ALWAYS_AUTHENTICATE', 'bool', ['private'], { default: false }),
  row('WRAP_TEMPLATE', 'template', ['public', 'secret'], { default: 'empty' }),
  row('UNWRAP_TEMPLATE', 'template', HIDDEN, { default: 'empty' }),
  row('DERIVE_TEMPLATE', 'template', HIDDEN, { default: 'empty' }),
  // PKCS#11 3.2 assigns numbers but has no text: by analogy, they are to encapsulation what
  // CKA_UNWRAP_TEMPLATE is to unwrapping.
  row('ENCAPSULATE_TEMPLATE', 'template', ['public'], { keyTypes: KEM, default: 'empty' }),
  row('DECAPSULATE_TEMPLATE', 'template', ['private'], { keyTypes: KEM, default: 'empty' }),

  row('MODULUS', 'bytes', ASYMMETRIC, { keyTypes: RSA, set: ['create'], needed: ['create'] }),
  // The standard forbids it in C_CreateObject, but NSS and PyKCS11 programs pass it; the keeper's value wins.
  row('MODULUS_BITS', 'ulong', ['public'], {
    keyTypes: RSA,
    set: ['create', 'generate'],
    needed: ['generate'],
  }),
  row('PUBLIC_EXPONENT', 'bytes', ['public'], {
    keyTypes: RSA,
    set: ['create', 'generate'],
    needed: ['create'],
  }),
  row('PUBLIC_EXPONENT', 'bytes', ['private'], { keyTypes: RSA, set: ['create'], default: 'empty' }),
  row('EC_PARAMS', 'bytes', ['public'], {
    keyTypes: CURVES,
    set: ['create', 'generate'],
    needed: ['create', 'generate'],
  }),
  row('EC_PARAMS', 'bytes', ['private'], { keyTypes: CURVES, set: ['create'], needed: ['create'] }),
  row('EC_POINT', 'bytes', ['public'], { keyTypes: CURVES, set: ['create'], needed: ['create'] }),
  // Not in the standard's table for private keys, but many programs read it from the private key.
  row('EC_POINT', 'bytes', ['private'], { keyTypes: CURVES, set: ['create'], default: 'empty' }),

  ...(['PRIME', 'BASE'] as const).map((name) => domainRow(name, PRIME_FIELD)),
  domainRow('SUBPRIME', WITH_SUBPRIME),
  ...(['PRIME', 'BASE'] as const).map((name) => givenRow(name, PRIME_FIELD)),
  givenRow('SUBPRIME', WITH_SUBPRIME),
  row('PRIME_BITS', 'ulong', ['domain'], { set: ['generate'], needed: ['generate'] }),
  row('SUBPRIME_BITS', 'ulong', ['domain'], { keyTypes: WITH_SUBPRIME, set: ['generate'] }),
  row('VALUE_BITS', 'ulong', ['private'], { keyTypes: [CKK.DH], set: ['generate'] }),
  row('PARAMETER_SET', 'ulong', ['public'], {
    keyTypes: SETS,
    set: ['create', 'generate'],
    needed: ['create', 'generate'],
  }),
  row('PARAMETER_SET', 'ulong', ['private'], { keyTypes: SETS, set: ['create'], needed: ['create'] }),
  row('VALUE', 'bytes', ['public'], {
    keyTypes: [...PRIME_FIELD, ...SETS],
    set: ['create'],
    needed: ['create'],
  }),

  row('VALUE', 'bytes', ['secret'], { material: true, set: ['create'], needed: ['create'] }),
  row('VALUE', 'bytes', ['private'], {
    keyTypes: [...CURVES, ...PRIME_FIELD, ...SETS],
    material: true,
    set: ['create'],
    needed: ['create'],
  }),
  // The seed from which the key was made; it can replace the value.
  row('SEED', 'bytes', ['private'], { keyTypes: [CKK.ML_KEM, CKK.ML_DSA], material: true, set: ['create'] }),
  row('PRIVATE_EXPONENT', 'bytes', ['private'], {
    keyTypes: RSA,
    material: true,
    set: ['create'],
    needed: ['create'],
  }),
  ...(['PRIME_1', 'PRIME_2', 'EXPONENT_1', 'EXPONENT_2', 'COEFFICIENT'] as const).map((name) =>
    row(name, 'bytes', ['private'], { keyTypes: RSA, material: true, set: ['create'] }),
  ),
  row('VALUE_LEN', 'ulong', ['secret'], { set: ['generate', 'unwrap', 'derive'], needed: ['generate'] }),
  row('CHECK_VALUE', 'bytes', ['secret'], {}),

  // Only Sidekey sets these. Those that identify the key are sealed; those that only restrict it can change
  // without the key service.
  row('SIDEKEY_VERSION', 'ulong', KEYS, { set: NONE }),
  row('SIDEKEY_DERIVED', 'bool', ['secret'], { set: NONE }),
  row('SIDEKEY_MIN_AVAILABLE', 'ulong', KEYS, { set: NONE, unsealed: true }),
  row('SIDEKEY_MIN_DECRYPTION', 'ulong', KEYS, { set: NONE, unsealed: true }),
  row('SIDEKEY_MIN_ENCRYPTION', 'ulong', KEYS, { set: NONE, unsealed: true }),
  row('SIDEKEY_AUTO_ROTATE', 'ulong', KEYS, { set: NONE, unsealed: true }),
  row('SIDEKEY_DELETION_ALLOWED', 'bool', KEYS, { set: NONE, unsealed: true }),
];

const BY_TYPE = new Map<number, AttributeRow[]>();
for (const entry of ATTRIBUTES) BY_TYPE.set(entry.type, [...(BY_TYPE.get(entry.type) ?? []), entry]);

function fits(entry: AttributeRow, kind: ObjectKind, keyType: number | null): boolean {
  if (!entry.of.includes(kind)) return false;
  return entry.keyTypes === undefined || (keyType !== null && entry.keyTypes.includes(keyType));
}

/** The attribute's row for objects of this kind and key type; null: they do not have it. */
export function findRow(type: number, kind: ObjectKind, keyType: number | null): AttributeRow | null {
  return BY_TYPE.get(type)?.find((entry) => fits(entry, kind, keyType)) ?? null;
}

/** Every attribute of objects of this kind and key type. */
export function rowsOf(kind: ObjectKind, keyType: number | null): AttributeRow[] {
  return ATTRIBUTES.filter((entry) => fits(entry, kind, keyType));
}
