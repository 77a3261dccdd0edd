/**
 * The key that seals a token's objects: created when the first object needs it, stored wrapped, and opened
 * once per lease however many requests wait for it. Each token's KeyLease decides when the key services are
 * asked again.
 */
import type { CacheObserver, LeaseEnd } from '../../cache/cache-observer.ts';
import type { CacheLimits, OpenCell } from '../../cache/data-key-cache.ts';
import { KeyLease } from '../../cache/key-lease.ts';
import { SidekeyError } from '../../errors.ts';
import type { CellId, CellSeen, Clock, Keeper, Timer } from '../ports.ts';
import type { KekRow, TokenRow } from '../store-port.ts';
import type { TokenCatalogue } from '../token-catalogue.ts';
import type { TokenKeks } from './token-keks.ts';

const PREWARM_FIRST_MS = 250;
const PREWARM_MAX_MS = 60_000;
/** Reasons that also close everything opened with the key. */
const TAKES_OBJECTS_ALONG: readonly LeaseEnd[] = ['refused', 'revoked', 'changed'];

/** The note that the keeper stores with a token key's cell, for the next agent. */
function noteOf({ serial }: TokenRow, beyondAnyMs: number): Buffer {
  return Buffer.from(`token ${serial} ${beyondAnyMs}`);
}

export interface TokenKeyDeps {
  readonly keeper: Keeper;
  readonly catalogue: TokenCatalogue;
  readonly keks: TokenKeks;
  readonly clock: Clock;
  readonly timer: Timer;
  /** From 0, below 1. */
  readonly random: () => number;
  readonly observe: CacheObserver;
  /** Wipes the objects opened with the key. */
  readonly wipeObjects: (token: string, reason: LeaseEnd) => void;
}

export class TokenKeys {
  readonly #deps: TokenKeyDeps;
  readonly #leases = new Map<string, KeyLease>();
  /** The latest KEK change in progress; the next one waits for it. */
  readonly #turns = new Map<number, Promise<unknown>>();
  readonly #prewarming = new Map<string, () => void>();
  #isClosed = false;

  constructor(deps: TokenKeyDeps) {
    this.#deps = deps;
  }

  isOpen({ serial }: TokenRow): boolean {
    return this.#leases.get(serial)?.isOpen ?? false;
  }

  /** When it will be wiped or renewed, by Clock.monotonic(); null: it is not open. */
  endsAt({ serial }: TokenRow): number | null {
    return this.#leases.get(serial)?.endsAt ?? null;
  }

  /**
   * The open token key, within the limits of the object to open, or else the token's own. Rejects with the
   * provider's error.
   */
  take(token: TokenRow, limits?: CacheLimits): Promise<OpenCell> {
    return this.#lease(token).take('asked', limits);
  }

  /** An object of the token was used. */
  touch({ serial }: TokenRow): void {
    this.#leases.get(serial)?.touch();
  }

  /** Wipes the token key and every object opened with it; the next use asks the key service again. */
  wipe(token: TokenRow, reason: LeaseEnd): void {
    this.#lease(token).wipe(reason);
    this.#deps.wipeObjects(token.name, reason);
  }

  /** The service of a KEK reported a change. */
  recheck(provider: string): void {
    for (const { serial, keks } of this.#deps.catalogue.all())
      if (keks.some((kek) => kek.provider === provider)) this.#leases.get(serial)?.recheck();
  }

  /** The token was initialized again: its old serial is no longer in use. */
  forget(token: TokenRow): void {
    this.wipe(token, 'changed');
    this.#leases.delete(token.serial);
    this.#endPrewarm(token.serial);
  }

  #lease(token: TokenRow): KeyLease {
    const known = this.#leases.get(token.serial);
    if (known !== undefined) return known;
    const { catalogue, clock, timer, random, observe, wipeObjects } = this.#deps;
    const { name, id } = token;
    const current = (): TokenRow => catalogue.get(id) ?? token;
    const lease = new KeyLease({
      ...{ clock, timer, random },
      limits: () => catalogue.limits(current()),
      longestMs: () => catalogue.longestMs(current()),
      open: (leaseMs, { anyMs }) => this.#open(current(), leaseMs, Math.max(0, leaseMs - anyMs)),
      drop: (cell) => this.#drop(cell),
      granted: (reason, leaseMs) =>
        observe({ is: 'lease-granted', token: name, handle: null, reason, leaseMs }),
      ended: (reason) => {
        observe({ is: 'lease-ended', token: name, handle: null, reason });
        if (TAKES_OBJECTS_ALONG.includes(reason)) wipeObjects(name, reason);
      },
    });
    this.#leases.set(token.serial, lease);
    return lease;
  }

