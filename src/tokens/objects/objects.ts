/**
 * The objects that a process can see: token objects from the store, session objects from memory, under one
 * rule.
 */
import { LRUCache } from 'lru-cache';
import { SidekeyError, type ErrorCode } from '../../errors.ts';
import type { AttributeMap } from './attribute-value.ts';
import { decodeAttributes, encodeAttributes, readUlong } from './attribute-value.ts';
import { CKA } from '../cryptoki.ts';
import { matches } from './object-template.ts';
import type { ClientId } from '../ports.ts';
import type { SessionObjects } from './session-objects.ts';
import type { NewObjectRow, ObjectIndex, ObjectQuery, ObjectRow, TokenStore } from '../store-port.ts';
import { classOf, FIRST_PUBLIC_HANDLE, has, keyTypeOf, type TokenObject } from './token-object.ts';

/** One viewer on one token: a client, or (null) the agent itself, for HTTP and CLI. */
export interface View {
  readonly tokenId: number;
  readonly client: ClientId | null;
  readonly seesPrivate: boolean;
  /** Token objects hidden from this viewer; absent: none. */
  readonly hides?: (object: TokenObject) => boolean;
}

function isVisible(view: View, object: TokenObject): boolean {
  if (!view.seesPrivate && has(object, CKA.PRIVATE)) return false;
  return object.session !== null || view.hides?.(object) !== true;
}

const EMPTY = Buffer.alloc(0);
const DECODED_MAX = 2000;
/** Searches use the columns for these; all other attributes are compared after decoding. */
const INDEXED: readonly number[] = [CKA.CLASS, CKA.KEY_TYPE, CKA.LABEL, CKA.ID, CKA.TOKEN];

export function indexOf(object: { attributes: AttributeMap }): ObjectIndex {
  const label = object.attributes.get(CKA.LABEL) ?? EMPTY;
  const id = object.attributes.get(CKA.ID) ?? null;
  const isPrivate = has(object, CKA.PRIVATE);
  return { objectClass: classOf(object), keyType: keyTypeOf(object), label, id, private: isPrivate };
}

/** A class or key type that is not a possible number: no object has it. */
function isUnanswerable(template: AttributeMap): boolean {
  return [CKA.CLASS, CKA.KEY_TYPE].some((type) => template.has(type) && readUlong(template, type) === null);
}

function toQuery(template: AttributeMap, withPrivate: boolean): ObjectQuery {
  const label = template.get(CKA.LABEL) ?? null;
  const id = template.get(CKA.ID) ?? null;
  const objectClass = readUlong(template, CKA.CLASS);
  return { objectClass, keyType: readUlong(template, CKA.KEY_TYPE), label, id, withPrivate };
}

/** The objects of a token's resident keys known now, ascending by handle. */
export type ListResident = (tokenId: number) => readonly TokenObject[];

export class Objects {
  readonly #store: TokenStore;
  readonly #session: SessionObjects;
  readonly #resident: ListResident;
  readonly #changed: () => void;
  readonly #decoded = new LRUCache<number, TokenObject>({ max: DECODED_MAX });
  #changes = 0;

  /** `changed` is called on each change of a token object, before it becomes visible. */
  constructor(store: TokenStore, session: SessionObjects, resident: ListResident, changed: () => void) {
    this.#changed = changed;
    this.#store = store;
    this.#session = session;
    this.#resident = resident;
  }

  /** Changes whenever a token object is added, changed or removed. */
  get changes(): number {
    return this.#changes;
  }

