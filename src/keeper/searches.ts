/**
 * Searches for primes and password stretching occupy a worker of the keeper for seconds, sometimes minutes.
 * Only as many run at once as leave at least one worker for everybody else; the others wait their turn, until
 * their own deadline.
 */
import { availableParallelism } from 'node:os';
import { SidekeyError } from '../errors.ts';

const WAITING_MAX = 64;
/** The keeper's workers: one per processor, 2 to 4 (native-shim/keeper/options.c). */
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

  /** Throws `busy` if too many are waiting, `deadline` if its turn did not come in time. */
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

  /** The longest waiting goes next. */
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
