/**
 * Cells of objects: seals new keys, and opens stored ones. The lease of an object's cell never outlives that
 * of the token key that opened it, so that a refusal by the key service takes effect within one `any`.
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
import type { TokenKeys } from '../token-keys/token-keys.ts';
import { cellKeyType } from './key-types.ts';
import { classOf, keyTypeOf, labelOf, type TokenObject } from './token-object.ts';

const NONCE_BYTES = 12;
const TAG_BITS = 128;
const OPEN_TRIES = 3;

function gcm(nonce: Buffer, aad: Buffer): Mechanism {
  // A digest, because associated data may be longer than a mechanism's parameter.
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
    /** Looks up a token object by its handle. */
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

  /** The name of a key derived from an object; `which` tells derived keys apart. */
  static derivedKey(handle: number, which: string): string {
    return `derived ${handle} ${which}`;
  }

  /**
   * What the keeper needs for a new key: sealed for a token, or owned by the client for a session (its note
   * follows once it has a handle).
   */
  async newKey(token: TokenRow, object: Sealable, owner: ClientId | null): Promise<NewKey> {
    const base = this.#describe(object);
    if (owner !== null) return { ...base, owner };
    const { cell: by } = await this.#keys.take(token);
    // A short lease: the cell is only needed until the key is sealed; the first use opens it again.
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

  /** The cell of a token object's key if it is open. */
  opened({ session, handle }: TokenObject): CellId | null {
    return session === null ? (this.#cache.opened(ObjectCells.cacheKey(handle))?.cell ?? null) : null;
  }

  /** The key's cell, opened if necessary. seal_broken: the row is not what was sealed. */
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
      throw new SidekeyError(
        'key_handle_invalid',
        'the object is not a key, or the key that it copies no longer exists',
      );
    const key = { ...this.#describe(object), owner: session.client };
    const newKey = (): NewKey => this.leasedAs(token, source.handle, key);
    return this.#copies.open(object, { newKey, cell: () => this.take(token, source) });
  }

  /**
   * A session copy ends with the lease of the key that it copies, so that refusing that key refuses the copy.
   */
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
        // The token key's lease ended before the keeper read the frame: open it again.
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

  /** Only the public half of a resident key is used here; the other half has no cell. */
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

  /**
   * The public components next to the seal can be edited in the database: they must equal those inside it.
   */
  #compare(object: TokenObject, made: MadeKey): void {
    const differs = made.components.some(({ type, value }) => {
      const shown = object.attributes.get(type);
      return isMadeComponent(type) && shown !== undefined && shown.length > 0 && !shown.equals(value);
    });
    if (!differs) return;
    this.drop(made.cell);
    throw new SidekeyError('seal_broken', `the public part of object ${object.uniqueId} was replaced`);
  }

  /** Seals changed attributes, using a cell that was opened under the old ones. */
  async reseal(token: TokenRow, object: TokenObject, changed: Sealable): Promise<Buffer> {
    const cell = await this.take(token, object);
    const { cell: by } = await this.#keys.take(token);
    return this.#keeper.seal(cell, by, sealingData(token.serial, changed));
  }

  /**
   * The value of a private data object. It may have any length, so the token key encrypts it directly,
   * without a cell.
   */
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

  /** The cell of an object that is already open, without counting as a use; null: it is not open. */
  openCell(handle: number): CellId | null {
    return this.#cache.peek(ObjectCells.cacheKey(handle))?.cell ?? null;
  }

  /** Milliseconds left of an object's lease; null: it is not open. */
  leftMs(handle: number): number | null {
    const open = this.#cache.peek(ObjectCells.cacheKey(handle));
    return open?.endsAt == null ? null : Math.max(0, open.endsAt - this.#clock.monotonic());
  }

  /** Includes everything derived from it. */
  forget(handle: number): void {
    this.#cache.forget(ObjectCells.cacheKey(handle));
    const derived = ObjectCells.derivedKey(handle, '');
    for (const { key } of this.#cache.names()) if (key.startsWith(derived)) this.#cache.forget(key);
  }

  touch(handle: number): void {
    this.#cache.touch(ObjectCells.cacheKey(handle));
  }

  /** Takes over a cell that survived a restart of the agent. */
  adopt(cell: CellId, token: string, handle: number, leftMs: number | null): void {
    const limits = { anyMs: leftMs ?? 1, unusedMs: leftMs ?? 1 };
    const key = ObjectCells.cacheKey(handle);
    const opened = { cell, endsAt: this.#clock.monotonic() + (leftMs ?? 0) };
    if (this.#cache.peek(key) === null) this.#cache.put({ key, token, handle }, limits, opened);
  }

  /** Wipes a cell that nothing refers to. If the keeper is absent, the cell is gone anyway. */
  drop(cell: CellId): void {
    this.#keeper.drop(cell).catch(() => undefined);
  }
}
