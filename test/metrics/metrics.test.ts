/** The table of metrics, its page, the registry made from it, and what the wrappers tell it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { SidekeyError } from '../../src/errors.ts';
import { formatMetricsPage, METRICS, type MetricRow } from '../../src/metrics/metric-table.ts';
import { Metrics } from '../../src/metrics/metrics.ts';
import { createLogger } from '../../src/log/logger.ts';
import { Observation } from '../../src/metrics/observation.ts';
import type { Provider } from '../../src/tokens/ports.ts';
import { UsageLedger } from '../../src/usage/usage-ledger.ts';
import { startApi, OWN_PEER } from '../api/api-under-test.ts';
import { createTokenDouble } from '../api/token-double.ts';

const PAGE = join(resolve(import.meta.dirname, '../..'), 'docs/metrics.md');

t.test('docs/metrics.md is generated (UPDATE_DOCS=1 writes it)', async (t) => {
  if (process.env['UPDATE_DOCS']) writeFileSync(PAGE, formatMetricsPage());
  t.equal(readFileSync(PAGE, 'utf8'), formatMetricsPage());
});

t.test('names and labels are as Prometheus asks', async (t) => {
  for (const [name, { type, labels }] of Object.entries<MetricRow>(METRICS)) {
    t.match(name, /^sidekey_[a-z_]+$/);
    if (type === 'counter') t.match(name, /_total$/);
    if (type === 'histogram') t.match(name, /_seconds$/);
    for (const label of labels) t.match(label, /^[a-z_]+$/);
  }
});

t.test('the registry shows exactly the rows of the table', async (t) => {
  const shown = (await new Metrics().text()).matchAll(/^# TYPE (\S+) (\S+)$/gm);
  const found = [...shown].map(([, name, type]) => [name, type]);
  t.same(
    found,
    Object.entries(METRICS).map(([name, { type }]) => [name, type]),
  );
});

function makeObservation() {
  const time = { ms: 0 };
  const clock = { now: () => time.ms, monotonic: () => time.ms };
  return {
    time,
    observation: new Observation({
      clock,
      version: '9',
      ledger: new UsageLedger(':memory:', clock.now),
      log: createLogger('silent'),
    }),
  };
}

t.test(
  'calls of a provider are counted by how they ended, and its going down and up are events',
  async (t) => {
    const { observation, time } = makeObservation();
    let failure: SidekeyError | null = null;
    let left: number | null = null;
    const provider: Provider = {
      ...{ name: 'aws', kind: 'aws-kms', bare: null, random: null, resident: null },
      credentialSecondsLeft: () => left,
      watch: () => undefined,
      createDataKey: async () => ({ cell: 1n, wrapped: Buffer.alloc(1) }),
      openDataKey: async () => {
        time.ms += 30;
        if (failure) throw failure;
        return 1n;
      },
      health: async () => ({ ok: true, detail: '' }),
      close: async () => undefined,
    };
    const observed = observation.provider(provider);
    const types: string[] = [];
    observation.events.subscribe(({ type }) => types.push(type));
    const open = () => observed.openDataKey(Buffer.alloc(1), 'p', 1);
    await open();
    failure = new SidekeyError('keeper_absent', 'no keeper');
    await t.rejects(open());
    t.same(types, [], 'an absent keeper says nothing of the provider');
    failure = new SidekeyError('provider_unreachable', 'nobody');
    await t.rejects(open());
    await t.rejects(open());
    failure = null;
    await open();
    t.same(types, ['provider-down', 'provider-up']);
    t.match(observation.providers, [{ name: 'aws', up: true, calls: 4, errors: 2 }]);
    const text = await observation.metrics.text();
    t.match(text, 'sidekey_provider_calls_total{provider="aws",call="open",result="provider_unreachable"} 2');
    t.match(text, 'sidekey_provider_call_seconds_bucket{le="0.05",provider="aws",call="open"} 5');
    t.match(text, 'sidekey_provider_call_seconds_bucket{le="0.025",provider="aws",call="open"} 0');
    const credentials = 'sidekey_provider_credential_seconds_left{provider="aws"}';
    t.notMatch(text, credentials, 'none that end');
    left = 90;
    t.match(await observation.metrics.text(), `${credentials} 90`);
    left = null;
    t.notMatch(await observation.metrics.text(), credentials);
  },
);

t.test('operations by HTTP are counted by token, operation and result', async (t) => {
  const { observation } = makeObservation();
  const double = createTokenDouble();
  const { request } = await startApi(t, {
    tokens: observation.door(double, 'http'),
    metrics: observation.metrics,
  });
  await request('POST', '/v1/transit/keys/k');
  await request('POST', '/v1/transit/encrypt/k', { plaintext: 'aGVsbG8=' });
  double.failures.push('message_cap');
  await request('POST', '/v1/transit/encrypt/k', { plaintext: 'aGVsbG8=' });
  await request('GET', '/no/such/route');
  const { text, headers } = await request('GET', '/metrics');
  t.match(text, 'sidekey_operations_total{peer="http",token="main",operation="encrypt",result="ok"} 1');
  t.match(
    text,
    'sidekey_operations_total{peer="http",token="main",operation="encrypt",result="message_cap"} 1',
  );
  t.match(text, 'sidekey_operation_bytes_total{peer="http",token="main",operation="encrypt"} 10');
  t.match(text, 'sidekey_http_requests_total{method="POST",route="/v1/:mount/encrypt/:name",status="200"} 1');
  t.match(text, 'sidekey_http_requests_total{method="GET",route="",status="404"} 1');
  t.match(headers, { 'content-type': /^text\/plain; version=0\.0\.4/ });
});

t.test('audited acts count as logins and denials, and as uses by PKCS#11 programs', async (t) => {
  const { observation } = makeObservation();
  const written: string[] = [];
  const audit = observation.audit({
    record: (event) => void written.push(event),
    durable: () => Promise.resolve(),
  });
  audit.record('login', { token: 'a', role: 'user' });
  audit.record('denied', { token: 'a', reason: 'not admitted' });
  audit.record('login-failed', { token: 'a', role: 'user' });
  const used = { uid: 5, token: 'a', label: 'k', operation: 'sign', times: 7, bytes: 70 };
  audit.record('key-used', used);
  t.same(written, ['login', 'denied', 'login-failed', 'key-used']);
  const text = await observation.metrics.text();
  t.match(text, 'sidekey_logins_total{token="a",role="user"} 1');
  t.match(text, 'sidekey_denials_total{token="a"} 2');
  t.match(text, 'sidekey_operations_total{peer="pkcs11",token="a",operation="sign",result="ok"} 7');
});

t.test('who is not admitted reads no metrics', async (t) => {
  const stranger = { ...OWN_PEER, uid: 54321 };
  const { request } = await startApi(t, { peerOf: () => stranger });
  t.equal((await request('GET', '/metrics')).status, 403);
  const welcome = await startApi(t, {
    peerOf: () => stranger,
    mayReadMetrics: ({ uid }) => uid === stranger.uid,
  });
  t.equal((await welcome.request('GET', '/metrics')).status, 200);
});

t.test('leases that are granted, renewed and end are events, and breakers a gauge', async (t) => {
  const { observation } = makeObservation();
  const types: string[] = [];
  observation.events.subscribe(({ type }) => types.push(type));
  const lease = { token: 'a', handle: 7 } as const;
  for (const reason of ['asked', 'prewarm', 'refresh', 'offline'] as const)
    observation.cache({ is: 'lease-granted', ...lease, reason, leaseMs: 5 });
  for (const reason of ['expired', 'unused', 'revoked', 'refused'] as const)
    observation.cache({ is: 'lease-ended', ...lease, reason });
  t.same(types, [
    ...['lease-granted', 'lease-granted', 'lease-refreshed', 'lease-refreshed'],
    ...['lease-expired', 'lease-expired', 'lease-revoked', 'lease-revoked'],
  ]);
  observation.cache({ is: 'breaker-changed', provider: 'aws', state: 'open' });
  t.match(await observation.metrics.text(), 'sidekey_provider_breaker_state{provider="aws"} 2');
});
