/**
 * Work on one thing at a time, in the order in which it came. Who waits is a request in flight, of which there are only so
 * many. The next one begins when what the one before said has gone out: a change would else take away what a bind gave
 * before the request that it was for was resumed.
 */
import { setImmediate as afterIo } from 'node:timers/promises';

export class Turns {
  readonly #last = new Map<number, Promise<unknown>>();

  take<T>(thing: number, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(thing) ?? Promise.resolve();
    // How the one before ended is its own caller's business.
    const mine = before.then(work, work);
    const end = mine.then(afterIo, afterIo);
    this.#last.set(thing, end);
    void end.then(() => this.#last.get(thing) === end && this.#last.delete(thing));
    return mine;
  }
}
