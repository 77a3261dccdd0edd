/**
 * prom-client's registry, created from the table, and typed so that a metric without a row or an unknown
 * label does not compile.
 */
// Imported by parts: the whole package loads node:http, which a starting agent does not need yet.
import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import Registry from 'prom-client/lib/registry.js';
import { CounterRow, HistogramRow } from './metric-rows.ts';
import { GivenHistogram, type GivenRow } from './given-histogram.ts';
import { METRICS, type LabelsOf, type MetricName, type MetricRow, type NameOfType } from './metric-table.ts';

type Metric = Counter | Gauge | GivenHistogram;

const MAKERS = {
  counter: (name: string, { help, labels }: MetricRow, registers: Registry[]): Metric =>
    new Counter({ name, help, labelNames: [...labels], registers }),
  gauge: (name: string, { help, labels }: MetricRow, registers: Registry[]): Metric =>
    new Gauge({ name, help, labelNames: [...labels], registers }),
  histogram: (name: string, { help, buckets = [] }: MetricRow, registers: [Registry]): Metric =>
    new GivenHistogram(name, help, buckets, registers[0]),
};

export class Metrics {
  readonly #registry = new Registry();
  readonly #metrics: ReadonlyMap<string, Metric>;
  readonly #counters = new Map<string, Map<string, CounterRow>>();
  readonly #histograms = new Map<string, Map<string, HistogramRow>>();
  readonly #collectors: (() => Promise<void> | void)[] = [];

  constructor() {
    const rows = Object.entries<MetricRow>(METRICS);
    this.#metrics = new Map(
      rows.map(([name, row]) => [name, MAKERS[row.type](name, row, [this.#registry])] as const),
    );
  }

  #get(name: string): Metric {
    const metric = this.#metrics.get(name);
    if (metric === undefined) throw new Error(`no metric ${name}`);
    return metric;
  }

  count<Name extends NameOfType<'counter'>>(name: Name, labels: LabelsOf<Name>, by = 1): void {
    (this.#get(name) as Counter).inc(labels, by);
  }

  observe<Name extends NameOfType<'histogram'>>(name: Name, labels: LabelsOf<Name>, seconds: number): void {
    this.histogramRow(name, labels).observe(seconds);
  }

  /** For counts at each request: the registry would look the labels up every time. */
  counterRow<Name extends NameOfType<'counter'>>(name: Name, labels: LabelsOf<Name>): CounterRow {
    return rowOf(this.#counters, name, labels, () => new CounterRow(labels));
  }

  histogramRow<Name extends NameOfType<'histogram'>>(name: Name, labels: LabelsOf<Name>): HistogramRow {
    const { buckets = [] }: MetricRow = METRICS[name];
    return rowOf(this.#histograms, name, labels, () => new HistogramRow(labels, buckets));
  }

  /** Replaces all values of a histogram that is marked `given` in the table. */
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

  /** Calls `collect` before each text(), for values that are read rather than counted. It must not reject. */
  onScrape(collect: () => Promise<void> | void): void {
    this.#collectors.push(collect);
  }

  /** Prometheus text format 0.0.4. */
  async text(): Promise<string> {
    for (const collect of this.#collectors) await collect();
    this.#tellRegistry();
    return this.#registry.metrics();
  }

  #tellRegistry(): void {
    for (const [name, rows] of this.#counters) {
      for (const row of rows.values()) {
        (this.#get(name) as Counter).inc({ ...row.labels }, row.untold);
        row.untold = 0;
      }
    }
    for (const [name, rows] of this.#histograms)
      (this.#get(name) as GivenHistogram).replace([...rows.values()]);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }
}

function rowOf<Row>(
  all: Map<string, Map<string, Row>>,
  name: MetricName,
  labels: Readonly<Record<string, string>>,
  make: () => Row,
): Row {
  const rows = all.get(name) ?? new Map<string, Row>();
  all.set(name, rows);
  const key = JSON.stringify(METRICS[name].labels.map((label) => labels[label]));
  const row = rows.get(key) ?? make();
  rows.set(key, row);
  return row;
}
