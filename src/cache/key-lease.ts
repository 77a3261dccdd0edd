/**
 * The lease of one key of a key service: opened once however many ask, renewed ahead of its end, continued for a while when the
 * service cannot be reached, and wiped when it says no. Knows the cell's number, never the key. The keeper ends the cell by its
 * own clock after `any` and `offline`; between the two this file alone decides whether it may be used.
 */
import { SidekeyError } from '../errors.ts';
import type { CellId, Clock, Timer } from '../tokens/ports.ts';
import type { LeaseEnd, LeaseReason } from './cache-observer.ts';
import type { CacheLimits, OpenCell } from './data-key-cache.ts';

/** Parts of `any` after which a lease is renewed; between them by chance, so that many hosts do not ask together. */
const RENEW_AFTER = { from: 0.93, to: 0.97 };
/** Earlier for a service that is slow beside `any`: so many times what the last opening took, and not before half of `any`. */
const RENEW_AHEAD = { times: 2, atMost: 0.5 };
/** How long a failure is answered to others without asking again. */
const DENIED_MS = { provider_unreachable: 200, provider_refused: 1000 } as const;
const RETRY_MS = 1000;
/** What is opened beyond `any` ends soon, so that little goes on when this process ends before the service is back. */
const OFFLINE_GRANT_MS = 10_000;
/** A service that nobody asked for so long is not known to be unreachable: it is asked before a key is used. */
const OUTAGE_KNOWN_MS = 15_000;
/** A cell that was replaced may still be opening an object. Longer than any call takes. */
const FORMER_MS = 15_000;

interface Held {
  readonly cell: CellId;
  /** When the service was asked, by Clock.monotonic(): `any` counts from here. */
  readonly from: number;
  /** End of the cell in the keeper: that of the longest `any` and `offline`. */
  readonly endsAt: number;
  readonly renewAt: number;
}

type Span = Pick<CacheLimits, 'anyMs' | 'offlineMs'>;

interface Failure {
  readonly error: SidekeyError;
  readonly at: number;
  /** Until then it is the answer. */
  readonly until: number;
}

export interface KeyLeaseOptions {
  /** Looked at for each lease: a configuration may be reloaded. */
  readonly limits: () => CacheLimits;
  /** `any` and `offline` together, the longest of those by which take() may be called. */
  readonly longestMs: () => number;
  /** Asks the service, and gives a cell with this lease. */
  readonly open: (leaseMs: number, limits: CacheLimits) => Promise<CellId>;
  /** Wipes a cell that stands open in the keeper. */
  readonly drop: (cell: CellId) => void;
  readonly granted: (reason: LeaseReason, leaseMs: number) => void;
  /** After the cell was wiped; whatever was opened with it must go too when it was `refused` or `revoked`. */
  readonly ended: (reason: LeaseEnd) => void;
  readonly clock: Clock;
  readonly timer: Timer;
  /** At least 0, below 1. */
  readonly random: () => number;
}

function isCode(error: unknown, code: SidekeyError['code']): error is SidekeyError {
  return error instanceof SidekeyError && error.code === code;
}

export class KeyLease {
  readonly #options: KeyLeaseOptions;
  #held: Held | null = null;
  #former: { readonly cell: CellId; readonly cancel: () => void } | null = null;
  #opening: Promise<Held> | null = null;
  #failure: Failure | null = null;
  #usedAt: number;
  /** The shortest `any` that was asked for since the last opening: the next one is in time for it. */
  #shortestMs = Infinity;
  /** How long the service needed to open the key last. */
  #tookMs = 0;
  /** Changes with every wiping: what was being opened meanwhile is not kept. */
  #generation = 0;
  /** Changes with the keeper: cells of another one are not this one's to drop. */
  #keeper = 0;
  #cancelWake: () => void = () => undefined;

  constructor(options: KeyLeaseOptions) {
    this.#options = options;
    this.#usedAt = options.clock.monotonic();
  }

  get isOpen(): boolean {
    return this.#held !== null && this.#held.endsAt > this.#now();
  }

  /** End of `any`, or of `offline` once that is over; null: not open. */
  get endsAt(): number | null {
    const [held, now] = [this.#held, this.#now()];
    if (held === null || held.endsAt <= now) return null;
    const freshUntil = this.#freshUntil(held, this.#options.limits());
    return freshUntil > now ? freshUntil : held.endsAt;
  }

  #freshUntil({ from, endsAt }: Held, { anyMs }: Pick<Span, 'anyMs'>): number {
    return Math.min(from + anyMs, endsAt);
  }

