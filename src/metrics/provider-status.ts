/** What /v1/sidekey/providers tells: what the agent saw of each provider, and what the provider says when it is asked. */
import type { Provider } from '../tokens/ports.ts';
import type { ProviderRecord } from './observed-provider.ts';

export interface ProviderStatus extends ProviderRecord {
  /** Of its credentials; null: they do not end, or nobody can say. */
  readonly credentialSecondsLeft: number | null;
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
      const provider = providers.get(record.name);
      const health = ask ? ((await provider?.health()) ?? null) : null;
      return { ...record, credentialSecondsLeft: provider?.credentialSecondsLeft() ?? null, health };
    }),
  );
}
