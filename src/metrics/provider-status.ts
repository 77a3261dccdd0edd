/**
 * The contents of /v1/sidekey/providers: what the agent observed of each provider, and the provider's own
 * answer if asked.
 */
import type { Provider } from '../tokens/ports.ts';
import type { ProviderRecord } from './observed-provider.ts';

export interface ProviderStatus extends ProviderRecord {
  /** Until its credentials expire; null: never, or unknown. */
  readonly credentialSecondsLeft: number | null;
  /** null: not asked. */
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
