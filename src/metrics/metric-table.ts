/**
 * Every metric in /metrics. docs/metrics.md is generated from this table, and so is the registry: anything
 * without a row cannot be counted. Labels are closed sets or names in the configuration: clients cannot
 * create new ones.
 */

export interface MetricRow {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds of a histogram's buckets, in seconds. */
  readonly buckets?: readonly number[];
}

const LOCAL_SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 10] as const;
/** The same as in native-shim/keeper/latency.h. */
const KEEPER_SECONDS = Array.from({ length: 23 }, (_, i) => 2 ** (8 + i) / 1e9);
const REMOTE_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

export const METRICS = {
  sidekey_operations_total: {
    type: 'counter',
    help: 'Uses of keys. peer: pkcs11, http, kms. result: ok or a code of docs/errors.md; PKCS#11 uses are counted by the keeper, which counts those that were done.',
    labels: ['peer', 'token', 'operation', 'result'],
  },
  sidekey_operation_bytes_total: {
    type: 'counter',
    help: 'Bytes that were given to these operations.',
    labels: ['peer', 'token', 'operation'],
  },
  sidekey_operation_seconds: {
    type: 'histogram',
    help: 'path operate: an operation of the HTTP API or KMS, from the agent to the keeper and back, opening the key included. path miss: a PKCS#11 program used a key for which the keeper had no binding, or whose every use is recorded. path resident: a PKCS#11 program used a key that lives in its key service, the call included. What the keeper serves by itself is in sidekey_keeper_operation_seconds.',
    labels: ['peer', 'path'],
    buckets: LOCAL_SECONDS,
  },
  sidekey_keeper_operation_seconds: {
    type: 'histogram',
    help: 'Operations of PKCS#11 programs that the keeper served by itself, from the handling of a frame to its reply; the way through the ring and the module is not in it. One of 64 is timed, so that counts are a sample. Since the keeper started.',
    labels: ['operation'],
    buckets: KEEPER_SECONDS,
  },
  sidekey_http_requests_total: {
    type: 'counter',
    help: 'Requests on the API socket, by the route (with its parameters unfilled; empty: none) and status.',
    labels: ['method', 'route', 'status'],
  },
  sidekey_http_request_seconds: {
    type: 'histogram',
    help: 'From the header of a request to the end of its answer.',
    labels: ['route'],
    buckets: LOCAL_SECONDS,
  },
  sidekey_http_refused_total: {
    type: 'counter',
    help: 'Requests and connections refused by a bound per peer. bound: connections, in_flight, rate.',
    labels: ['bound'],
  },
  sidekey_denials_total: {
    type: 'counter',
    help: 'Refusals by the access rules or a wrong PIN, as the audit log has them.',
    labels: ['token'],
  },
  sidekey_logins_total: { type: 'counter', help: 'Logins of PKCS#11 programs.', labels: ['token', 'role'] },
  sidekey_cache_leases: {
    type: 'gauge',
    help: 'Keys that stand open in the keeper under a lease.',
    labels: [],
  },
  sidekey_cache_lease_seconds_left: {
    type: 'gauge',
    help: 'Seconds until the next lease ends, and until the last one does. bound: first, last.',
    labels: ['bound'],
  },
  sidekey_cache_hits_total: {
    type: 'counter',
    help: 'Uses that found their key open. by: keeper (PKCS#11), since it started; agent (HTTP, KMS).',
    labels: ['by'],
  },
  sidekey_cache_misses_total: {
    type: 'counter',
    help: 'Uses whose key had to be bound or opened first. by: keeper, agent (keys that were opened because somebody asked).',
    labels: ['by'],
  },
  sidekey_provider_calls_total: {
    type: 'counter',
    help: 'Calls of key services. call: create, open, health, resident-list and the like. result: ok or a code of docs/errors.md.',
    labels: ['provider', 'call', 'result'],
  },
  sidekey_provider_call_seconds: {
    type: 'histogram',
    help: 'How long these took, with all their tries.',
    labels: ['provider', 'call'],
    buckets: REMOTE_SECONDS,
  },
  sidekey_provider_up: {
    type: 'gauge',
    help: '1: the last call was answered, be it by a refusal; 0: nobody answered; absent: not called yet.',
    labels: ['provider'],
  },
  sidekey_provider_breaker_state: {
    type: 'gauge',
    help: 'Circuit breaker. 0: closed, 1: probing, 2: open.',
    labels: ['provider'],
  },
  sidekey_provider_credential_seconds_left: {
    type: 'gauge',
    help: 'Seconds that the credentials for a key service have left: a token, an assumed role, a client certificate. They are replaced ahead of their end. Absent: they do not end, or none were needed yet.',
    labels: ['provider'],
  },
  sidekey_keeper_up: { type: 'gauge', help: '1: a keeper is attached.', labels: [] },
  sidekey_keeper_locked_bytes: {
    type: 'gauge',
    help: 'Locked memory of the keeper. of: all, used.',
    labels: ['of'],
  },
  sidekey_keeper_cells: { type: 'gauge', help: 'Cells in use.', labels: [] },
  sidekey_keeper_clients: { type: 'gauge', help: 'Processes connected to the keeper.', labels: [] },
  sidekey_keeper_bindings: { type: 'gauge', help: 'Bindings of processes to cells.', labels: [] },
  sidekey_keeper_parked: { type: 'gauge', help: 'Requests that wait for the agent.', labels: [] },
  sidekey_event_subscribers: { type: 'gauge', help: 'Open connections to /v1/sidekey/events.', labels: [] },
  sidekey_build_info: { type: 'gauge', help: 'Always 1.', labels: ['version'] },
} as const satisfies Record<string, MetricRow>;

export type MetricName = keyof typeof METRICS;
export type LabelsOf<Name extends MetricName> = Readonly<
  Record<(typeof METRICS)[Name]['labels'][number], string>
>;
export type NameOfType<Type extends MetricRow['type']> = {
  [Name in MetricName]: (typeof METRICS)[Name]['type'] extends Type ? Name : never;
}[MetricName];

/** Generates docs/metrics.md. */
export function formatMetricsPage(): string {
  const rows = Object.entries<MetricRow>(METRICS).map(
    ([name, { type, labels, help }]) =>
      `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`,
  );
  const head = [
    '# Metrics',
    '',
    'Generated by `scripts/generate-docs` from src/metrics/metric-table.ts.',
    '',
    '`GET /metrics` on the API socket answers in the text format of Prometheus, to administrators and to whom',
    '`access.metrics` of the configuration admits. Counters begin at 0 with the agent. Prometheus itself cannot ask a Unix',
    'socket: put a proxy of your own before it, for instance `socat TCP-LISTEN:9466,bind=127.0.0.1,fork UNIX:api.sock`, which',
    'must itself be admitted.',
    '',
    '| name | type | labels | meaning |',
    '| --- | --- | --- | --- |',
  ];
  return `${[...head, ...rows].join('\n')}\n`;
}
