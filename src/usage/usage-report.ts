/** Summarises the ledger: calls of key services made and saved, and their cost at the configured prices. */
import type { CallRow, UsageRow } from './usage-ledger.ts';

export interface PriceList {
  readonly currency: string;
  /** Price per call, by provider. */
  readonly prices: Readonly<Record<string, number>>;
}

export interface ProviderUsage {
  readonly provider: string;
  /** Uses of keys of this provider's tokens. */
  readonly operations: number;
  readonly calls: number;
  /** Without the cache, each use would have been a call. */
  readonly callsSaved: number;
  /** null: no price is configured. */
  readonly cost: number | null;
  readonly costSaved: number | null;
}

export interface UsageReport {
  readonly from: string;
  readonly to: string;
  readonly currency: string;
  readonly usage: readonly UsageRow[];
  readonly calls: readonly CallRow[];
  readonly providers: readonly ProviderUsage[];
}

function sum(rows: readonly { readonly times: number }[]): number {
  return rows.reduce((total, { times }) => total + times, 0);
}

/** A double has 15 significant decimal digits: anything beyond is not part of a price. */
const DIGITS = 15;

function costOf(calls: number, price: number): number {
  return Number((calls * price).toPrecision(DIGITS));
}

export function reportUsage(
  period: { readonly from: string; readonly to: string },
  rows: { readonly usage: readonly UsageRow[]; readonly calls: readonly CallRow[] },
  providerOf: (token: string) => string | null,
  { currency, prices }: PriceList,
): UsageReport {
  const named = rows.usage.map((row) => ({ ...row, provider: providerOf(row.token) }));
  const names = new Set([...named, ...rows.calls].map(({ provider }) => provider));
  const providers = [...names]
    .filter((provider) => provider !== null)
    .sort()
    .map((provider) => {
      const operations = sum(named.filter((row) => row.provider === provider));
      const calls = sum(rows.calls.filter((row) => row.provider === provider));
      const callsSaved = Math.max(0, operations - calls);
      const price = prices[provider];
      const cost = price === undefined ? null : costOf(calls, price);
      const costSaved = price === undefined ? null : costOf(callsSaved, price);
      return { provider, operations, calls, callsSaved, cost, costSaved };
    });
  return { ...period, currency, ...rows, providers };
}
