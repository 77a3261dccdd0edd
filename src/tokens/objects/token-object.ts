/** An object of a token or session in memory: what every handler works with. */
import type { AttributeMap } from './attribute-value.ts';
import { readBool, readUlong } from './attribute-value.ts';
import type { ObjectKind } from './attributes.ts';
import { CKA, CKO } from '../cryptoki.ts';
import type { CellId, ClientId } from '../ports.ts';
import type { ResidentKey } from '../resident-port.ts';

export interface TokenObject {
  /**
   * Token objects: the row's number, never reused. Session objects: from FIRST_SESSION_HANDLE on. Objects of
   * resident keys: from FIRST_PUBLIC_HANDLE (public) and RESIDENT_FROM on.
   */
  readonly handle: number;
  readonly tokenId: number;
  readonly uniqueId: string;
  readonly attributes: AttributeMap;
  /** The sealed key, or the sealed value of a private data object; null if nothing is sealed. */
  readonly blob: Buffer | null;
  readonly createdAt: number;
  /** For a session object: the owning process and session, and its cell if it is a key. */
  readonly session: {
    readonly client: ClientId;
    readonly number: number;
    readonly cell: CellId | null;
    /** For a copy of a token key: the handle of that key. */
    readonly copyOf?: number;
  } | null;
  /** For an object that represents a key in a key service: that key. */
  readonly resident?: ResidentKey;
}

/** Above any row number of a store. */
export const FIRST_SESSION_HANDLE = 2 ** 40;
/** Above every session handle, which has 48 random bits. */
export const FIRST_PUBLIC_HANDLE = 2 ** 51;

const KINDS: Readonly<Record<number, ObjectKind>> = {
  [CKO.DATA]: 'data',
  [CKO.CERTIFICATE]: 'certificate',
  [CKO.PUBLIC_KEY]: 'public',
  [CKO.PRIVATE_KEY]: 'private',
  [CKO.SECRET_KEY]: 'secret',
  [CKO.DOMAIN_PARAMETERS]: 'domain',
};

/** Classes of objects that nobody creates: see facts.ts. */
const FACTS: Readonly<Record<number, ObjectKind>> = {
  [CKO.MECHANISM]: 'mechanism',
  [CKO.PROFILE]: 'profile',
};

/** The kind for a CKO_ number; null: a class that Sidekey does not store. */
export function kindOfClass(objectClass: number): ObjectKind | null {
  return KINDS[objectClass] ?? null;
}

export function classOf(object: Pick<TokenObject, 'attributes'>): number {
  return readUlong(object.attributes, CKA.CLASS) ?? CKO.DATA;
}

export function kindOf(object: Pick<TokenObject, 'attributes'>): ObjectKind {
  const objectClass = classOf(object);
  return kindOfClass(objectClass) ?? FACTS[objectClass] ?? 'data';
}

export function keyTypeOf(object: Pick<TokenObject, 'attributes'>): number | null {
  return readUlong(object.attributes, CKA.KEY_TYPE);
}

export function isKey(object: Pick<TokenObject, 'attributes'>): boolean {
  const objectClass = classOf(object);
  return objectClass >= CKO.PUBLIC_KEY && objectClass <= CKO.SECRET_KEY;
}

export function has(object: Pick<TokenObject, 'attributes'>, flag: number): boolean {
  return readBool(object.attributes, flag);
}

export function labelOf(object: Pick<TokenObject, 'attributes'>): string {
  return object.attributes.get(CKA.LABEL)?.toString('utf8') ?? '';
}
