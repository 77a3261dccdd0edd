/** What /v1/sidekey/providers tells: what the agent saw of each provider, and what the provider says when it is asked. */
import type { Provider } from '../tokens/ports.ts';
import type { ProviderRecord } from './observed-provider.ts';

export interface ProviderStatus extends ProviderRecord {
  /** null: it was not asked. */
  readonly health: { readonly ok: boolean; readonly detail: string } | null;
}

export function providerStatus(
  providers: ReadonlyMap<string, Provider>,
  records: readonly ProviderRecord[],
  ask: boolean,
): Promise<ProviderStatus[]> {
  return Promise.all(
    records.map(async (record) => {
      const health = ask ? ((await providers.get(record.name)?.health()) ?? null) : null;
      return { ...record, health };
    }),
  );
}
