/**
 * Keeps callers off a key service that cannot be reached: after a call that found nobody, one caller at a time finds out
 * whether it is back, after pauses that grow but stay well below a second; all others are told at once.
 */
import { SidekeyError } from '../errors.ts';
import type { Clock } from '../tokens/ports.ts';
import type { BreakerState } from './cache-observer.ts';

const PAUSE_FIRST_MS = 100;
const PAUSE_MAX_MS = 500;

export interface CircuitBreakerOptions {
  /** The provider's, for messages. */
  readonly name: string;
  readonly clock: Clock;
  /** At least 0, below 1. */
  readonly random: () => number;
  readonly changed: (state: BreakerState) => void;
}

export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions;
  #state: BreakerState = 'closed';
  #pauseMs = PAUSE_FIRST_MS;
  #retryAt = 0;
  #fault = '';

  constructor(options: CircuitBreakerOptions) {
    this.#options = options;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /**
   * Runs `call`, or rejects with provider_unreachable without running it. A refusal is an answer: the service is there. Faults of
   * this host (no keeper) say nothing of the service.
   */
  async run<T>(call: () => Promise<T>): Promise<T> {
    const { name } = this.#options;
    if (!this.#admits()) throw new SidekeyError('provider_unreachable', `${name} is down: ${this.#fault}`);
    const wasProbe = this.#state !== 'closed';
    if (wasProbe) this.#become('probing');
    try {
      const answer = await call();
      this.#close();
      return answer;
    } catch (error) {
      this.#judge(error, wasProbe);
      throw error;
    }
  }

  #admits(): boolean {
    if (this.#state === 'closed') return true;
    return this.#state === 'open' && this.#options.clock.monotonic() >= this.#retryAt;
  }

  #judge(error: unknown, wasProbe: boolean): void {
    const code = error instanceof SidekeyError ? error.code : null;
    if (code === 'provider_refused') return this.#close();
    if (code === 'provider_unreachable') return this.#open(error as SidekeyError);
    if (wasProbe) this.#become('open');
  }

  /** With jitter, so that many hosts do not come back together. */
  #open({ message }: SidekeyError): void {
    // Others that were on their way when the first found nobody tell nothing new.
    if (this.#state === 'open') return;
    const { clock, random } = this.#options;
    this.#fault = message;
    this.#retryAt = clock.monotonic() + this.#pauseMs * (0.5 + random() / 2);
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MAX_MS);
    this.#become('open');
  }

  #close(): void {
    this.#pauseMs = PAUSE_FIRST_MS;
    this.#become('closed');
  }

  #become(state: BreakerState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.changed(state);
  }
}
