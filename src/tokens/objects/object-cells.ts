/**
 * Objects in cells: sealing what is new, opening what is asked for. The lease of an object's cell never outlives that
 * of the token key it was opened with, so that a key service's refusal takes effect within one `any`.
 */
import { createHash } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import type { DataKeyCache, OpenCell } from '../../cache/data-key-cache.ts';
import { WireWriter } from '../../wire/buffer.ts';
import { CKA, CKM, CKO } from '../cryptoki.ts';
import type { CellId, ClientId, Clock, Keeper, MadeKey, Mechanism, NewKey } from '../ports.ts';
import type { SessionCopies } from './session-copies.ts';
import { publicComponents } from './object-template.ts';
import { isMadeComponent, sealingData, type Sealable } from './sealing.ts';
import type { TokenRow } from '../store-port.ts';
import type { TokenCatalogue } from '../token-catalogue.ts';
import type { TokenKeys } from '../token-keys.ts';
import { cellKeyType } from './key-types.ts';
import { classOf, keyTypeOf, labelOf, type TokenObject } from './token-object.ts';

const NONCE_BYTES = 12;
const TAG_BITS = 128;
const OPEN_TRIES = 3;

function gcm(nonce: Buffer, aad: Buffer): Mechanism {
  // A digest, because a mechanism's parameter is shorter than associated data may be.
  const digest = createHash('sha256').update(aad).digest();
  return { type: CKM.AES_GCM, params: new WireWriter().bytes(nonce).bytes(digest).u32(TAG_BITS).done() };
}

export class ObjectCells {
  readonly #keeper: Keeper;
  readonly #cache: DataKeyCache;
  readonly #catalogue: TokenCatalogue;
  readonly #keys: TokenKeys;
  readonly #copies: SessionCopies;
  readonly #stored: (handle: number) => TokenObject | null;
  readonly #clock: Clock;
  readonly #random: (bytes: number) => Buffer;

  constructor(deps: {
    keeper: Keeper;
    cache: DataKeyCache;
    catalogue: TokenCatalogue;
    keys: TokenKeys;
    copies: SessionCopies;
    /** The token's object of that handle. */
    stored: (handle: number) => TokenObject | null;
    clock: Clock;
    random: (bytes: number) => Buffer;
  }) {
    this.#keeper = deps.keeper;
    this.#cache = deps.cache;
    this.#catalogue = deps.catalogue;
    this.#keys = deps.keys;
    this.#copies = deps.copies;
    this.#stored = deps.stored;
    this.#clock = deps.clock;
    this.#random = deps.random;
  }

  static cacheKey(handle: number): string {
    return `object ${handle}`;
  }

  /** Of a key that was derived from an object: `which` tells it from others. */
  static derivedKey(handle: number, which: string): string {
    return `derived ${handle} ${which}`;
  }

  /** What the keeper is told of a new key: sealed for a token, or owned by its client for a session (noted once it has a handle). */
  async newKey(token: TokenRow, object: Sealable, owner: ClientId | null): Promise<NewKey> {
    const base = this.#describe(object);
    if (owner !== null) return { ...base, owner };
    const { cell: by } = await this.#keys.take(token);
    // A short lease: the cell serves only until it is sealed, and the first use opens it anew.
    return { ...base, leaseMs: 30_000, seal: { by, aad: sealingData(token.serial, object) } };
  }

