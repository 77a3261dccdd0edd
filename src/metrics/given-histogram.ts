/** A histogram whose counts come from elsewhere: from the keeper, which returns them all at each scrape. */
import type { Registry } from 'prom-client';

export interface GivenRow {
  readonly labels: Readonly<Record<string, string>>;
  readonly sum: number;
  /** Per bucket, not cumulative; the last is for values above every bound. */
  readonly times: readonly number[];
}

interface Value {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

export class GivenHistogram {
  readonly type = 'histogram';
  readonly aggregator = 'sum';
  readonly name: string;
  readonly help: string;
  readonly #bounds: readonly number[];
  #rows: readonly GivenRow[] = [];

  constructor(name: string, help: string, bounds: readonly number[], registry: Registry) {
    this.name = name;
    this.help = help;
    this.#bounds = bounds;
    // The registry only calls get() and reads the name, but its type requires the whole class.
    registry.registerMetric(this as unknown as Parameters<Registry['registerMetric']>[0]);
  }

  replace(rows: readonly GivenRow[]): void {
    this.#rows = rows;
  }

  get(): { name: string; help: string; type: string; aggregator: string; values: Value[] } {
    const { name, help, type, aggregator } = this;
    return { name, help, type, aggregator, values: this.#rows.flatMap((row) => this.#values(row)) };
  }

  #values({ labels, sum, times }: GivenRow): Value[] {
    let count = 0;
    const buckets = [...this.#bounds, '+Inf'].map((le, i): Value => {
      count += times[i] ?? 0;
      return { metricName: `${this.name}_bucket`, labels: { le, ...labels }, value: count };
    });
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: sum },
      { metricName: `${this.name}_count`, labels, value: count },
    ];
  }
}
