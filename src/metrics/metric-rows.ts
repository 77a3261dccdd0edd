/** Metrics with their labels filled in: frequent callers keep a row and avoid the lookup. */
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

  /** Records `times` observations of the same duration. */
  observe(seconds: number, times = 1): void {
    const found = this.#bounds.findIndex((bound) => seconds <= bound);
    const bucket = found < 0 ? this.#bounds.length : found;
    this.times[bucket] = (this.times[bucket] ?? 0) + times;
    this.sum += seconds * times;
  }
}

/** Counts that the registry has not been told yet. */
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
