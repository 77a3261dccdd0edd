/**
 * Keeps the agent attached to a keeper: attaches to a running one, or starts one if configured, and again
 * whenever it is lost, with increasing pauses and jitter. It never gives up: the agent starts and stays up
 * without a keeper.
 */
import { SidekeyError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { KeeperClient } from './keeper-client.ts';

/** Checking whether a keeper answers costs almost nothing, and programs are waiting. */
const PAUSE_FIRST_MS = 10;
const PAUSE_MAX_MS = 250;
/** Pause between starts of keepers that end before they are attached; the first restart is immediate. */
const RESTART_FIRST_MS = 20;
const RESTART_MAX_MS = 2000;
/** A keeper gets this long to open its socket before another is started. */
const START_GRACE_MS = 5000;

export interface KeeperLinkOptions {
  readonly client: KeeperClient;
  readonly control: string;
  /** Starts a keeper, and calls back when it ended; null: somebody else starts it. */
  readonly start: ((ended: (why: string) => void) => void) | null;
  readonly log: Logger;
  readonly random?: () => number;
}

export class KeeperLink {
  readonly #options: KeeperLinkOptions;
  #timer: NodeJS.Timeout | null = null;
  #pauseMs = PAUSE_FIRST_MS;
  #startedAtMs: number | null = null;
  #restartMs = 0;
  #startNotBeforeMs = 0;
  #isStopped = false;
  #lastFault: string | null = null;
  #startFault: string | null = null;
  #attached = Promise.withResolvers<void>();

  constructor(options: KeeperLinkOptions) {
    this.#options = options;
    this.#attached.promise.catch(() => undefined);
  }

  /** Starts now, and continues until stop(). */
  start(): void {
    this.#schedule(0);
  }

  /** Why no keeper is attached; null while one is. */
  get fault(): string | null {
    return this.#options.client.pid === null ? (this.#startFault ?? this.#lastFault) : null;
  }

  /** Resolves at the next attach; rejects with keeper_absent after `timeoutMs`. */
  async waitAttached(timeoutMs: number): Promise<void> {
    const { promise, reject } = Promise.withResolvers<never>();
    const message = () =>
      `no keeper within ${timeoutMs / 1000} s: ${this.#startFault ?? this.#lastFault ?? 'none answered'}`;
    const timer = setTimeout(() => reject(new SidekeyError('keeper_absent', message())), timeoutMs).unref();
    await Promise.race([this.#attached.promise, promise]).finally(() => clearTimeout(timer));
  }

  /** Detaches. With `endKeeper`, tells an attached keeper to end; true if it confirmed. */
  async stop(endKeeper: boolean): Promise<boolean> {
    this.#isStopped = true;
    if (this.#timer) clearTimeout(this.#timer);
    const { client, log } = this.#options;
    let isEnded = false;
    if (endKeeper && client.pid !== null) {
      isEnded = await client.shutdown().then(
        () => true,
        (error: unknown) => (log.warn({ error }, 'the keeper did not shut down cleanly'), false),
      );
    }
    client.detach();
    return isEnded;
  }

  #schedule(afterMs: number): void {
    if (this.#isStopped) return;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#attempt(), afterMs);
  }

  #jitter(): number {
    return 0.5 + (this.#options.random ?? Math.random)();
  }

  #pause(): number {
    const pause = this.#pauseMs * this.#jitter();
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MAX_MS);
    return pause;
  }

  async #attempt(): Promise<void> {
    const { client, control, log } = this.#options;
    try {
      await client.attach(control, (reason) => this.#lost(reason));
      if (client.pid === null) return;
      log.info({ keeper: client.pid }, 'attached to the keeper');
      this.#pauseMs = PAUSE_FIRST_MS;
      this.#startedAtMs = null;
      this.#restartMs = 0;
      this.#lastFault = null;
      this.#startFault = null;
      this.#attached.resolve();
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    const { start, log, client } = this.#options;
    const fault = error instanceof Error ? error.message : String(error);
    if (fault !== this.#lastFault && !(error instanceof SidekeyError && error.code === 'keeper_absent')) {
      log.error({ error }, 'cannot attach to the keeper');
    }
    this.#lastFault = fault;
    if (this.#isStopped || client.pid !== null) return;
    if (start && client.stranger !== null) this.#end(client.stranger);
    if (start && error instanceof SidekeyError && error.code === 'keeper_absent') this.#startOnce(start);
    this.#schedule(this.#pause());
  }

  /**
   * Ends a keeper left over from before an upgrade, with which nobody can communicate any more. It wipes its
   * keys as it ends.
   */
  #end(pid: number): void {
    this.#options.log.warn({ keeper: pid }, 'stopping a keeper of another version');
    try {
      process.kill(pid, 'SIGTERM');
    } catch (error) {
      this.#options.log.error({ error, keeper: pid }, 'cannot stop the keeper');
    }
  }

  #startOnce(start: (ended: (why: string) => void) => void): void {
    const now = performance.now();
    if (now < this.#startNotBeforeMs) return;
    if (this.#startedAtMs !== null && now - this.#startedAtMs < START_GRACE_MS) return;
    this.#startedAtMs = now;
    this.#pauseMs = PAUSE_FIRST_MS;
    try {
      start((why) => this.#ended(now, why));
    } catch (error) {
      this.#startFault = error instanceof Error ? error.message : String(error);
      this.#options.log.error({ error }, 'cannot start a keeper');
    }
  }

  /** The keeper that was started is gone. If it never served, the pause before the next start grows. */
  #ended(startedAtMs: number, why: string): void {
    if (this.#startedAtMs !== startedAtMs) return;
    this.#startFault = `the keeper ended at its start (${why}): its line in the agent's log says why`;
    this.#startedAtMs = null;
    this.#startNotBeforeMs = performance.now() + this.#restartMs * this.#jitter();
    this.#restartMs = Math.min(Math.max(this.#restartMs * 2, RESTART_FIRST_MS), RESTART_MAX_MS);
    this.#pauseMs = PAUSE_FIRST_MS;
  }

  #lost(reason: string): void {
    if (this.#isStopped) return;
    this.#options.log.warn({ reason }, 'lost the connection to the keeper');
    this.#attached = Promise.withResolvers<void>();
    this.#startedAtMs = null;
    this.#schedule(PAUSE_FIRST_MS * (this.#options.random ?? Math.random)());
  }
}
