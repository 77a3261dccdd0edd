/**
 * Exclusive and shared work per object, in order of arrival. Whoever waits is a request in flight, so there
 * is a bound. The next work begins only after the previous one's messages have been sent: otherwise a change
 * could remove a binding before the request it was made for had resumed.
 */
import { setImmediate as afterIo } from 'node:timers/promises';

interface Queue {
  /** Settles with the last exclusive work. */
  readonly alone: Promise<unknown>;
  /** Settles with everything queued so far. */
  readonly all: Promise<unknown>;
}

const EMPTY: Queue = { alone: Promise.resolve(), all: Promise.resolve() };

export class Turns {
  readonly #queues = new Map<number, Queue>();
  /** Number of exclusive works that have not ended. */
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

  /** Whether exclusive work is running or waiting. */
  isTaken(thing: number): boolean {
    return this.#taken.has(thing);
  }

  #count(thing: number, by: number): void {
    const count = (this.#taken.get(thing) ?? 0) + by;
    if (count === 0) this.#taken.delete(thing);
    else this.#taken.set(thing, count);
  }

  /** Callers handle their own failures: neither promise of a queue ever rejects. */
  #put(thing: number, queue: Queue): void {
    this.#queues.set(thing, queue);
    void queue.all.then(() => this.#queues.get(thing) === queue && this.#queues.delete(thing));
  }
}
