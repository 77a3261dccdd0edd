/** Work on one thing at a time, in the order in which it came. Who waits is a request in flight, of which there are only so many. */
export class Turns {
  readonly #last = new Map<number, Promise<unknown>>();

  async take<T>(thing: number, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(thing) ?? Promise.resolve();
    // How the one before ended is its own caller's business.
    const mine = before.then(work, work);
    this.#last.set(thing, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(thing) === mine) this.#last.delete(thing);
    }
  }
}
