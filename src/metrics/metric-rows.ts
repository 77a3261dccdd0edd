/** Metrics with their labels filled in: who counts often keeps hold of a row, and nothing is looked up. */
import type { GivenRow } from './given-histogram.ts';

export class HistogramRow implements GivenRow {
  readonly labels: Readonly<Record<string, string>>;
  readonly #bounds: readonly number[];
  readonly times: number[];
  sum = 0;

  constructor(labels: Readonly<Record<string, string>>, bounds: readonly number[]) {
    this.labels = labels;
    this.#bounds = bounds;
    this.times = new Array<number>(bounds.length + 1).fill(0);
  }

  /** `times` of the same length at once. */
  observe(seconds: number, times = 1): void {
    const found = this.#bounds.findIndex((bound) => seconds <= bound);
    const bucket = found < 0 ? this.#bounds.length : found;
    this.times[bucket] = (this.times[bucket] ?? 0) + times;
    this.sum += seconds * times;
  }
}

/** What was counted since the registry was last told. */
export class CounterRow {
  readonly labels: Readonly<Record<string, string>>;
  untold = 0;

  constructor(labels: Readonly<Record<string, string>>) {
    this.labels = labels;
  }

  add(by: number): void {
    this.untold += by;
  }
}
