/**
 * Which objects' keys stand open in cells of the keeper, so that one is opened once however many requests wait for it. It holds
 * cell numbers, never keys. The keeper ends leases by its own clock; this index only follows.
 */
import { LRUCache } from 'lru-cache';
import { SidekeyError } from '../errors.ts';
import type { CellId, Clock } from '../tokens/ports.ts';
import { NO_OBSERVER, type CacheObserver, type LeaseEnd } from './cache-observer.ts';

export interface CacheLimits {
  /** Longest life of a lease. */
  readonly anyMs: number;
  /** A cell that nobody used for so long is wiped. */
  readonly unusedMs: number;
  /** Operations per lease; null: any number. */
  readonly uses: number | null;
  /** How much longer a lease may last while the key service cannot be reached; 0: not at all. */
  readonly offlineMs: number;
}

export interface OpenCell {
  readonly cell: CellId;
  /** By Clock.monotonic(); null: no lease, until it is forgotten. */
  readonly endsAt: number | null;
  /** From when on it serves only while the key service cannot be reached; absent: it has no such time. */
  readonly freshUntil?: number;
}

/** A key, and the object and token that it belongs to: what is wiped together. */
export interface CacheName {
  readonly key: string;
  readonly token: string;
  readonly handle: number;
}

type Limits = Pick<CacheLimits, 'anyMs' | 'unusedMs'>;
type Entry = OpenCell & CacheName;

interface CacheOptions {
  readonly max: number;
  readonly clock: Clock;
  /** Wipes a cell that left the cache. Called at most once for each, never for one that ended by itself. */
  readonly drop: (cell: CellId) => void;
  readonly observe?: CacheObserver;
}

export class DataKeyCache {
  readonly #open: LRUCache<string, Entry>;
  readonly #keys = new Map<CellId, string>();
  readonly #opening = new Map<string, Promise<OpenCell>>();
  readonly #clock: Clock;
  readonly #observe: CacheObserver;
  /** Changes when everything was forgotten: an opening that began before must not be kept. */
  #generation = 0;
  /** Who is opening which key now; removed when that opening no longer counts. */
  readonly #tickets = new Map<string, CacheName>();
  readonly #drop: (cell: CellId) => void;
  /** Cells that ended in the keeper already: there is nothing to drop. */
  #ended: CellId | 'all' | null = null;
  /** Why the entries are taken out that are being taken out now. */
  #reason: LeaseEnd = 'changed';

  constructor({ max, clock, drop, observe }: CacheOptions) {
    this.#clock = clock;
    this.#drop = drop;
    this.#observe = observe ?? NO_OBSERVER;
    this.#open = new LRUCache({
      max,
      ttl: 0,
      ttlResolution: 0,
      updateAgeOnGet: true,
      perf: { now: () => clock.monotonic() },
      dispose: (entry, _key, why) => this.#dispose(entry, why),
    });
  }

  #dispose(entry: Entry, why: LRUCache.DisposeReason): void {
    const { cell, token, handle } = entry;
    this.#keys.delete(cell);
    const hasEnded = this.#ended === 'all' || this.#ended === cell;
    if (!hasEnded) this.#drop(cell);
    const idle = this.#isGood(entry) ? 'unused' : 'expired';
    const reasons = {
      evict: 'room',
      delete: this.#reason,
      set: 'expired',
      expire: idle,
      fetch: idle,
    } as const;
    this.#observe({ is: 'lease-ended', token, handle, reason: hasEnded ? 'keeper' : reasons[why] });
  }

  get size(): number {
    return this.#open.size;
  }

  /** Of what is open or being opened. */
  names(): CacheName[] {
    return [...this.#open.values(), ...this.#tickets.values()];
  }

  /** The open cell, or null; asking is not using. */
  peek(key: string): OpenCell | null {
    const found = this.#open.peek(key);
    return found !== undefined && this.#isGood(found) ? found : null;
  }

  #isGood({ endsAt }: OpenCell): boolean {
    return endsAt === null || endsAt > this.#clock.monotonic();
  }

  /** The open cell, which is about to be used, or null. */
  opened(key: string): OpenCell | null {
    const found = this.#open.get(key);
    return found !== undefined && this.#isGood(found) ? found : null;
  }

  /** Notes a use that the keeper served without asking. */
  touch(key: string): void {
    this.#open.get(key);
  }

  /** The cell of a key, opened by `open` unless it is; all who ask meanwhile wait for the same opening. */
  take(name: CacheName, limits: Limits, open: () => Promise<OpenCell>): Promise<OpenCell> {
    const found = this.opened(name.key);
    return found === null ? this.renew(name, limits, open) : Promise.resolve(found);
  }

  /** The same, also beside one that is open: that one stays until the other is there. */
  renew(name: CacheName, limits: Limits, open: () => Promise<OpenCell>): Promise<OpenCell> {
    const { key } = name;
    const waiting = this.#opening.get(key);
    if (waiting !== undefined) return waiting;
    const ticket = { ...name };
    this.#tickets.set(key, ticket);
    const opening = this.#fill(ticket, limits, open).finally(() => {
      if (this.#tickets.get(key) !== ticket) return;
      this.#tickets.delete(key);
      this.#opening.delete(key);
    });
    this.#opening.set(key, opening);
    return opening;
  }

  /** An opening that was overtaken by forget() or clear() fails as if its cell were gone: who still wants it asks anew. */
  async #fill(ticket: CacheName, limits: Limits, open: () => Promise<OpenCell>): Promise<OpenCell> {
    const generation = this.#generation;
    const opened = await open();
    const overtaken = this.#tickets.get(ticket.key) !== ticket;
    if (overtaken && generation === this.#generation) this.#drop(opened.cell);
    if (overtaken) throw new SidekeyError('cell_unknown', 'a key changed while it was being opened');
    this.put(ticket, limits, opened);
    const leaseMs = (opened.freshUntil ?? opened.endsAt ?? Infinity) - this.#clock.monotonic();
    const { token, handle } = ticket;
    this.#observe({ is: 'lease-granted', token, handle, reason: 'asked', leaseMs });
    return opened;
  }

  put({ key, token, handle }: CacheName, limits: Limits, opened: OpenCell): void {
    const ttl = Math.max(1, Math.min(limits.anyMs, limits.unusedMs));
    this.#open.set(key, { ...opened, key, token, handle }, { ttl });
    this.#keys.set(opened.cell, key);
  }

  /** Wipes the cell of a key, and whatever is being opened for it is not kept for others. */
  forget(key: string, reason: LeaseEnd = 'changed'): void {
    this.#tickets.delete(key);
    this.#opening.delete(key);
    this.#reason = reason;
    this.#open.delete(key);
  }

  /** The same for all keys of a token. */
  forgetToken(token: string, reason: LeaseEnd): void {
    for (const name of this.names()) if (name.token === token) this.forget(name.key, reason);
  }

  /** The keeper says that a cell is gone. Answers whether it was one of these. */
  cellEnded(cell: CellId): boolean {
    const key = this.#keys.get(cell);
    if (key === undefined) return false;
    this.#ended = cell;
    this.#open.delete(key);
    this.#ended = null;
    return true;
  }

  /** The keeper is a new one: its cells are gone with the old. */
  clear(): void {
    this.#generation++;
    this.#tickets.clear();
    this.#opening.clear();
    this.#ended = 'all';
    this.#open.clear();
    this.#ended = null;
    this.#keys.clear();
  }

  /** Wipes what stayed unused too long. */
  sweep(): void {
    this.#open.purgeStale();
  }
}
