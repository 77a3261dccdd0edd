/** Usage is counted by day, peer, key and operation, survives a restart, and comes to calls made and saved. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import type { OperationSeen } from '../../src/metrics/operation-seen.ts';
import { UsageLedger } from '../../src/usage/usage-ledger.ts';
import { reportUsage } from '../../src/usage/usage-report.ts';

const DAY_MS = 86_400_000;
const START = Date.parse('2026-01-31T23:59:00Z');
const SEEN: OperationSeen = {
  ...{ peer: 'http', uid: 5, token: 'main', key: 'k', operation: 'encrypt' },
  ...{ result: 'ok', times: 1, bytes: 10, seconds: 0 },
};

t.test('rows add up within a day and across restarts; failures do not count', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sidekey-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'usage.db');
  let now = START;
  let ledger = new UsageLedger(path, () => now);
  t.equal(statSync(path).mode & 0o777, 0o600);
  for (let i = 0; i < 3; i++) ledger.operated(SEEN);
  ledger.operated({ ...SEEN, result: 'message_cap' });
  ledger.operated({ ...SEEN, peer: 'pkcs11', times: 100, bytes: 7 });
  ledger.close();
  ledger = new UsageLedger(path, () => now);
  ledger.operated(SEEN);
  now += 2 * 60_000;
  ledger.operated(SEEN);
  const { usage } = ledger.read('2026-01-01', '2026-01-31');
  const counts = usage.map(({ day, peer, times, bytes }) => [day, peer, times, bytes]);
  t.same(counts, [
    ['2026-01-31', 'http', 4, 40],
    ['2026-01-31', 'pkcs11', 100, 7],
  ]);
  t.equal(ledger.read('2026-02-01', '2026-02-01').usage.length, 1);
  now += 401 * DAY_MS;
  ledger.operated(SEEN);
  t.equal(ledger.read('2000-01-01', '2099-01-01').usage.length, 1, 'what is too old is gone');
  ledger.close();
});

t.test('while the disk takes nothing uses go on, and what waits is bounded', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sidekey-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'usage.db');
  const ledger = new UsageLedger(path, () => START);
  const other = new DatabaseSync(path);
  other.exec('BEGIN EXCLUSIVE');
  for (let i = 0; i < 10_500; i++) ledger.operated({ ...SEEN, key: `k${i}` });
  t.throws(() => ledger.flush(), /locked/);
  other.exec('ROLLBACK');
  other.close();
  ledger.flush();
  t.equal(ledger.read('2026-01-31', '2026-01-31').usage.length, 10_000);
  for (let i = 0; i < 10_500; i++) ledger.operated({ ...SEEN, key: `k${i}` });
  t.equal(ledger.read('2026-01-31', '2026-01-31').usage.length, 10_500, 'and all is counted again');
  ledger.close();
});

t.test('calls that were billed are counted, and set against what was done', async (t) => {
  const ledger = new UsageLedger(':memory:', () => START);
  for (const result of ['ok', 'ok', 'provider_unreachable'])
    ledger.called({ provider: 'aws', call: 'open', result, seconds: 1 });
  ledger.called({ provider: 'aws', call: 'health', result: 'ok', seconds: 1 });
  ledger.operated({ ...SEEN, times: 1000 });
  ledger.operated({ ...SEEN, token: 'other', times: 5 });
  ledger.operated({ ...SEEN, token: 'gone', times: 5 });
  const period = { from: '2026-01-31', to: '2026-01-31' };
  const providerOf = (token: string) =>
    new Map([
      ['main', 'aws'],
      ['other', 'local'],
    ]).get(token) ?? null;
  const prices = { currency: 'USD', prices: { aws: 0.5 } };
  const report = reportUsage(period, ledger.read(period.from, period.to), providerOf, prices);
  t.same(report.providers, [
    { provider: 'aws', operations: 1000, calls: 2, callsSaved: 998, cost: 1, costSaved: 499 },
    { provider: 'local', operations: 5, calls: 0, callsSaved: 5, cost: null, costSaved: null },
  ]);
});

t.test('what calls cost is a decimal number, as the price is', async (t) => {
  const cost = (price: number, times: number): number | null | undefined =>
    reportUsage(
      { from: '2026-11-01', to: '2026-11-30' },
      { usage: [], calls: [{ day: '2026-11-01', provider: 'aws', call: 'Decrypt', times }] },
      () => null,
      { currency: 'USD', prices: { aws: price } },
    ).providers[0]?.cost;
  t.equal(cost(0.03, 1001), 30.03, 'not 30.029999999999998');
  t.equal(cost(0.0000000001, 7), 0.0000000007);
});
