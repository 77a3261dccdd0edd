/**
 * Keeps one process around a vendor's library: starts it when it is asked for something, starts another when it crashed, hung or lost its device,
 * and asks again within the same deadline. Between starts that fail it waits, with full jitter, up to a second.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SidekeyError } from '../../errors.ts';
import { ofProvider } from '../provider-error.ts';
import type { Logger } from '../../log/logger.ts';
import type { Clock } from '../../tokens/ports.ts';
import { CODE } from './frame.ts';
import { mechanismOf, NO_MECHANISM, type WrapMechanism } from './mechanism.ts';
import type { PinSource } from './pin.ts';
import { WorkerLost, WorkerProcess, WorkerRefusal } from './worker-process.ts';
import type { WorkerOptions } from './worker-options.ts';

const BACKOFF_FIRST_MS = 50;
const BACKOFF_MAX_MS = 1000;
const ATTEMPTS_MAX = 4;
/** Below this there is no point in another attempt. */
const LEFT_MIN_MS = 50;

export interface SupervisorOptions {
  readonly provider: string;
  readonly key: string;
  readonly worker: WorkerOptions;
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly tryMs: number;
  readonly pin: PinSource;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: (bytes: number) => Buffer;
}

interface Running {
  readonly worker: WorkerProcess;
  /** null: module and key offer none. */
  readonly mechanism: WrapMechanism | null;
}

type Work<T> = (running: Running, timeoutMs: number) => Promise<T>;

export class HsmSupervisor {
  readonly #options: SupervisorOptions;
  #running: Promise<Running> | null = null;
  #worker: WorkerProcess | null = null;
  #failures = 0;
  #closed = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** The end of a call that begins now, on the monotonic clock; a call of several steps has one. */
  deadline(): number {
    return this.#options.clock.monotonic() + this.#options.timeoutMs;
  }

  /** Rejects with provider_refused or provider_unreachable, by its end. */
  async use<T>(end: number, work: Work<T>): Promise<T> {
    const { tryMs, clock } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const left = end - clock.monotonic();
      try {
        return await work(await this.#get(left), Math.min(tryMs, Math.max(1, end - clock.monotonic())));
      } catch (error) {
        const mayRetry = attempt < ATTEMPTS_MAX && end - clock.monotonic() > LEFT_MIN_MS && !this.#closed;
        if (!(error instanceof WorkerLost) || !mayRetry) throw this.#translate(error);
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#worker?.close();
  }

  /** A start belongs to everybody who waits for it; each waits by their own deadline. */
  async #get(leftMs: number): Promise<Running> {
    if (this.#closed) throw new WorkerLost('it is closed');
    if (!this.#running || this.#worker?.alive === false) this.#begin();
    const late = AbortSignal.timeout(Math.max(1, Math.ceil(leftMs)));
    const tooLate = new Promise<never>((_resolve, reject) => {
      late.addEventListener('abort', () => reject(new WorkerLost('its library did not start in time')), {
        once: true,
      });
    });
    return Promise.race([this.#running as Promise<Running>, tooLate]);
  }

  #begin(): void {
    this.#worker = null;
    const starting = this.#start();
    this.#running = starting;
    starting.catch(() => {
      if (this.#running === starting) this.#running = null;
    });
  }

  async #start(): Promise<Running> {
    await sleep(this.#pauseMs());
    const { pin, worker: options, environment, tryMs, log, provider } = this.#options;
    const secret = pin.read();
    if (this.#closed) throw new WorkerLost('it is closed');
    const worker = new WorkerProcess(environment, options.sessions);
    this.#worker = worker;
    this.#failures++;
    try {
      const fields = [Buffer.from(JSON.stringify(options), 'utf8'), secret];
      const [id = NO_MECHANISM] = await worker.ask(CODE.configure, fields, tryMs);
      const mechanism = id === NO_MECHANISM ? null : mechanismOf(id);
      this.#failures = 0;
      log.info({ provider, worker: worker.pid, mechanism: mechanism?.name ?? 'none' }, 'the HSM is open');
      return { worker, mechanism };
    } catch (error) {
      if (error instanceof WorkerRefusal && error.to === 'pin') pin.refuse(secret);
      worker.kill('it could not be set up');
      throw error;
    } finally {
      secret.fill(0);
    }
  }

  #pauseMs(): number {
    if (this.#failures === 0) return 0;
    const most = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(this.#failures, 10));
    return (this.#options.random(4).readUInt32LE() / 2 ** 32) * most;
  }

  #translate(error: unknown): unknown {
    const { provider, key } = this.#options;
    const what = `provider "${provider}" (${key})`;
    if (error instanceof SidekeyError) return ofProvider(provider, error);
    if (error instanceof WorkerRefusal && error.to === 'data')
      return new SidekeyError('encrypted_data_invalid', `${what}: ${error.message}`, { cause: error });
    if (error instanceof WorkerRefusal)
      return new SidekeyError('provider_refused', `${what}: ${error.message}`, { cause: error });
    if (!(error instanceof WorkerLost)) return error;
    return new SidekeyError('provider_unreachable', `${what}: ${error.message}`, { cause: error });
  }
}