  #describe(object: Sealable): NewKey {
    const keyType = cellKeyType(keyTypeOf(object) ?? 0);
    return {
      objectClass: classOf(object),
      keyType,
      owner: null,
      leaseMs: null,
      uses: null,
      note: null,
      seal: null,
    };
  }

  /** The cell of a key, opened if need be. seal_broken: the row is not what was sealed. */
  async take(token: TokenRow, object: TokenObject): Promise<CellId> {
    if (object.session !== null) return object.session.cell ?? this.#copyAnew(token, object);
    const { handle } = object;
    const name = { key: ObjectCells.cacheKey(handle), token: token.name, handle };
    const limits = this.#catalogue.limits(token, labelOf(object));
    return (await this.#cache.take(name, limits, () => this.#open(token, object))).cell;
  }

  async #copyAnew(token: TokenRow, object: TokenObject): Promise<CellId> {
    const { session } = object;
    const source = session?.copyOf === undefined ? null : this.#stored(session.copyOf);
    if (session === null || source === null)
      throw new SidekeyError('key_handle_invalid', 'this object is no key, or its source is gone');
    const key = { ...this.#describe(object), owner: session.client };
    const newKey = (): NewKey => this.leasedAs(token, source.handle, key);
    return this.#copies.open(object, { newKey, cell: () => this.take(token, source) });
  }

  /** A copy in a session ends with the lease of what it is a copy of: what refuses that refuses it too. */
  leasedAs(token: TokenRow, handle: number, key: NewKey): NewKey {
    const { anyMs, uses } = this.#catalogue.limits(token);
    return { ...key, leaseMs: Math.max(1, Math.floor(this.leftMs(handle) ?? anyMs)), uses };
  }

  async #open(token: TokenRow, object: TokenObject): Promise<OpenCell> {
    if (object.resident !== undefined) return this.#openPublic(token, object);
    if (object.blob === null)
      throw new SidekeyError('seal_broken', `object ${object.uniqueId} has no sealed blob`);
    for (let tries = 1; ; tries++) {
      const sealing = await this.#keys.take(token, this.#catalogue.limits(token, labelOf(object)));
      try {
        return await this.#openBy(sealing, token, object, object.blob);
      } catch (error) {
        const hasEnded = error instanceof SidekeyError && error.code === 'cell_unknown';
        if (!hasEnded || tries >= OPEN_TRIES) throw error;
        // The token key's lease was over before the frame was read: it is opened anew.
        this.#keys.cellEnded(sealing.cell);
      }
    }
  }

  async #openBy(sealing: OpenCell, token: TokenRow, object: TokenObject, blob: Buffer): Promise<OpenCell> {
    const { anyMs, uses } = this.#catalogue.limits(token, labelOf(object));
    const now = this.#clock.monotonic();
    const leaseMs = Math.max(1, Math.floor(Math.min(anyMs, (sealing.endsAt ?? Infinity) - now)));
    const note = Buffer.from(ObjectCells.cacheKey(object.handle));
    const wanted = { ...this.#describe(object), leaseMs, uses, note };
    const made = await this.#keeper.open(wanted, sealing.cell, sealingData(token.serial, object), blob);
    this.#compare(object, made);
    return { cell: made.cell, endsAt: now + leaseMs };
  }

  /** The public half of a resident key is used here; the other half has no cell. */
  async #openPublic(token: TokenRow, object: TokenObject): Promise<OpenCell> {
    if (classOf(object) !== CKO.PUBLIC_KEY)
      throw new SidekeyError('key_handle_invalid', `key ${object.uniqueId} cannot leave its key service`);
    const { anyMs: leaseMs, uses } = this.#catalogue.limits(token, labelOf(object));
    const note = Buffer.from(ObjectCells.cacheKey(object.handle));
    const endsAt = this.#clock.monotonic() + leaseMs;
    const components = publicComponents(object.attributes);
    const made = await this.#keeper.importComponents(
      { ...this.#describe(object), leaseMs, uses, note },
      components,
    );
    return { cell: made.cell, endsAt };
  }

  /** The public components stand beside the seal for everybody to read: they must be those inside it. */
  #compare(object: TokenObject, made: MadeKey): void {
    const differs = made.components.some(({ type, value }) => {
      const shown = object.attributes.get(type);
      return isMadeComponent(type) && shown !== undefined && shown.length > 0 && !shown.equals(value);
    });
    if (!differs) return;
    this.drop(made.cell);
    throw new SidekeyError('seal_broken', `the public part of object ${object.uniqueId} was replaced`);
  }

  /** The seal for changed attributes, by a cell that was opened under the old ones. */
  async reseal(token: TokenRow, object: TokenObject, changed: Sealable): Promise<Buffer> {
    const cell = await this.take(token, object);
    const { cell: by } = await this.#keys.take(token);
    return this.#keeper.seal(cell, by, sealingData(token.serial, changed));
  }

  /** Application data of a private data object: of any length, so by the token key itself and not as a cell. */
  async sealData(token: TokenRow, object: Sealable, data: Buffer): Promise<Buffer> {
    const { cell } = await this.#keys.take(token);
    const nonce = this.#random(NONCE_BYTES);
    const mechanism = gcm(nonce, sealingData(token.serial, object));
    return Buffer.concat([nonce, await this.#keeper.operate(cell, 'encrypt', mechanism, data)]);
  }

  async openData(token: TokenRow, object: TokenObject): Promise<Buffer> {
    if (object.blob === null) return object.attributes.get(CKA.VALUE) ?? Buffer.alloc(0);
    const { cell } = await this.#keys.take(token);
    const mechanism = gcm(object.blob.subarray(0, NONCE_BYTES), sealingData(token.serial, object));
    try {
      return await this.#keeper.operate(cell, 'decrypt', mechanism, object.blob.subarray(NONCE_BYTES));
    } catch (cause) {
      if (!(cause instanceof SidekeyError) || !cause.code.startsWith('encrypted_data')) throw cause;
      throw new SidekeyError('seal_broken', `object ${object.uniqueId} differs from what was sealed`, {
        cause,
      });
    }
  }

  /** Where an object stands open now, which is no use of it; null: it does not. */
  openCell(handle: number): CellId | null {
    return this.#cache.peek(ObjectCells.cacheKey(handle))?.cell ?? null;
  }

  /** Milliseconds left of an object's lease; null: it is not open. */
  leftMs(handle: number): number | null {
    const open = this.#cache.peek(ObjectCells.cacheKey(handle));
    return open?.endsAt == null ? null : Math.max(0, open.endsAt - this.#clock.monotonic());
  }

  /** With all that was derived from it. */
  forget(handle: number): void {
    this.#cache.forget(ObjectCells.cacheKey(handle));
    const derived = ObjectCells.derivedKey(handle, '');
    for (const { key } of this.#cache.names()) if (key.startsWith(derived)) this.#cache.forget(key);
  }

  touch(handle: number): void {
    this.#cache.touch(ObjectCells.cacheKey(handle));
  }

  /** After the agent's restart: a cell of the keeper with its note. */
  adopt(cell: CellId, token: string, handle: number, leftMs: number | null): void {
    const limits = { anyMs: leftMs ?? 1, unusedMs: leftMs ?? 1 };
    const key = ObjectCells.cacheKey(handle);
    const opened = { cell, endsAt: this.#clock.monotonic() + (leftMs ?? 0) };
    if (this.#cache.peek(key) === null) this.#cache.put({ key, token, handle }, limits, opened);
  }

  /** Wipes a cell that nothing refers to. The keeper's absence wipes it as well. */
  drop(cell: CellId): void {
    this.#keeper.drop(cell).catch(() => undefined);
  }
}
