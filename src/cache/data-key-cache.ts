/**
 * Which keys stand open in cells of the keeper, so that a key is opened once however many requests wait for it. It holds
 * cell numbers, never keys. The keeper ends leases by its own clock; this index only follows.
 */
import { LRUCache } from 'lru-cache';
import { SidekeyError } from '../errors.ts';
import type { CellId, Clock } from '../tokens/ports.ts';

export interface CacheLimits {
  /** Longest life of a lease. */
  readonly anyMs: number;
  /** A cell that nobody used for so long is wiped. */
  readonly unusedMs: number;
  /** Operations per lease; null: any number. */
  readonly uses: number | null;
}

export interface OpenCell {
  readonly cell: CellId;
  /** By Clock.monotonic(); null: no lease, until it is forgotten. */
  readonly endsAt: number | null;
}

interface CacheOptions {
  readonly max: number;
  readonly clock: Clock;
  /** Wipes a cell that left the cache. Called at most once for each, never for one that ended by itself. */
  readonly drop: (cell: CellId) => void;
}

export class DataKeyCache {
  readonly #open: LRUCache<string, OpenCell>;
  readonly #keys = new Map<CellId, string>();
  readonly #opening = new Map<string, Promise<OpenCell>>();
  readonly #clock: Clock;
  /** Changes when everything was forgotten: an opening that began before must not be kept. */
  #generation = 0;
  /** Who is opening which key now; replaced or removed when that opening no longer counts. */
  readonly #tickets = new Map<string, object>();
  readonly #drop: (cell: CellId) => void;
  /** Cells that ended in the keeper already: there is nothing to drop. */
  #ended: CellId | 'all' | null = null;

  constructor({ max, clock, drop }: CacheOptions) {
    this.#clock = clock;
    this.#drop = drop;
    this.#open = new LRUCache({
      max,
      ttl: 0,
      ttlResolution: 0,
      updateAgeOnGet: true,
      perf: { now: () => clock.monotonic() },
      dispose: ({ cell }) => {
        this.#keys.delete(cell);
        if (this.#ended !== 'all' && this.#ended !== cell) drop(cell);
      },
    });
  }

  get size(): number {
    return this.#open.size;
  }

  /** Of what is open or being opened. */
  keys(): string[] {
    return [...this.#open.keys(), ...this.#tickets.keys()];
  }

  /** The open cell, or null; asking is not using. */
  peek(key: string): OpenCell | null {
    const found = this.#open.peek(key);
    return found !== undefined && this.#isGood(found) ? found : null;
  }

  #isGood({ endsAt }: OpenCell): boolean {
    return endsAt === null || endsAt > this.#clock.monotonic();
  }

  /** Notes a use that the keeper served without asking. */
  touch(key: string): void {
    this.#open.get(key);
  }

  /** The cell of `key`, opened by `open` unless it is; all who ask meanwhile wait for the same opening. */
  take(key: string, limits: CacheLimits, open: () => Promise<OpenCell>): Promise<OpenCell> {
    const found = this.#open.get(key);
    if (found !== undefined && this.#isGood(found)) return Promise.resolve(found);
    const waiting = this.#opening.get(key);
    if (waiting !== undefined) return waiting;
    const ticket = {};
    this.#tickets.set(key, ticket);
    const opening = this.#fill(key, limits, open, ticket).finally(() => {
      if (this.#tickets.get(key) !== ticket) return;
      this.#tickets.delete(key);
      this.#opening.delete(key);
    });
    this.#opening.set(key, opening);
    return opening;
  }

  /** An opening that was overtaken by forget() or clear() fails as if its cell were gone: who still wants it asks anew. */
  async #fill(
    key: string,
    limits: CacheLimits,
    open: () => Promise<OpenCell>,
    ticket: object,
  ): Promise<OpenCell> {
    const generation = this.#generation;
    const opened = await open();
    const overtaken = this.#tickets.get(key) !== ticket;
    if (overtaken && generation === this.#generation) this.#drop(opened.cell);
    if (overtaken) throw new SidekeyError('cell_unknown', 'a key changed while it was being opened');
    this.put(key, limits, opened);
    return opened;
  }

  put(key: string, limits: CacheLimits, opened: OpenCell): void {
    this.#open.set(key, opened, { ttl: Math.max(1, Math.min(limits.anyMs, limits.unusedMs)) });
    this.#keys.set(opened.cell, key);
  }

  /** Wipes the cell of `key`, and whatever is being opened for it is not kept for others. */
  forget(key: string): void {
    this.#tickets.delete(key);
    this.#opening.delete(key);
    this.#open.delete(key);
  }

  /** Takes the cell out of the index without wiping it: its lease ends it. */
  release(key: string): void {
    const open = this.#open.peek(key);
    if (open !== undefined) this.cellEnded(open.cell);
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
