/** The agent's metrics and events, and the wrappers that feed them. */
import { randomBytes } from 'node:crypto';
import type { AuditFields } from '../audit/audit-line.ts';
import { eventTypeOf, teeAudit } from '../events/audit-events.ts';
import type { BreakerState, CacheEvent, CacheObserver } from '../cache/cache-observer.ts';
import { EventRing, type EventType } from '../events/event-ring.ts';
import type { GivenRow } from './given-histogram.ts';
import type { CounterRow, HistogramRow } from './metric-rows.ts';
import type { Logger } from '../log/logger.ts';
import { Metrics } from './metrics.ts';
import { observeProvider, type ProviderCall, type ProviderRecord } from './observed-provider.ts';
import { observeMisses, observeNamedKeys } from './observed-tokens.ts';
import { ProviderLog } from './provider-log.ts';
import type { OperationSeen, PeerKind } from './operation-seen.ts';
import type { AuditSink, Clock, Keeper, KeeperState, Provider } from '../tokens/ports.ts';
import type { TokenService } from '../tokens/service.ts';
import type { UsageLedger } from '../usage/usage-ledger.ts';

const EVENTS_MAX = 4096;

function text(value: AuditFields[string] | undefined): string {
  return typeof value === 'string' ? value : '';
}

function number(value: AuditFields[string] | undefined): number {
  return typeof value === 'number' ? value : 0;
}

const BREAKER_STATES: Readonly<Record<BreakerState, number>> = { closed: 0, probing: 1, open: 2 };
const TAKEN_AWAY: readonly string[] = ['revoked', 'refused', 'changed'];

function leaseEventOf(seen: CacheEvent): EventType | null {
  if (seen.is === 'lease-granted')
    return seen.reason === 'refresh' || seen.reason === 'offline' ? 'lease-refreshed' : 'lease-granted';
  if (seen.is !== 'lease-ended') return null;
  return TAKEN_AWAY.includes(seen.reason) ? 'lease-revoked' : 'lease-expired';
}

export class Observation {
  readonly metrics = new Metrics();
  readonly events: EventRing;
  readonly providers: ProviderRecord[] = [];
  readonly #credentials = new Map<string, () => number | null>();
  readonly #clock: Clock;
  readonly #ledger: UsageLedger;
  readonly #log: Logger;
  /** Uses over HTTP and KMS, and keys that had to be opened for a request. */
  readonly #agent = { uses: 0, misses: 0 };
  /** The rows of the last operation: the next one is usually of the same kind. */
  #rows: OperationRows | null = null;

