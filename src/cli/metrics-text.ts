/**
 * Parses Prometheus's text format, as far as `sidekey top` needs it: sums over labels, rates, quantiles of
 * histograms.
 */

export interface Metric {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LINE = /^(\w+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

export function parseMetrics(text: string): Metric[] {
  return text.split('\n').flatMap((line) => {
    const [, name, labels = '', value] = LINE.exec(line) ?? [];
    if (name === undefined || value === undefined) return [];
    const pairs = [...labels.matchAll(LABEL)].map(([, label = '', quoted = '']) => [label, quoted]);
    return [{ name, labels: Object.fromEntries(pairs), value: Number(value) }];
  });
}

/** The sum of all samples with this name and these labels. */
export function sumOf(
  metrics: readonly Metric[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  return metrics
    .filter((each) => each.name === name)
    .filter((each) => Object.entries(labels).every(([label, value]) => each.labels[label] === value))
    .reduce((total, { value }) => total + value, 0);
}

/**
 * The upper bound, in seconds, of the bucket that contains this quantile of the samples between two readings;
 * null if there were none. Not interpolated: a histogram does not know more.
 */
export function quantileOf(
  before: readonly Metric[],
  now: readonly Metric[],
  name: string,
  part: number,
): number | null {
  const bounds = new Map<number, number>();
  const bucket = `${name}_bucket`;
  const add = (metrics: readonly Metric[], sign: 1 | -1): void => {
    for (const { name: each, labels, value } of metrics) {
      if (each !== bucket) continue;
      const bound = Number((labels['le'] ?? '').replace('+Inf', 'Infinity'));
      bounds.set(bound, (bounds.get(bound) ?? 0) + sign * value);
    }
  };
  add(now, 1);
  add(before, -1);
  const all = bounds.get(Infinity) ?? 0;
  if (all <= 0) return null;
  const sorted = [...bounds].sort(([a], [b]) => a - b);
  return sorted.find(([, count]) => count >= all * part)?.[0] ?? null;
}
