import { SidekeyError } from '../../errors.ts';
import type { UsageReport } from '../../usage/usage-report.ts';
import { askAgent } from '../agent-client.ts';
import { API_OPTION, apiSocket, JSON_OPTION, textOption, type Command, type Invocation } from '../command.ts';
import { formatBytes } from '../progress.ts';
import { formatTable } from '../table.ts';

const DAY = /^\d{4}-\d\d-\d\d$/;

/** The days asked for, in UTC like the ledger; the agent's default of thirty days if none are. */
function periodOf({ values }: Invocation, now: Date): URLSearchParams {
  const query = new URLSearchParams();
  const today = now.toISOString().slice(0, 10);
  if (values['month']) query.set('from', `${today.slice(0, 7)}-01`);
  for (const name of ['from', 'to']) {
    const day = textOption(values, name);
    if (day === undefined) continue;
    if (!DAY.test(day))
      throw new SidekeyError('usage', `--${name} takes a day such as ${today}, not "${day}"`);
    if (values['month']) throw new SidekeyError('usage', 'usage: give either --month, or --from and --to');
    query.set(name, day);
  }
  return query;
}

/** A spreadsheet takes a cell that begins so for a formula. */
const FORMULA = /^[=+\-@\t\r]/;

/** RFC 4180. Labels come from applications: those that a spreadsheet would calculate get an apostrophe in front. */
function csvCell(value: string | number): string {
  const text = typeof value === 'string' && FORMULA.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function csvLine(cells: readonly (string | number)[]): string {
  return cells.map(csvCell).join(',');
}

const COLUMNS = ['day', 'peer', 'uid', 'token', 'key', 'operation', 'times', 'bytes'] as const;

function sayCsv({ usage }: UsageReport, say: (line: string) => void): void {
  say(csvLine(COLUMNS));
  for (const row of usage) say(csvLine(COLUMNS.map((column) => row[column])));
}

interface Total {
  readonly row: UsageReport['usage'][number];
  times: number;
  bytes: number;
}

/** Sums over the period, the most used first. */
function totals({ usage }: UsageReport): Total[] {
  const byUse = new Map<string, Total>();
  for (const row of usage) {
    const { peer, uid, token, key, operation } = row;
    const name = JSON.stringify([peer, uid, token, key, operation]);
    const total = byUse.get(name) ?? { row, times: 0, bytes: 0 };
    total.times += row.times;
    total.bytes += row.bytes;
    byUse.set(name, total);
  }
  return [...byUse.values()].sort((a, b) => b.times - a.times);
}

function sayTables(report: UsageReport, say: (line: string) => void): void {
  say(`${report.from} to ${report.to}`);
  say('');
  const uses = totals(report).map(({ row, times, bytes }) => {
    const who = [row.peer, String(row.uid), row.token, row.key, row.operation];
    return [...who, String(times), formatBytes(bytes)];
  });
  for (const line of formatTable(['PEER', 'UID', 'TOKEN', 'KEY', 'OPERATION', 'TIMES', 'BYTES'], uses))
    say(line);
  say('');
  const money = (amount: number | null): string =>
    amount === null ? 'no price' : `${amount.toFixed(2)} ${report.currency}`;
  const providers = report.providers.map((each) => [
    ...[each.provider, String(each.operations), String(each.calls), String(each.callsSaved)],
    ...[money(each.cost), money(each.costSaved)],
  ]);
  for (const line of formatTable(['PROVIDER', 'USES', 'CALLS', 'SAVED', 'COST', 'COST SAVED'], providers))
    say(line);
}

export const usageCommand: Command = {
  name: 'usage',
  summary: 'show who used which key how often, and what the key service would have cost',
  help: 'Grouped by day (UTC). SAVED: key service calls avoided by the cache. Costs use the prices in the configuration.\nPKCS#11 uses are recorded once a minute.',
  options: {
    month: { type: 'boolean', help: 'this month to date; default: the last 30 days' },
    from: { type: 'string', value: 'DAY', help: 'the first day: 2026-01-31' },
    to: { type: 'string', value: 'DAY', help: 'the last day' },
    csv: {
      type: 'boolean',
      help: 'CSV with a line for each day, peer, key and operation; a label that begins like a formula gets an apostrophe in front',
    },
    ...JSON_OPTION,
    ...API_OPTION,
  },
  positionals: [],
  examples: ['sidekey usage --month', 'sidekey usage --from 2026-01-01 --to 2026-03-31 --csv > quarter.csv'],
  async run(invocation) {
    const { values, say } = invocation;
    if (values['csv'] && values['json'])
      throw new SidekeyError('usage', 'usage: give either --csv or --json');
    const query = periodOf(invocation, new Date());
    const report = await askAgent<UsageReport>(apiSocket(invocation), `/v1/sidekey/usage?${query}`);
    if (values['json']) say(JSON.stringify(report, null, 2));
    else if (values['csv']) sayCsv(report, say);
    else sayTables(report, say);
    return 0;
  },
};
