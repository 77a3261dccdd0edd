/**
 * Log lines for one key service: that it fails, with its own message, and that it works again. Failures with
 * one code are logged once a minute, with the number omitted: programs may ask a thousand times a second.
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
  /** By code, of which there are few. */
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
