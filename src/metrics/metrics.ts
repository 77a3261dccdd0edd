/** The registry of prom-client, made from the table; typed so that a metric without a row, or a label too many, does not compile. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { GivenHistogram, type GivenRow } from './given-histogram.ts';
import { METRICS, type LabelsOf, type MetricName, type MetricRow, type NameOfType } from './metric-table.ts';

type Metric = Counter | Gauge | Histogram | GivenHistogram;

const MAKERS = {
  counter: (name: string, { help, labels }: MetricRow, registers: Registry[]): Metric =>
    new Counter({ name, help, labelNames: [...labels], registers }),
  gauge: (name: string, { help, labels }: MetricRow, registers: Registry[]): Metric =>
    new Gauge({ name, help, labelNames: [...labels], registers }),
  histogram: (
    name: string,
    { help, labels, buckets = [], given }: MetricRow,
    registers: [Registry],
  ): Metric =>
    given === true
      ? new GivenHistogram(name, help, buckets, registers[0])
      : new Histogram({ name, help, labelNames: [...labels], buckets: [...buckets], registers }),
};

export class Metrics {
  readonly #registry = new Registry();
  readonly #metrics: ReadonlyMap<string, Metric>;
  readonly #collectors: (() => Promise<void> | void)[] = [];

  constructor() {
    const rows = Object.entries<MetricRow>(METRICS);
    this.#metrics = new Map(
      rows.map(([name, row]) => [name, MAKERS[row.type](name, row, [this.#registry])] as const),
    );
  }

  #get(name: MetricName): Metric {
    const metric = this.#metrics.get(name);
    if (metric === undefined) throw new Error(`no metric ${name}`);
    return metric;
  }

  count<Name extends NameOfType<'counter'>>(name: Name, labels: LabelsOf<Name>, by = 1): void {
    (this.#get(name) as Counter).inc(labels, by);
  }

  observe<Name extends NameOfType<'histogram'>>(name: Name, labels: LabelsOf<Name>, seconds: number): void {
    (this.#get(name) as Histogram).observe(labels, seconds);
  }

  /** All that is known of a histogram of the table that is `given`. */
  replace(name: NameOfType<'histogram'>, rows: readonly GivenRow[]): void {
    (this.#get(name) as GivenHistogram).replace(rows);
  }

  set<Name extends NameOfType<'gauge'>>(name: Name, labels: LabelsOf<Name>, value: number): void {
    (this.#get(name) as Gauge).set(labels, value);
  }

  /** Forgets all values of a gauge or counter whose labels come and go. */
  reset(name: NameOfType<'gauge' | 'counter'>): void {
    (this.#get(name) as Counter | Gauge).reset();
  }

  /** Called before each text(): for what is asked for rather than counted. Must not reject. */
  onScrape(collect: () => Promise<void> | void): void {
    this.#collectors.push(collect);
  }

  /** Text format of Prometheus, 0.0.4. */
  async text(): Promise<string> {
    for (const collect of this.#collectors) await collect();
    return this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }
}