  constructor(options: {
    readonly clock: Clock;
    readonly version: string;
    readonly ledger: UsageLedger;
    readonly log: Logger;
  }) {
    const { clock, version, ledger, log } = options;
    this.#clock = clock;
    this.#log = log;
    this.#ledger = ledger;
    this.events = new EventRing({
      max: EVENTS_MAX,
      run: randomBytes(6).toString('hex'),
      now: () => clock.now(),
    });
    this.metrics.set('sidekey_build_info', { version }, 1);
    this.metrics.onScrape(() => this.#collectCredentials());
    this.metrics.onScrape(() => this.metrics.set('sidekey_event_subscribers', {}, this.events.subscribers));
  }

  audit(sink: AuditSink): AuditSink {
    return teeAudit(sink, (event, fields) => this.#hear(event, fields));
  }

  provider(provider: Provider): Provider {
    const told = new ProviderLog(provider.name, this.#log, this.#clock);
    const { provider: observed, record } = observeProvider(provider, {
      clock: this.#clock,
      failed: (error) => told.failed(error),
      answered: () => told.answered(),
      called: (call) => this.#called(call),
      changed: ({ name, up, lastError }) =>
        this.events.publish(up ? 'provider-up' : 'provider-down', {
          ...{ provider: name, code: up ? null : (lastError?.code ?? null) },
        }),
    });
    this.providers.push(record);
    this.#credentials.set(provider.name, () => provider.credentialSecondsLeft());
    return observed;
  }

  /** The service as one of the agent's own APIs sees it. */
  door(tokens: TokenService, peer: Exclude<PeerKind, 'pkcs11'>): TokenService {
    return observeNamedKeys(tokens, peer, (seen) => this.#operated(seen), this.#clock);
  }

  /** The service as the keeper's connection sees it. */
  misses(tokens: TokenService): TokenService {
    const observe = (path: 'miss' | 'resident', seconds: number): void =>
      this.metrics.observe('sidekey_operation_seconds', { peer: 'pkcs11', path }, seconds);
    return observeMisses(tokens, observe, this.#clock);
  }

  /** Hears what happens to leases and to the circuit breakers in front of key services. */
  readonly cache: CacheObserver = (seen) => {
    if (seen.is === 'breaker-changed')
      this.metrics.set(
        'sidekey_provider_breaker_state',
        { provider: seen.provider },
        BREAKER_STATES[seen.state],
      );
    if (seen.is === 'lease-granted' && seen.reason === 'asked') this.#agent.misses += 1;
    const type = leaseEventOf(seen);
    if (type === null || !('handle' in seen)) return;
    const { token, handle, reason } = seen;
    this.events.publish(type, { token, handle, reason });
  };

  /** What each scrape asks the keeper for. `flush` reads its use counters first. */
  collectFrom(keeper: Keeper, flush: () => Promise<void>): void {
    const { metrics } = this;
    metrics.onScrape(async () => {
      for (const { name, up } of this.providers)
        if (up !== null) metrics.set('sidekey_provider_up', { provider: name }, Number(up));
      metrics.set('sidekey_keeper_up', {}, Number(keeper.pid !== null));
      await flush();
      const asked = Promise.all([keeper.state(), keeper.cells()]);
      const [state, cells] = await asked.catch(() => [null, []] as const);
      const left = cells.map(({ leftMs }) => leftMs).filter((leftMs) => leftMs !== null);
      collectLeases(metrics, left);
      this.#collectHits(state);
      if (state !== null) collectKeeper(metrics, state);
      if (state !== null) metrics.replace('sidekey_keeper_operation_seconds', latenciesOf(state));
    });
  }

  #collectCredentials(): void {
    const name = 'sidekey_provider_credential_seconds_left';
    this.metrics.reset(name);
    for (const [provider, secondsLeft] of this.#credentials) {
      const left = secondsLeft();
      if (left !== null) this.metrics.set(name, { provider }, left);
    }
  }

  #collectHits(state: KeeperState | null): void {
    const { uses, misses } = this.#agent;
    this.metrics.reset('sidekey_cache_hits_total');
    this.metrics.count('sidekey_cache_hits_total', { by: 'agent' }, Math.max(0, uses - misses));
    this.metrics.count('sidekey_cache_hits_total', { by: 'keeper' }, state?.hotOperations ?? 0);
    this.metrics.reset('sidekey_cache_misses_total');
    this.metrics.count('sidekey_cache_misses_total', { by: 'agent' }, misses);
    this.metrics.count('sidekey_cache_misses_total', { by: 'keeper' }, state?.misses ?? 0);
  }

  #called(seen: ProviderCall): void {
    const { provider, call, result, seconds } = seen;
    this.#ledger.called(seen);
    this.metrics.count('sidekey_provider_calls_total', { provider, call, result });
    this.metrics.observe('sidekey_provider_call_seconds', { provider, call }, seconds);
  }

  #operated(seen: OperationSeen): void {
    const { peer, times, bytes, seconds } = seen;
    const rows = isOf(this.#rows, seen) ? this.#rows : operationRows(this.metrics, seen);
    this.#rows = rows;
    rows.times.add(times);
    rows.bytes.add(bytes);
    if (seconds !== null) rows.seconds.observe(seconds, times);
    this.#ledger.operated(seen);
    if (peer !== 'pkcs11') this.#agent.uses += times;
  }

  #hear(event: string, fields: AuditFields): void {
    const token = text(fields['token']);
    if (event === 'login') this.metrics.count('sidekey_logins_total', { token, role: text(fields['role']) });
    if (event === 'denied' || event === 'login-failed')
      this.metrics.count('sidekey_denials_total', { token });
    if (event === 'key-used') this.#operated(usedBy(fields));
    const type = eventTypeOf(event, fields);
    if (type !== null) this.events.publish(type, fields);
  }
}

interface OperationRows {
  readonly of: Pick<OperationSeen, 'peer' | 'token' | 'operation' | 'result'>;
  readonly times: CounterRow;
  readonly bytes: CounterRow;
  readonly seconds: HistogramRow;
}

function isOf(rows: OperationRows | null, seen: OperationSeen): rows is OperationRows {
  if (rows === null) return false;
  const { peer, token, operation, result } = rows.of;
  return peer === seen.peer && token === seen.token && operation === seen.operation && result === seen.result;
}

function operationRows(metrics: Metrics, { peer, token, operation, result }: OperationSeen): OperationRows {
  return {
    of: { peer, token, operation, result },
    times: metrics.counterRow('sidekey_operations_total', { peer, token, operation, result }),
    bytes: metrics.counterRow('sidekey_operation_bytes_total', { peer, token, operation }),
    seconds: metrics.histogramRow('sidekey_operation_seconds', { peer, path: 'operate' }),
  };
}

function usedBy(fields: AuditFields): OperationSeen {
  return {
    ...{ peer: 'pkcs11', result: 'ok', seconds: null },
    ...{ uid: number(fields['uid']), token: text(fields['token']), key: text(fields['label']) },
    ...{
      operation: text(fields['operation']),
      times: number(fields['times']),
      bytes: number(fields['bytes']),
    },
  };
}

function latenciesOf({ latencies }: KeeperState): GivenRow[] {
  return latencies.map(({ operation, nanoseconds, times }) => ({
    ...{ labels: { operation }, sum: nanoseconds / 1e9, times },
  }));
}

function collectKeeper(metrics: Metrics, state: KeeperState): void {
  metrics.set('sidekey_keeper_locked_bytes', { of: 'all' }, state.lockedBytes);
  metrics.set('sidekey_keeper_locked_bytes', { of: 'used' }, state.usedBytes);
  metrics.set('sidekey_keeper_cells', {}, state.cells);
  metrics.set('sidekey_keeper_clients', {}, state.clients);
  metrics.set('sidekey_keeper_bindings', {}, state.bindings);
  metrics.set('sidekey_keeper_parked', {}, state.parked);
}

function collectLeases(metrics: Metrics, leftMs: readonly number[]): void {
  metrics.set('sidekey_cache_leases', {}, leftMs.length);
  metrics.reset('sidekey_cache_lease_seconds_left');
  if (leftMs.length === 0) return;
  const bounds = { first: Math.min(...leftMs), last: Math.max(...leftMs) };
  for (const [bound, ms] of Object.entries(bounds))
    metrics.set('sidekey_cache_lease_seconds_left', { bound }, ms / 1000);
}
