/**
 * What the agent's log says of one key service: that it fails, in its own words, and that it answers again. Failures of one code are told once a minute, with how
 * many were left out: programs may ask a thousand times a second.
 */
import type { SidekeyError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { Clock } from '../tokens/ports.ts';

const AGAIN_MS = 60_000;

interface Told {
  readonly atMs: number;
  untold: number;
}

export class ProviderLog {
  readonly #provider: string;
  readonly #log: Logger;
  readonly #clock: Clock;
  /** By code: a handful. */
  readonly #told = new Map<string, Told>();
  #isDown = false;

  constructor(provider: string, log: Logger, clock: Clock) {
    this.#provider = provider;
    this.#log = log;
    this.#clock = clock;
  }

  failed({ code, message: reason }: SidekeyError): void {
    const [atMs, told] = [this.#clock.monotonic(), this.#told.get(code)];
    if (told !== undefined && atMs - told.atMs < AGAIN_MS) {
      told.untold += 1;
      return;
    }
    this.#told.set(code, { atMs, untold: 0 });
    if (code === 'provider_unreachable') this.#isDown = true;
    const cure = 'sidekey doctor says what to mend';
    const fields = { provider: this.#provider, code, reason, untold: told?.untold ?? 0 };
    this.#log.warn(fields, `the key service failed; ${cure}`);
  }

  answered(): void {
    if (!this.#isDown) return;
    this.#isDown = false;
    this.#log.info({ provider: this.#provider }, 'the key service responds again');
  }
}
