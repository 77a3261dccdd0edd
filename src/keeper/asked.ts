/**
 * What programs are waiting for. Whoever has long work to do on the event loop asks whether it may: an answer that is due would come
 * after it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeeperEvents } from './routed-frames.ts';

const LOOK_MS = 5;

export class Asked {
  #waiting = 0;
  #lastAtMs = -Infinity;

  /** The same events, and their requests are counted. */
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

  /** Resolves when nobody waits, and nobody did for `quietMs`; in any case after `mostMs`. Looks at least once what has come. */
  async quiet(quietMs: number, mostMs: number): Promise<void> {
    const end = performance.now() + mostMs;
    do await sleep(LOOK_MS);
    while (performance.now() < end && (this.#waiting > 0 || performance.now() - this.#lastAtMs < quietMs));
  }
}