  async #open(token: TokenRow, leaseMs: number, beyondAnyMs: number): Promise<CellId> {
    const { catalogue, keks, keeper } = this.#deps;
    if (token.keks.every(({ wrapped }) => wrapped === null)) await this.#create(token);
    const ready = catalogue.get(token.id) ?? token;
    const cell = await keks.open(ready, leaseMs);
    // A cell without its note still serves this agent.
    await keeper.note(cell, noteOf(token, beyondAnyMs)).catch(() => undefined);
    if (ready.keks.some(({ wrapped }) => wrapped === null)) void this.#complete(ready, cell);
    return cell;
  }

  /** The wrapped key is durable before anything is sealed under it. */
  #create(token: TokenRow): Promise<void> {
    return this.changeKeks(token, async (now) => {
      if (now.some(({ wrapped }) => wrapped !== null)) return now;
      const { cell, kek } = await this.#deps.keks.create(token);
      this.#drop(cell);
      return now.map((each) => (each.provider === kek.provider ? kek : each));
    });
  }

  /** Wraps the token key under KEKs whose service was unavailable before. */
  async #complete(token: TokenRow, cell: CellId): Promise<void> {
    const { keks } = this.#deps;
    for (const { provider, wrapped } of token.keks) {
      if (wrapped !== null || keks.stateOf(provider) === null) continue;
      const add = async (now: readonly KekRow[]): Promise<readonly KekRow[]> => {
        if (now.find((each) => each.provider === provider)?.wrapped !== null) return now;
        const made = await keks.wrap(token, provider, cell);
        return now.map((each) => (each.provider === provider ? made : each));
      };
      // Retried at the next opening.
      await this.changeKeks(token, add).catch(() => undefined);
    }
  }

  /**
   * One change of a token's KEKs at a time; durable when it resolves. `change` returns the new list, in order
   * of preference.
   */
  changeKeks(token: TokenRow, change: (now: readonly KekRow[]) => Promise<readonly KekRow[]>): Promise<void> {
    const { catalogue } = this.#deps;
    const demand = (): TokenRow => {
      const row = catalogue.get(token.id);
      if (row?.serial === token.serial) return row;
      throw new SidekeyError('token_not_present', 'the token was initialized in the meantime');
    };
    const before = this.#turns.get(token.id) ?? Promise.resolve();
    const turn = before
      .catch(() => undefined)
      .then(async () => {
        const { keks } = demand();
        const wanted = await change(keks);
        demand();
        if (wanted !== keks) catalogue.setKeks(token.id, wanted);
      });
    this.#turns.set(token.id, turn);
    return turn.finally(() => {
      if (this.#turns.get(token.id) === turn) this.#turns.delete(token.id);
    });
  }

  /**
   * Opens the token keys that should be open before the first program arrives, as soon as their services
   * allow.
   */
  prewarm(): void {
    const { catalogue } = this.#deps;
    for (const token of catalogue.all()) {
      if (!catalogue.isPrewarmed(token) || this.#prewarming.has(token.serial)) continue;
      void this.#prewarmOne(token, PREWARM_FIRST_MS);
    }
  }

  async #prewarmOne({ id, serial }: TokenRow, pauseMs: number): Promise<void> {
    const { catalogue, keeper, timer, random } = this.#deps;
    this.#prewarming.delete(serial);
    const token = catalogue.get(id);
    const isMade = token?.keks.some(({ wrapped }) => wrapped !== null) ?? false;
    if (token?.serial !== serial || !isMade || keeper.pid === null || this.#isClosed) return;
    const again = (): void => void this.#prewarmOne(token, Math.min(pauseMs * 2, PREWARM_MAX_MS));
    const wait = (): void => {
      if (!this.#isClosed) this.#prewarming.set(serial, timer(pauseMs * (0.5 + random() / 2), again));
    };
    await this.#lease(token)
      .take('prewarm')
      .then(() => undefined, wait);
  }

  #endPrewarm(serial: string): void {
    this.#prewarming.get(serial)?.();
    this.#prewarming.delete(serial);
  }

  /** Takes over a cell that a previous agent opened. False: it is not a token key. */
  adopt({ cell, owner, leftMs, note }: CellSeen): boolean {
    const [, serial, beyondAny] =
      /^token ([0-9a-f]{16}) (\d{1,15})$/.exec(note?.toString('latin1') ?? '') ?? [];
    if (serial === undefined || owner !== null) return false;
    const token = this.#deps.catalogue.all().find((each) => each.serial === serial);
    const left = leftMs ?? 0;
    if (token === undefined) this.#drop(cell);
    else this.#lease(token).adopt(cell, left - Number(beyondAny), left);
    return true;
  }

  cellEnded(cell: CellId): boolean {
    return [...this.#leases.values()].some((lease) => lease.cellEnded(cell));
  }

  keeperChanged(): void {
    for (const lease of this.#leases.values()) lease.keeperChanged();
  }

  close(): void {
    this.#isClosed = true;
    for (const serial of [...this.#prewarming.keys()]) this.#endPrewarm(serial);
    for (const lease of this.#leases.values()) lease.close();
  }

  #drop(cell: CellId): void {
    this.#deps.keeper.drop(cell).catch(() => undefined);
  }
}
