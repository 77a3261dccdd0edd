/**
 * Envelope encryption for the HTTP API (`envelope` of a token): a data key in a cell serves many messages.
 * Each message carries the data key encrypted by the token's KEK, in Tink's format (envelope-message.ts).
 * Opening messages asks the key service once per data key and lease. While the service is unreachable, open data keys
 * remain usable for `offline`. None of this is stored.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { CacheLimits, CacheName, DataKeyCache, OpenCell } from '../../cache/data-key-cache.ts';
import { SidekeyError } from '../../errors.ts';
import { WireWriter } from '../../wire/buffer.ts';
import { CKA, CKK, CKM, CKO } from '../cryptoki.ts';
import {
  formatEnvelope,
  NONCE_BYTES,
  parseEnvelope,
  serializeDataKey,
  takeDataKey,
} from './envelope-message.ts';
import type { Clock, Keeper, Mechanism } from '../ports.ts';
import type { TokenRow } from '../store-port.ts';
import type { TokenCatalogue } from '../token-catalogue.ts';
import type { TokenKeks } from '../token-keys/token-keks.ts';

const KEY_BYTES = 32;
const TAG_BITS = 128;
/** For this long, a message that the service refused is refused again without asking it. */
const REFUSED_MS = 10_000;
const REFUSED_MAX = 1000;

function gcm(nonce: Buffer, aad: Buffer): Mechanism {
  return { type: CKM.AES_GCM, params: new WireWriter().bytes(nonce).bytes(aad).u32(TAG_BITS).done() };
}

/** The next data key is made when this fraction of the current one's life, in time or messages, is left. */
const AHEAD = 0.2;
/** Delay before retrying to make the next data key. */
const AGAIN_MS = 5000;
/** How long a failed call counts as an outage; after that the service is asked before a key is used. */
const OUTAGE_KNOWN_MS = 15_000;

/** The data key for new messages. */
interface CurrentKey {
  readonly name: CacheName;
  readonly wrapped: Buffer;
  messagesLeft: number;
  /** When to make the next key, by Clock.monotonic(), or at which number of messages left. */
  renewAt: number;
  renewBelow: number;
}

interface EnvelopeDeps {
  readonly keeper: Keeper;
  readonly keks: TokenKeks;
  readonly cache: DataKeyCache;
  readonly catalogue: TokenCatalogue;
  readonly clock: Clock;
  readonly random: (bytes: number) => Buffer;
}

export class EnvelopeKeys {
  readonly #deps: EnvelopeDeps;
  readonly #current = new Map<number, CurrentKey>();
  /** Made in advance, for when the current key is used up. */
  readonly #next = new Map<number, CurrentKey>();
  readonly #making = new Map<number, Promise<CurrentKey>>();
  readonly #refused: LRUCache<string, SidekeyError>;
  /** When the key service of a token was last unreachable; deleted once it answers. */
  readonly #away = new Map<number, number>();

  constructor(deps: EnvelopeDeps) {
    this.#deps = deps;
    const perf = { now: () => deps.clock.monotonic() };
    this.#refused = new LRUCache({ max: REFUSED_MAX, ttl: REFUSED_MS, ttlResolution: 0, perf });
  }

  isEnvelope(token: TokenRow, name: string): boolean {
    return this.#deps.catalogue.envelope(token)?.key === name;
  }

