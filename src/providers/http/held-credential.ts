/**
 * A credential that a library gets for one provider: got when it is needed, replaced beside the calls ahead of its end, kept while its
 * successor cannot be had, and dropped when a file that it comes from changes. An attempt that hangs is given up, and the next one begins anew.
 */
import type { Clock } from '../../tokens/ports.ts';
import { fraction, whileOpen } from './service-call.ts';

/** Ahead of the end by this, and by up to a tenth of the life, so that hosts do not ask together; half of a short life at most. */
const AHEAD_MS = 5 * 60_000;
const JITTER = 0.1;
const AGAIN_MS = 5000;
const AGAIN_JITTER_MS = 10_000;
const ATTEMPT_MS = 20_000;

export interface Credential<T> {
  readonly value: T;
  /** By Clock.now(); null: it does not end, or nobody says. */
  readonly endsAt: number | null;
}

export interface HeldCredentialOptions<T> {
  /** Begins anew each time. Its rejections are the caller's errors. */
  fetch(signal: AbortSignal): Promise<Credential<T>>;
  /** Changes when what `fetch` reads does. */
  watch(): string;
  readonly clock: Clock;
  readonly random: (bytes: number) => Buffer;
  readonly attemptMs?: number;
}

interface Held<T> extends Credential<T> {
  refreshAt: number;
}

export class HeldCredential<T> {
  readonly #options: HeldCredentialOptions<T>;
  #held: Held<T> | null = null;
  #attempt: Promise<Held<T>> | null = null;
  #mark = '';

  constructor(options: HeldCredentialOptions<T>) {
    this.#options = options;
  }

  /** Rejects as `fetch` does, or with the signal's reason. */
  async get(signal: AbortSignal): Promise<T> {
    this.#look();
    const now = this.#options.clock.now();
    const held = this.#held;
    if (held === null || (held.endsAt ?? Infinity) <= now)
      return (await whileOpen(this.#fetchOnce(), signal)).value;
    // Whoever needs one after the end of this one hears what went wrong.
    if (held.refreshAt <= now) this.#fetchOnce().catch(() => this.#postpone(held));
    return held.value;
  }

  /** null: none is held, or it does not end. */
  secondsLeft(nowMs: number): number | null {
    const endsAt = this.#held?.endsAt ?? null;
    return endsAt === null ? null : Math.max(0, Math.round((endsAt - nowMs) / 1000));
  }

  /** What is being fetched was asked for by what is no more: it is given to who waits for it, and not held. */
  drop(): void {
    this.#held = null;
    this.#attempt = null;
  }

  #look(): void {
    const mark = this.#options.watch();
    if (mark !== this.#mark) this.drop();
    this.#mark = mark;
  }

  #postpone(held: Held<T>): void {
    const { clock, random } = this.#options;
    held.refreshAt = clock.now() + AGAIN_MS + AGAIN_JITTER_MS * fraction(random);
  }

  #fetchOnce(): Promise<Held<T>> {
    if (this.#attempt !== null) return this.#attempt;
    const attempt: Promise<Held<T>> = this.#fetch().then(
      (held) => {
        if (this.#attempt === attempt) [this.#held, this.#attempt] = [held, null];
        return held;
      },
      (error: unknown) => {
        if (this.#attempt === attempt) this.#attempt = null;
        throw error;
      },
    );
    return (this.#attempt = attempt);
  }

  async #fetch(): Promise<Held<T>> {
    const { fetch, clock, attemptMs = ATTEMPT_MS } = this.#options;
    const aborter = new AbortController();
    const late = new Error(`the source of credentials did not answer within ${attemptMs / 1000} s`);
    const timer = setTimeout(() => aborter.abort(late), attemptMs).unref();
    try {
      const { value, endsAt } = await whileOpen(fetch(aborter.signal), aborter.signal);
      return { value, endsAt, refreshAt: this.#refreshAt(clock.now(), endsAt) };
    } finally {
      clearTimeout(timer);
    }
  }

  #refreshAt(now: number, endsAt: number | null): number {
    if (endsAt === null) return Infinity;
    const left = endsAt - now;
    const ahead = AHEAD_MS + left * JITTER * fraction(this.#options.random);
    // A source may give what it gave before: it is not asked without a pause.
    return Math.max(now + 1000, endsAt - Math.min(ahead, left / 2));
  }
}