  /** Where the service cannot be reached. */
  #lastsUntil({ from, endsAt }: Held, { anyMs, offlineMs }: Span): number {
    return Math.min(from + anyMs + offlineMs, endsAt);
  }

  #now(): number {
    return this.#options.clock.monotonic();
  }

  /** Counts as a use, so that the key is not wiped for want of any. */
  touch(): void {
    this.#usedAt = this.#now();
  }

  /**
   * The open cell and until when it may be used, by these limits of what is opened with it. Rejects with what the service said, or with the
   * keeper's fault.
   */
  async take(reason: LeaseReason = 'asked', span: Span = this.#options.limits()): Promise<OpenCell> {
    const now = this.#now();
    this.#usedAt = now;
    this.#noteAny(span.anyMs);
    const held = this.#held;
    if (held !== null && now < this.#freshUntil(held, span))
      return { cell: held.cell, endsAt: this.#freshUntil(held, span) };
    const failure = this.#failure;
    if (failure !== null && now < failure.until) return this.#continued(failure.error, span);
    const isOut = isCode(failure?.error, 'provider_unreachable') && now - failure.at < OUTAGE_KNOWN_MS;
    if (failure !== null && isOut && held !== null && now < this.#lastsUntil(held, span)) {
      this.#renew('refresh').catch(() => undefined);
      return this.#continued(failure.error, span);
    }
    try {
      const opened = await this.#renew(reason);
      return { cell: opened.cell, endsAt: this.#freshUntil(opened, span) };
    } catch (error) {
      return this.#continued(error, span);
    }
  }

  /** Beyond `any`: only while the service is unreachable, and never after it said no. */
  #continued(error: unknown, span: Span): OpenCell {
    const [held, now] = [this.#held, this.#now()];
    if (held === null || now >= this.#lastsUntil(held, span) || !isCode(error, 'provider_unreachable'))
      throw error;
    const endsAt = Math.min(now + OFFLINE_GRANT_MS, this.#lastsUntil(held, span));
    this.#options.granted('offline', endsAt - now);
    return { cell: held.cell, endsAt };
  }

  /** A renewal that would come too late for it is made earlier. */
  #noteAny(anyMs: number): void {
    const held = this.#held;
    if (anyMs >= this.#shortestMs) return;
    this.#shortestMs = anyMs;
    if (held === null || held.from + anyMs >= held.renewAt) return;
    this.#held = { ...held, renewAt: this.#renewAt(held.from, anyMs) };
    this.#plan();
  }

  #renew(reason: LeaseReason): Promise<Held> {
    if (this.#opening !== null) return this.#opening;
    const opening = this.#open(reason).finally(() => {
      if (this.#opening === opening) this.#opening = null;
      this.#plan();
    });
    this.#opening = opening;
    return opening;
  }

  /** The lease is counted from before the call: the service may have been asked to say no right after. */
  async #open(reason: LeaseReason): Promise<Held> {
    const { open, drop, limits, longestMs, granted } = this.#options;
    const [generation, keeper, from] = [this.#generation, this.#keeper, this.#now()];
    const [given, leaseMs] = [limits(), longestMs()];
    const cell = await open(leaseMs, given).catch((error: unknown) => {
      if (generation === this.#generation) this.#failed(error);
      throw error;
    });
    if (generation !== this.#generation) {
      if (keeper === this.#keeper) drop(cell);
      throw new SidekeyError('cell_unknown', 'a key changed while it was being opened');
    }
    this.#tookMs = this.#now() - from;
    const anyMs = Math.min(given.anyMs, this.#shortestMs);
    this.#shortestMs = Infinity;
    const held = { cell, from, endsAt: from + leaseMs, renewAt: this.#renewAt(from, anyMs) };
    this.#replace(held);
    granted(reason, given.anyMs);
    return held;
  }

  /**
   * Something may have changed at the service: an open key is asked for anew, after any opening that began before. A no wipes it; while nobody
   * answers the lease goes on as it was.
   */
  recheck(): void {
    const before = this.#opening ?? Promise.resolve();
    const again = (): void => {
      if (this.#held !== null) this.#renew('refresh').catch(() => undefined);
    };
    void before.then(again, again);
  }

  #renewAt(from: number, anyMs: number): number {
    const part = RENEW_AFTER.from + this.#options.random() * (RENEW_AFTER.to - RENEW_AFTER.from);
    const slow = Math.min(RENEW_AHEAD.times * this.#tookMs, RENEW_AHEAD.atMost * anyMs);
    return from + anyMs - Math.max(anyMs * (1 - part), slow);
  }

  #replace(held: Held): void {
    const before = this.#held;
    this.#held = held;
    this.#failure = null;
    if (before === null) return;
    this.#dropFormer();
    const cancel = this.#options.timer(FORMER_MS, () => this.#dropFormer());
    this.#former = { cell: before.cell, cancel };
  }

  #dropFormer(): void {
    const former = this.#former;
    if (former === null) return;
    this.#former = null;
    former.cancel();
    this.#options.drop(former.cell);
  }

  #failed(error: unknown): void {
    const now = this.#now();
    for (const code of ['provider_unreachable', 'provider_refused'] as const) {
      if (!isCode(error, code)) continue;
      if (code === 'provider_refused') this.wipe('refused');
      const pause = DENIED_MS[code] * (0.5 + this.#options.random() / 2);
      this.#failure = { error, at: now, until: now + pause };
    }
  }

  /** What is to be done next, if anything: renew, find out whether the service is back, wipe what nobody uses. */
  #plan(): void {
    this.#cancelWake();
    const held = this.#held;
    if (held === null || this.#opening !== null) return;
    const now = this.#now();
    const unusedAt = this.#usedAt + this.#options.limits().unusedMs;
    const until = this.#failure?.until ?? 0;
    const retryAt = until > now ? until : now + RETRY_MS;
    const renewAt = now < held.renewAt ? held.renewAt : retryAt;
    const at = Math.min(renewAt, unusedAt, held.endsAt);
    this.#cancelWake = this.#options.timer(Math.max(0, at - now), () => this.#wake());
  }

  #wake(): void {
    const [held, now] = [this.#held, this.#now()];
    if (held === null) return;
    if (now >= held.endsAt) return this.wipe('expired');
    if (now - this.#usedAt >= this.#options.limits().unusedMs) return this.wipe('unused');
    if (now < held.renewAt) return this.#plan();
    this.#renew('refresh').catch(() => undefined);
  }

  /** After a restart of the agent: a cell of the keeper that it opened before, with what is left of `any` and of all. */
  adopt(cell: CellId, freshMs: number, leftMs: number): void {
    if (this.#held !== null) return this.#options.drop(cell);
    const { anyMs } = this.#options.limits();
    const from = this.#now() + Math.min(freshMs, anyMs) - anyMs;
    const endsAt = Math.min(this.#now() + leftMs, from + this.#options.longestMs());
    this.#held = { cell, from, endsAt, renewAt: this.#renewAt(from, anyMs) };
    this.#plan();
  }

  /** Ends the lease now. What is being opened meanwhile is not kept. */
  wipe(reason: LeaseEnd): void {
    const held = this.#held;
    this.#forget();
    this.#dropFormer();
    if (held !== null) this.#options.drop(held.cell);
    if (held !== null || reason === 'refused' || reason === 'revoked') this.#options.ended(reason);
  }

  /** The keeper is a new one: its cells are gone with the old. */
  keeperChanged(): void {
    this.#keeper++;
    const held = this.#held;
    this.#forget();
    this.#former?.cancel();
    this.#former = null;
    if (held !== null) this.#options.ended('keeper');
  }

  #forget(): void {
    this.#generation++;
    this.#opening = null;
    this.#held = null;
    this.#failure = null;
    this.#cancelWake();
  }

  /** The keeper ended a cell by itself. True when it was this one. */
  cellEnded(cell: CellId): boolean {
    if (this.#former?.cell === cell) {
      this.#former.cancel();
      this.#former = null;
      return true;
    }
    if (this.#held?.cell !== cell) return false;
    this.#held = null;
    this.#cancelWake();
    this.#options.ended('keeper');
    return true;
  }

  /** No timer is left; the cell stays with the keeper, for the agent that follows. */
  close(): void {
    this.#forget();
    this.#former?.cancel();
    this.#former = null;
  }
}