  #nameOf({ id, name }: TokenRow, wrapped: Buffer): CacheName {
    const digest = createHash('sha256').update(wrapped).digest('hex');
    return { key: `envelope ${id} ${digest}`, token: name, handle: 0 };
  }

  /** A cell may close between lookup and use: one retry is enough. */
  async seal(token: TokenRow, aad: Buffer, plaintext: Buffer): Promise<Buffer> {
    return this.#sealOnce(token, aad, plaintext).catch((error: unknown) => {
      if (!isGone(error)) throw error;
      this.#current.delete(token.id);
      return this.#sealOnce(token, aad, plaintext);
    });
  }

  async #sealOnce(token: TokenRow, aad: Buffer, plaintext: Buffer): Promise<Buffer> {
    const { keeper, cache, random } = this.#deps;
    const { name, wrapped } = await this.#currentKey(token);
    const cell = cache.peek(name.key)?.cell;
    if (cell === undefined) throw new SidekeyError('cell_unknown', 'the data key no longer exists');
    cache.touch(name.key);
    const nonce = random(NONCE_BYTES);
    const body = await keeper.operate(cell, 'encrypt', gcm(nonce, aad), plaintext);
    return formatEnvelope({ wrapped, nonce, body });
  }

  /** An open data key with a message left, which is taken. */
  async #currentKey(token: TokenRow): Promise<CurrentKey> {
    const fresh = this.#usable(this.#current, token) ?? this.#usable(this.#next, token);
    const chosen = fresh ?? (await this.#nextKey(token));
    this.#current.set(token.id, chosen);
    if (this.#next.get(token.id) === chosen) this.#next.delete(token.id);
    chosen.messagesLeft -= 1;
    this.#renewAhead(token, chosen);
    return chosen;
  }

  /** Makes a data key, or returns the current one beyond `any` if the service is unreachable. */
  async #nextKey(token: TokenRow): Promise<CurrentKey> {
    const stale = this.#usable(this.#current, token, 'stale');
    if (stale !== null && this.#isAway(token)) return stale;
    return this.#makeOnce(token).catch((error: unknown) => {
      if (stale !== null && isCode(error, 'provider_refused')) this.#refuse(stale.name);
      const still = isCode(error, 'provider_unreachable')
        ? this.#usable(this.#current, token, 'stale')
        : null;
      if (still === null) throw error;
      return still;
    });
  }

  #usable(
    keys: ReadonlyMap<number, CurrentKey>,
    { id }: TokenRow,
    age: 'fresh' | 'stale' = 'fresh',
  ): CurrentKey | null {
    const key = keys.get(id);
    const open = key === undefined ? null : this.#deps.cache.peek(key.name.key);
    if (key === undefined || open === null || key.messagesLeft <= 0) return null;
    return age === 'stale' || this.#isFresh(open) ? key : null;
  }

  #isFresh({ freshUntil }: OpenCell): boolean {
    return freshUntil === undefined || freshUntil > this.#deps.clock.monotonic();
  }

  #isAway({ id }: TokenRow): boolean {
    const at = this.#away.get(id);
    return at !== undefined && this.#deps.clock.monotonic() - at < OUTAGE_KNOWN_MS;
  }

  /** Records whether the key service answered. */
  async #noted<T>({ id }: TokenRow, asking: Promise<T>): Promise<T> {
    try {
      const answer = await asking;
      this.#away.delete(id);
      return answer;
    } catch (error) {
      if (isCode(error, 'provider_unreachable')) this.#away.set(id, this.#deps.clock.monotonic());
      else this.#away.delete(id);
      throw error;
    }
  }

  #refuse({ key }: CacheName): void {
    this.#deps.cache.forget(key, 'refused');
  }

  /**
   * Keeps messages from waiting for the key service. Failures go unreported: the current key is still good.
   */
  #renewAhead(token: TokenRow, current: CurrentKey): void {
    const now = this.#deps.clock.monotonic();
    if (now < current.renewAt && current.messagesLeft > current.renewBelow) return;
    if (this.#usable(this.#next, token) !== null) return;
    current.renewAt = now + AGAIN_MS;
    current.renewBelow = 0;
    this.#makeOnce(token).then(
      (made) => this.#current.get(token.id) === current && this.#next.set(token.id, made),
      () => undefined,
    );
  }

  #makeOnce(token: TokenRow): Promise<CurrentKey> {
    const under = this.#making.get(token.id);
    if (under !== undefined) return under;
    const making = this.#make(token).finally(() => this.#making.delete(token.id));
    this.#making.set(token.id, making);
    return making;
  }

  async #make(token: TokenRow): Promise<CurrentKey> {
    const { keks, catalogue, cache, random } = this.#deps;
    const key = random(KEY_BYTES);
    try {
      const wrapped = await this.#noted(token, keks.encrypt(token, serializeDataKey(key)));
      const name = this.#nameOf(token, wrapped);
      const limits = this.#limits(token);
      await cache.take(name, longest(limits), () => this.#open(token, Buffer.from(key)));
      const messagesLeft = catalogue.envelope(token)?.messages ?? 1;
      const renewAt = this.#deps.clock.monotonic() + limits.anyMs * (1 - AHEAD);
      return { name, wrapped, messagesLeft, renewAt, renewBelow: messagesLeft * AHEAD };
    } finally {
      key.fill(0);
    }
  }

  #limits(token: TokenRow): CacheLimits {
    const { catalogue } = this.#deps;
    return catalogue.limits(token, catalogue.envelope(token)?.key);
  }

  /** Imports the key into a cell, and wipes `key`. */
  async #open(token: TokenRow, key: Buffer): Promise<OpenCell> {
    const { keeper, clock } = this.#deps;
    const { anyMs, offlineMs, uses } = this.#limits(token);
    const leaseMs = anyMs + offlineMs;
    const from = clock.monotonic();
    const wanted = { objectClass: CKO.SECRET_KEY, keyType: CKK.AES, owner: null, leaseMs, uses };
    try {
      const components = [{ type: CKA.VALUE, value: key }];
      const made = await keeper.importComponents({ ...wanted, note: null, seal: null }, components);
      return { cell: made.cell, freshUntil: from + anyMs, endsAt: from + leaseMs };
    } finally {
      key.fill(0);
    }
  }

  async open(token: TokenRow, aad: Buffer, message: Buffer): Promise<Buffer> {
    return this.#openOnce(token, aad, message).catch((error: unknown) => {
      if (!isGone(error)) throw error;
      this.#deps.cache.forget(this.#nameOf(token, parseEnvelope(message).wrapped).key);
      return this.#openOnce(token, aad, message);
    });
  }

  async #openOnce(token: TokenRow, aad: Buffer, message: Buffer): Promise<Buffer> {
    const { keeper } = this.#deps;
    const { wrapped, nonce, body } = parseEnvelope(message);
    const name = this.#nameOf(token, wrapped);
    const known = this.#refused.get(name.key);
    if (known !== undefined) throw known;
    const { cell } = await this.#cellOf(token, name, wrapped);
    return keeper.operate(cell, 'decrypt', gcm(nonce, aad), body);
  }

  /** Beyond `any` the service is asked again: a refusal wipes the key, an outage does not. */
  async #cellOf(token: TokenRow, name: CacheName, wrapped: Buffer): Promise<OpenCell> {
    const { cache } = this.#deps;
    const limits = longest(this.#limits(token));
    const unwrap = () => this.#unwrap(token, name, wrapped);
    const open = cache.peek(name.key);
    if (open === null || this.#isFresh(open)) return cache.take(name, limits, unwrap);
    const renewed = cache.renew(name, limits, unwrap).catch((error: unknown) => {
      if (isCode(error, 'provider_refused')) this.#refuse(name);
      if (!isCode(error, 'provider_unreachable') || cache.peek(name.key) === null) throw error;
      cache.touch(name.key);
      return open;
    });
    if (!this.#isAway(token)) return renewed;
    renewed.catch(() => undefined);
    cache.touch(name.key);
    return open;
  }

  async #unwrap(token: TokenRow, { key }: CacheName, wrapped: Buffer) {
    try {
      return await this.#open(
        token,
        takeDataKey(await this.#noted(token, this.#deps.keks.decrypt(token, wrapped))),
      );
    } catch (error) {
      if (error instanceof SidekeyError && error.code === 'encrypted_data_invalid')
        this.#refused.set(key, error);
      throw error;
    }
  }
}

function isCode(error: unknown, code: SidekeyError['code']): boolean {
  return error instanceof SidekeyError && error.code === code;
}

function isGone(error: unknown): boolean {
  return isCode(error, 'cell_unknown');
}

/** Limits for the cache, which keeps a key for `any` and `offline` together. */
function longest({ anyMs, offlineMs, unusedMs }: CacheLimits): Pick<CacheLimits, 'anyMs' | 'unusedMs'> {
  return { anyMs: anyMs + offlineMs, unusedMs };
}
