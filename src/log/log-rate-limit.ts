/** Bounds lines in logs that strangers can cause: so many a minute for a uid, and the number of those left out in the next one. */
import { LRUCache } from 'lru-cache';

const UIDS_MAX = 1000;
const MINUTE_MS = 60_000;

interface Minute {
  sinceMs: number;
  lines: number;
  leftOut: number;
}

export class LogRateLimit {
  readonly #most: number;
  readonly #monotonic: () => number;
  readonly #uids = new LRUCache<number, Minute>({ max: UIDS_MAX });

  constructor(most: number, monotonic: () => number) {
    this.#most = most;
    this.#monotonic = monotonic;
  }

  /** null: no line. Otherwise the number of lines of this uid left out since its last one. */
  take(uid: number): number | null {
    const minute = this.#minuteOf(uid);
    if (minute.lines >= this.#most) {
      minute.leftOut += 1;
      return null;
    }
    minute.lines += 1;
    const { leftOut } = minute;
    minute.leftOut = 0;
    return leftOut;
  }

  #minuteOf(uid: number): Minute {
    const now = this.#monotonic();
    const minute = this.#uids.get(uid) ?? { sinceMs: now, lines: 0, leftOut: 0 };
    if (now - minute.sinceMs >= MINUTE_MS) Object.assign(minute, { sinceMs: now, lines: 0 });
    this.#uids.set(uid, minute);
    return minute;
  }
}
