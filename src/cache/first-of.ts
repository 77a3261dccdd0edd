/** The first of several ways to one thing: the next one is begun when the one before has failed, or has not answered for a while. */
import type { Timer } from '../tokens/ports.ts';

export interface FirstOfOptions<T> {
  readonly waysInOrder: readonly (() => Promise<T>)[];
  /** After this long without an answer the next way is tried beside. */
  readonly patienceMs: number;
  readonly timer: Timer;
  /** What came after the first one: to be given back. */
  readonly discard: (late: T) => void;
}

/** Rejects, when every way failed, with an AggregateError of their errors in the order of the ways. */
export function firstOf<T>({ waysInOrder, patienceMs, timer, discard }: FirstOfOptions<T>): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const errors = new Map<number, unknown>();
  let begun = 0;
  let isDone = false;
  let cancel = (): void => undefined;

  const failed = (index: number, error: unknown): void => {
    errors.set(index, error);
    if (isDone) return;
    if (errors.size < waysInOrder.length) return void (errors.size === begun && begin());
    isDone = true;
    reject(new AggregateError(waysInOrder.map((_, i) => errors.get(i))));
  };
  const answered = (answer: T): void => {
    if (isDone) return discard(answer);
    isDone = true;
    cancel();
    resolve(answer);
  };
  const begin = (): void => {
    cancel();
    if (isDone) return;
    const index = begun++;
    const way = waysInOrder[index];
    if (way === undefined) return;
    if (begun < waysInOrder.length) cancel = timer(patienceMs, begin);
    way().then(answered, (error: unknown) => failed(index, error));
  };

  if (waysInOrder.length === 0) reject(new AggregateError([]));
  begin();
  return promise;
}
