/** The leases that stand open, as an administrator sees them and wipes them. What is wiped is opened anew by its next use. */
import type { Peer } from '../access/peer.ts';
import type { Domain } from './domain.ts';
import type { LeaseSummary } from './service.ts';
import type { TokenRow } from './store-port.ts';
import { labelOf } from './token-object.ts';

/** The cache's keys are words with a space, which does not stand well in a path. */
function idOf(key: string): string {
  return key.replaceAll(' ', '-');
}

function describe(domain: Domain, key: string): Pick<LeaseSummary, 'token' | 'label' | 'handle'> {
  const [kind = '', name = ''] = key.split(' ');
  const tokenOf = (matches: (token: TokenRow) => boolean): string =>
    domain.catalogue.all().find(matches)?.name ?? '';
  if (kind !== 'object')
    return { token: tokenOf(({ serial }) => serial === name), label: null, handle: null };
  const handle = Number(name);
  const row = domain.store.object(handle);
  const token = tokenOf(({ id }) => id === row?.tokenId);
  if (row === null) return { token, label: null, handle };
  const object = domain.objects.get({ tokenId: row.tokenId, client: null, seesPrivate: true }, handle);
  return { token, label: labelOf(object), handle };
}

export function listLeases(domain: Domain): LeaseSummary[] {
  const now = domain.clock.monotonic();
  return [...new Set(domain.cache.keys())].flatMap((key) => {
    const open = domain.cache.peek(key);
    if (open === null) return [];
    const leftMs = open.endsAt === null ? null : Math.max(0, Math.round(open.endsAt - now));
    return [{ id: idOf(key), kind: key.split(' ')[0] ?? '', ...describe(domain, key), leftMs }];
  });
}

/** Answers how many were wiped: 0 when there is no such lease. */
export function wipeLease(domain: Domain, peer: Peer, id: string): number {
  const key = domain.cache.keys().find((each) => idOf(each) === id);
  if (key === undefined) return 0;
  const { token, label } = describe(domain, key);
  domain.cache.forget(key);
  domain.audit.event('lease-wiped', peer, { lease: id, token, label });
  return 1;
}

/** Also those that the index does not know: cells that outlived a restart of the agent, token keys that were renewed. */
export async function wipeLeases(domain: Domain, peer: Peer): Promise<number> {
  const keys = [...new Set(domain.cache.keys())];
  for (const key of keys) domain.cache.forget(key);
  const left = domain.keeper.pid === null ? [] : await domain.keeper.cells();
  const leased = left.filter(({ owner, leftMs }) => owner === null && leftMs !== null);
  await Promise.all(leased.map(({ cell }) => domain.keeper.drop(cell).catch(() => undefined)));
  domain.audit.event('lease-wiped', peer, { lease: 'all', leases: keys.length });
  return keys.length;
}
