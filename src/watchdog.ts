/**
 * systemd's watchdog (sd_watchdog_enabled(3)): reports three times in each WatchdogSec= that the agent works.
 * Reports come from the event loop, so one that hangs sends none. They stop, too, if the attached keeper has
 * answered nothing for twice as long as its longest work: a new agent attaches anew. While no keeper is
 * attached, keeper-link.ts is looking for one, and a restart would not help.
 */
import { LIMITS } from './wire/tables.ts';

export const KEEPER_SILENT_MS = 2 * LIMITS.generateDeadlineMs;
const REPORTS = 3;
const USEC_MAX = 86_400_000_000;

export interface Watched {
  /** Of the attached keeper; null: there is none. */
  readonly pid: number | null;
  /** Any question to it. */
  state(): Promise<unknown>;
}

/** Null: nobody watches this process. The variables are inherited, so WATCHDOG_PID names the one that is meant. */
export function reportEveryMs(environment: NodeJS.ProcessEnv, pid: number): number | null {
  const { WATCHDOG_USEC: usec, WATCHDOG_PID: watched } = environment;
  if (usec === undefined || !/^[1-9]\d{0,11}$/.test(usec) || Number(usec) > USEC_MAX) return null;
  if (watched !== undefined && watched !== String(pid)) return null;
  return Math.max(1, Math.floor(Number(usec) / 1000 / REPORTS));
}

export class Watchdog {
  readonly #keeper: Watched;
  readonly #now: () => number;
  readonly #report: () => void;
  #answeredAt: number;
  #isAsking = false;

  /** `now`: milliseconds that only grow, and stand still while the machine is suspended, like systemd's. */
  constructor(keeper: Watched, now: () => number, report: () => void) {
    this.#keeper = keeper;
    this.#now = now;
    this.#report = report;
    this.#answeredAt = now();
  }

  /** To be called in each period. */
  look(): void {
    if (this.#keeper.pid === null) this.#answeredAt = this.#now();
    else void this.#ask();
    if (this.#now() - this.#answeredAt < KEEPER_SILENT_MS) this.#report();
  }

  async #ask(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      await this.#keeper.state();
      this.#answeredAt = this.#now();
    } catch {
      // No answer: only how long there has been none counts.
    } finally {
      this.#isAsking = false;
    }
  }
}
