/**
 * The key that seals a token's objects: made when the first object needs it, stored wrapped, opened once per lease however many
 * wait for it. One KeyLease for each token says when the key services are asked again.
 */
import type { CacheObserver, LeaseEnd } from '../cache/cache-observer.ts';
import type { CacheLimits, OpenCell } from '../cache/data-key-cache.ts';
import { KeyLease } from '../cache/key-lease.ts';
import { SidekeyError } from '../errors.ts';
import type { CellId, CellSeen, Clock, Keeper, Timer } from './ports.ts';
import type { KekRow, TokenRow } from './store-port.ts';
import type { TokenCatalogue } from './token-catalogue.ts';
import type { TokenKeks } from './token-keks.ts';

const PREWARM_FIRST_MS = 250;
const PREWARM_MAX_MS = 60_000;
/** Reasons for which nothing that was opened with the key may stay open either. */
const TAKES_OBJECTS_ALONG: readonly LeaseEnd[] = ['refused', 'revoked', 'changed'];

/** What the keeper remembers of a token key's cell, for the agent's restart. */
function noteOf({ serial }: TokenRow, beyondAnyMs: number): Buffer {
  return Buffer.from(`token ${serial} ${beyondAnyMs}`);
}

export interface TokenKeyDeps {
  readonly keeper: Keeper;
  readonly catalogue: TokenCatalogue;
  readonly keks: TokenKeks;
  readonly clock: Clock;
  readonly timer: Timer;
  /** At least 0, below 1. */
  readonly random: () => number;
  readonly observe: CacheObserver;
  /** Wipes the objects that were opened with the key. */
  readonly wipeObjects: (token: string, reason: LeaseEnd) => void;
}

export class TokenKeys {
  readonly #deps: TokenKeyDeps;
  readonly #leases = new Map<string, KeyLease>();
  /** The last change of a token's KEKs that is under way: the next one waits for it. */
  readonly #turns = new Map<number, Promise<unknown>>();
  readonly #prewarming = new Map<string, () => void>();
  #isClosed = false;

  constructor(deps: TokenKeyDeps) {
    this.#deps = deps;
  }

  isOpen({ serial }: TokenRow): boolean {
    return this.#leases.get(serial)?.isOpen ?? false;
  }

  /** When it is wiped or renewed, by Clock.monotonic(); null: it is not open. */
  endsAt({ serial }: TokenRow): number | null {
    return this.#leases.get(serial)?.endsAt ?? null;
  }

  /** The open token key, by the limits of what it is to open, else by the token's own. Rejects with the provider's error. */
  take(token: TokenRow, limits?: CacheLimits): Promise<OpenCell> {
    return this.#lease(token).take('asked', limits);
  }

  /** An object of the token was used. */
  touch({ serial }: TokenRow): void {
    this.#leases.get(serial)?.touch();
  }

  /** Wipes the token key and every object opened with it; what is used next asks the key service anew. */
  wipe(token: TokenRow, reason: LeaseEnd): void {
    this.#lease(token).wipe(reason);
    this.#deps.wipeObjects(token.name, reason);
  }

  /** The service of a KEK says that something changed there. */
  recheck(provider: string): void {
    for (const { serial, keks } of this.#deps.catalogue.all())
      if (keks.some((kek) => kek.provider === provider)) this.#leases.get(serial)?.recheck();
  }

  /** The token was initialized: this serial is nobody's any more. */
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
    // Without its note the cell serves this agent as well.
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

  /** Wraps the token key under KEKs whose service was not there when it should have been. */
  async #complete(token: TokenRow, cell: CellId): Promise<void> {
    const { keks } = this.#deps;
    for (const { provider, wrapped } of token.keks) {
      if (wrapped !== null || keks.stateOf(provider) === null) continue;
      const add = async (now: readonly KekRow[]): Promise<readonly KekRow[]> => {
        if (now.find((each) => each.provider === provider)?.wrapped !== null) return now;
        const made = await keks.wrap(token, provider, cell);
        return now.map((each) => (each.provider === provider ? made : each));
      };
      // The next opening tries again.
      await this.changeKeks(token, add).catch(() => undefined);
    }
  }

  /** One change of a token's KEKs after the other, durable when it resolves. `change` gives the new list, in order of preference. */
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

  /** Opens the keys of the tokens that are to be open when the first program comes, as soon as their services allow it. */
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

  /** After the agent's restart: a cell that the former agent opened. False: it is no token key. */
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
