/**
 * Tracks requests of programs in progress. Before long work on the event loop, wait for quiet(): answers
 * would be delayed by it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeeperEvents } from './routed-frames.ts';

const LOOK_MS = 5;

export class Asked {
  #waiting = 0;
  #lastAtMs = -Infinity;

  /** Counts the requests among these events. */
  watch(events: KeeperEvents): KeeperEvents {
    return {
      ...events,
      handle: async (request) => {
        this.#waiting++;
        try {
          return await events.handle(request);
        } finally {
          this.#waiting--;
          this.#lastAtMs = performance.now();
        }
      },
    };
  }

  /**
   * Resolves once there has been no request for `quietMs`, or after `mostMs`. Always yields at least once for
   * what has arrived.
   */
  async quiet(quietMs: number, mostMs: number): Promise<void> {
    const end = performance.now() + mostMs;
    do await sleep(LOOK_MS);
    while (performance.now() < end && (this.#waiting > 0 || performance.now() - this.#lastAtMs < quietMs));
  }
}
