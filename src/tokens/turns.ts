/**
 * Work on one thing at a time, in the order in which it came; what is shared goes beside its like. Who waits is a request in
 * flight, of which there are only so many. The next one begins when what the one before said has gone out: a change would
 * else take away what a bind gave before the request that it was for was resumed.
 */
import { setImmediate as afterIo } from 'node:timers/promises';

interface Queue {
  /** Ends with the last work that is alone. */
  readonly alone: Promise<unknown>;
  /** Ends with all that came so far. */
  readonly all: Promise<unknown>;
}

const EMPTY: Queue = { alone: Promise.resolve(), all: Promise.resolve() };

export class Turns {
  readonly #queues = new Map<number, Queue>();
  /** How much work that is alone has not ended. */
  readonly #taken = new Map<number, number>();

  take<T>(thing: number, work: () => Promise<T>): Promise<T> {
    const { all } = this.#queues.get(thing) ?? EMPTY;
    const mine = all.then(work);
    const end = mine.then(afterIo, afterIo);
    this.#count(thing, 1);
    void end.then(() => this.#count(thing, -1));
    this.#put(thing, { alone: end, all: end });
    return mine;
  }

  share<T>(thing: number, work: () => Promise<T>): Promise<T> {
    const { alone, all } = this.#queues.get(thing) ?? EMPTY;
    const mine = alone.then(work);
    this.#put(thing, { alone, all: Promise.all([all, mine.then(afterIo, afterIo)]) });
    return mine;
  }

  /** Whether work that is alone goes on, or waits. */
  isTaken(thing: number): boolean {
    return this.#taken.has(thing);
  }

  #count(thing: number, by: number): void {
    const count = (this.#taken.get(thing) ?? 0) + by;
    if (count === 0) this.#taken.delete(thing);
    else this.#taken.set(thing, count);
  }

  /** How the work ended is its own caller's business: neither promise of a queue is ever rejected. */
  #put(thing: number, queue: Queue): void {
    this.#queues.set(thing, queue);
    void queue.all.then(() => this.#queues.get(thing) === queue && this.#queues.delete(thing));
  }
}
