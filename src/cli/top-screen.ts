/** Renders `sidekey top` from two samples of a running agent; it neither queries nor draws. */
import type { ProviderStatus } from '../metrics/provider-status.ts';
import type { AgentStatus } from '../api/sidekey/agent-status.ts';
import type { LeaseSummary } from '../tokens/service.ts';
import { quantileOf, sumOf, type Metric } from './metrics-text.ts';
import type { Paint } from './paint.ts';
import { formatBytes } from './progress.ts';
import { formatTable } from './table.ts';

export interface Sample {
  readonly atMs: number;
  readonly status: AgentStatus;
  readonly providers: readonly ProviderStatus[];
  readonly leases: readonly LeaseSummary[];
  readonly metrics: readonly Metric[];
}

/** Per second, between two samples. */
export interface Rates {
  readonly hot: number;
  readonly misses: number;
  readonly http: number;
  readonly refused: number;
  readonly providerCalls: number;
  /** Seconds; null: there were no requests. */
  readonly requestP50: number | null;
  readonly requestP99: number | null;
}

const OPERATIONS = 'sidekey_operations_total';
const REQUEST_SECONDS = 'sidekey_http_request_seconds';

export function ratesOf(before: Sample, now: Sample): Rates {
  const seconds = Math.max((now.atMs - before.atMs) / 1000, 0.001);
  const rate = (read: (sample: Sample) => number): number =>
    Math.max(0, (read(now) - read(before)) / seconds);
  return {
    hot: rate(({ status }) => status.keeper?.hotOperations ?? 0),
    misses: rate(({ status }) => status.keeper?.misses ?? 0),
    http: rate(({ metrics }) => sumOf(metrics, OPERATIONS, { peer: 'http' })),
    refused: rate(({ metrics }) => sumOf(metrics, 'sidekey_denials_total')),
    providerCalls: rate(({ providers }) => providers.reduce((total, { calls }) => total + calls, 0)),
    requestP50: quantileOf(before.metrics, now.metrics, REQUEST_SECONDS, 0.5),
    requestP99: quantileOf(before.metrics, now.metrics, REQUEST_SECONDS, 0.99),
  };
}

function formatSeconds(seconds: number | null): string {
  if (seconds === null) return '-';
  if (!Number.isFinite(seconds)) return 'over 10 s';
  return seconds < 1 ? `${seconds * 1000} ms` : `${seconds} s`;
}

const perSecond = (rate: number): string => `${rate < 100 ? rate.toFixed(1) : Math.round(rate)}/s`;

function headOf({ status }: Sample, rates: Rates): string[] {
  const { keeper, agent, version } = status;
  const memory = keeper
    ? `keeper ${keeper.pid}, ${formatBytes(keeper.usedBytes ?? 0)} of ${formatBytes(keeper.lockedBytes ?? 0)} (${keeper.kind ?? '?'})`
    : 'NO KEEPER';
  return [
    `sidekey ${version}  agent ${agent.pid}, ${memory}`,
    `PKCS#11 ${perSecond(rates.hot)}, misses ${perSecond(rates.misses)}   HTTP ${perSecond(rates.http)}   key services ${perSecond(rates.providerCalls)}   refused ${perSecond(rates.refused)}`,
    `HTTP requests: half within ${formatSeconds(rates.requestP50)}, 99 of 100 within ${formatSeconds(rates.requestP99)}`,
  ];
}

function describeUp(up: boolean | null): string {
  if (up === null) return 'not asked';
  return up ? 'up' : 'DOWN';
}

function section(headings: readonly string[], rows: readonly (readonly string[])[], paint: Paint): string[] {
  const [head = '', ...lines] = formatTable(headings, rows);
  return ['', paint('bold', head), ...lines];
}

function leftOf({ leftMs }: LeaseSummary): number {
  return leftMs ?? Infinity;
}

/** As many lines as the terminal has rows: key services, then the leases that end first, then processes. */
export function renderTop(before: Sample, now: Sample, rows: number, paint: Paint): string[] {
  const { status, providers, leases } = now;
  const slow = new Set(status.withoutRing.map(({ pid }) => pid));
  const services = providers.map(({ name, kind, up, calls, errors, lastError }) => [
    ...[name, kind, describeUp(up), String(calls), String(errors), lastError?.code ?? '-'],
  ]);
  const open = leases
    .toSorted((a, b) => leftOf(a) - leftOf(b))
    .map((each) => [
      ...[each.token, each.kind, each.label ?? '-'],
      each.leftMs === null ? 'no end' : `${Math.ceil(each.leftMs / 1000)}s`,
    ]);
  const processes = status.processes.map(({ pid, uid, program }) => [
    ...[String(pid), String(uid), program, slow.has(pid) ? 'socket' : 'ring'],
  ]);
  const head = [
    ...headOf(now, ratesOf(before, now)),
    ...section(['SERVICE', 'KIND', 'STATE', 'CALLS', 'ERRORS', 'LAST ERROR'], services, paint),
  ];
  const room = Math.max(2, Math.floor((rows - head.length) / 2) - 3);
  return [
    ...head,
    ...section(['LEASE OF', 'KIND', 'LABEL', 'LEFT'], open.slice(0, room), paint),
    ...section(['PID', 'UID', 'PROGRAM', 'BY'], processes.slice(0, room), paint),
  ].slice(0, rows - 1);
}
