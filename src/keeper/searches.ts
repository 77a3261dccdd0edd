/**
 * Searches for primes and stretched passwords take a worker of the keeper for seconds, sometimes minutes. So many at once that
 * one worker at least is left for what everybody else waits for; the others take turns, and give up at their own deadline.
 */
import { availableParallelism } from 'node:os';
import { SidekeyError } from '../errors.ts';

const WAITING_MAX = 64;
/** The keeper's workers: as many as processors, 2 to 4 (native-shim/keeper/options.c). */
const WORKERS = Math.min(4, Math.max(2, availableParallelism()));

interface Waiting {
  readonly go: () => void;
  readonly timer: NodeJS.Timeout;
}

export class Searches {
  readonly #atOnce: number;
  readonly #patienceMs: number;
  readonly #waiting: Waiting[] = [];
  #running = 0;

  constructor(patienceMs: number, atOnce = WORKERS - 1) {
    this.#patienceMs = patienceMs;
    this.#atOnce = atOnce;
  }

  /** Throws `busy` when too many wait, `deadline` when the turn did not come. */
  async run<T>(search: () => Promise<T>): Promise<T> {
    if (this.#running < this.#atOnce) this.#running++;
    else await this.#turn();
    try {
      return await search();
    } finally {
      this.#pass();
    }
  }

  #turn(): Promise<void> {
    if (this.#waiting.length >= WAITING_MAX)
      throw new SidekeyError('busy', `${WAITING_MAX} searches for primes are already waiting`);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(new SidekeyError('deadline', 'other searches for primes took too long'));
      }, this.#patienceMs);
      const waiting = { go: resolve, timer };
      this.#waiting.push(waiting);
    });
  }

  /** The turn goes to who waits longest. */
  #pass(): void {
    const next = this.#waiting.shift();
    if (next === undefined) {
      this.#running--;
      return;
    }
    clearTimeout(next.timer);
    next.go();
  }
}
