/** A clock with timers that stands still until it is told to go on: hours take milliseconds, and the order is always the same. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Clock, Timer } from '../../src/tokens/ports.ts';

interface Waiting {
  readonly at: number;
  readonly order: number;
  readonly fire: () => void;
}

export class SimulatedTime implements Clock {
  #now = 1000;
  #order = 0;
  readonly #waiting = new Set<Waiting>();

  now(): number {
    return 1_700_000_000_000 + this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  readonly timer: Timer = (ms, fire) => {
    const waiting = { at: this.#now + Math.max(0, ms), order: this.#order++, fire };
    this.#waiting.add(waiting);
    return () => void this.#waiting.delete(waiting);
  };

  get timers(): number {
    return this.#waiting.size;
  }

  /** Resolves after `ms` of this clock: what a fake takes for its work. */
  sleep(ms: number): Promise<void> {
    return new Promise((done) => this.timer(ms, done));
  }

  /** Fires what is due on the way, each at its own time, and lets what follows from it run. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await turn();
    for (let next = this.#next(end); next !== null; next = this.#next(end)) {
      this.#now = Math.max(this.#now, next.at);
      this.#waiting.delete(next);
      next.fire();
      await turn();
    }
    this.#now = end;
  }

  #next(end: number): Waiting | null {
    const due = [...this.#waiting].filter(({ at }) => at <= end);
    return due.sort((a, b) => a.at - b.at || a.order - b.order)[0] ?? null;
  }
}