  #change(): void {
    this.#changes++;
    this.#changed();
  }

  #decode(row: ObjectRow): TokenObject {
    const known = this.#decoded.get(row.handle);
    if (known !== undefined) return known;
    const object = { ...row, attributes: decodeAttributes(row.attributes), session: null };
    this.#decoded.set(row.handle, object);
    return object;
  }

  /** A token object, whoever may see it. */
  stored(handle: number): TokenObject | null {
    const row = this.#store.object(handle);
    return row === null ? null : this.#decode(row);
  }

  /** `code` is thrown for a wrong, foreign or hidden handle: the three cannot be told apart. */
  get(view: View, handle: number, code: ErrorCode = 'object_handle_invalid'): TokenObject {
    const object = handle < FIRST_PUBLIC_HANDLE ? this.#lookUp(view, handle) : this.#forwarded(view, handle);
    if (object !== null && object.tokenId === view.tokenId && isVisible(view, object)) return object;
    throw new SidekeyError(code, `there is no object ${handle} for this process`);
  }

  /** The HTTP API and the command line, which are not clients, find these by name (resident/named.ts). */
  #forwarded({ tokenId, client }: View, handle: number): TokenObject | null {
    if (client === null) return null;
    return this.#resident(tokenId).find((object) => object.handle === handle) ?? null;
  }

  #lookUp(view: View, handle: number): TokenObject | null {
    const known = this.#decoded.get(handle);
    if (known !== undefined) return known;
    if (view.client !== null && this.#session.has(handle)) return this.#session.get(view.client, handle);
    const row = this.#store.object(handle);
    return row === null ? null : this.#decode(row);
  }

  /** Ascending by handle, lazily. */
  *find(view: View, template: AttributeMap, after = 0): Generator<TokenObject> {
    if (isUnanswerable(template)) return;
    const rest = [...template].filter(([type]) => !INDEXED.includes(type));
    const wantsToken = template.get(CKA.TOKEN)?.[0];
    if (wantsToken !== 0) {
      const query = toQuery(template, view.seesPrivate);
      for (const row of this.#store.find(view.tokenId, query, after)) {
        const object = rest.length === 0 && view.seesPrivate ? this.#peek(row) : this.#decode(row);
        if (isVisible(view, object) && matches(object.attributes, rest)) yield object;
      }
    }
    if (wantsToken === undefined || wantsToken === 0) yield* this.#findSession(view, template, after);
    if (wantsToken !== 0) yield* this.#findResident(view, template, after);
  }

  *#findResident(view: View, template: AttributeMap, after: number): Generator<TokenObject> {
    if (view.client === null) return;
    for (const object of this.#resident(view.tokenId)) {
      if (object.handle > after && isVisible(view, object) && matches(object.attributes, template))
        yield object;
    }
  }

  /** Avoids decoding every row of a large result only for its handle. */
  #peek(row: ObjectRow): TokenObject {
    const known = this.#decoded.peek(row.handle);
    if (known !== undefined) return known;
    let attributes: AttributeMap | undefined;
    return {
      ...row,
      session: null,
      get attributes() {
        return (attributes ??= decodeAttributes(row.attributes));
      },
    };
  }

  *#findSession(view: View, template: AttributeMap, after: number): Generator<TokenObject> {
    if (view.client === null) return;
    for (const object of this.#session.list(view.client, view.tokenId)) {
      if (object.handle > after && isVisible(view, object) && matches(object.attributes, template))
        yield object;
    }
  }

  #toRow(object: Omit<TokenObject, 'handle'>): NewObjectRow {
    const { tokenId, uniqueId, blob, createdAt } = object;
    return {
      tokenId,
      uniqueId,
      blob,
      createdAt,
      attributes: encodeAttributes(object.attributes),
      index: indexOf(object),
    };
  }

  /** Durable when the store says so; both halves of a pair, or neither. */
  addToToken(objects: readonly Omit<TokenObject, 'handle'>[]): TokenObject[] {
    if (objects.length === 0) return [];
    this.#change();
    const handles = this.#store.addObjects(objects.map((object) => this.#toRow(object)));
    // addObjects answers one handle for each row.
    return objects.map((object, i) => ({ ...object, handle: handles[i]! }));
  }

  addToSession(object: Omit<TokenObject, 'handle'>): TokenObject {
    if (object.session === null)
      throw new SidekeyError('internal', 'a token object cannot belong to a session');
    const added = { ...object, handle: this.#session.takeHandle(object.session.client) };
    this.#session.put(added);
    return added;
  }

  replace(object: TokenObject): void {
    if (object.session !== null) return this.#session.put(object);
    this.#change();
    this.#store.updateObject(
      object.handle,
      encodeAttributes(object.attributes),
      object.blob,
      indexOf(object),
    );
    this.#decoded.delete(object.handle);
  }

  remove(object: TokenObject): void {
    if (object.session !== null) return this.#session.remove(object);
    this.#change();
    this.#store.removeObject(object.handle);
    this.#decoded.delete(object.handle);
  }

  /** A token's objects are all gone. */
  forgetAll(): void {
    this.#change();
    this.#decoded.clear();
  }
}
