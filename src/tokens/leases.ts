/** The open leases, for administrators to list and wipe. A wiped key is opened again at its next use. */
import type { Peer } from '../access/peer.ts';
import type { CacheName } from '../cache/data-key-cache.ts';
import type { Domain } from './domain.ts';
import type { LeaseSummary } from './service.ts';
import type { TokenRow } from './store-port.ts';
import { labelOf } from './objects/token-object.ts';

/** Cache keys contain a space, which is awkward in a URL path. */
function idOf(key: string): string {
  return key.replaceAll(' ', '-');
}

function idOfToken({ serial }: TokenRow): string {
  return `token-${serial}`;
}

function labelIn(domain: Domain, { key, handle }: CacheName): string | null {
  const row = key.startsWith('object ') ? domain.store.object(handle) : null;
  if (row === null) return null;
  return labelOf(domain.objects.get({ tokenId: row.tokenId, client: null, seesPrivate: true }, handle));
}

function uniqueNames(domain: Domain): CacheName[] {
  return [...new Map(domain.cache.names().map((name) => [name.key, name])).values()];
}

export function listLeases(domain: Domain): LeaseSummary[] {
  const now = domain.clock.monotonic();
  const left = (endsAt: number): number => Math.max(0, Math.round(endsAt - now));
  const tokens = domain.catalogue.all().flatMap((token) => {
    const endsAt = domain.tokenKeys.endsAt(token);
    if (endsAt === null) return [];
    const id = idOfToken(token);
    return [{ id, kind: 'token', token: token.name, label: null, handle: null, leftMs: left(endsAt) }];
  });
  const keys = uniqueNames(domain).flatMap((name) => {
    const open = domain.cache.peek(name.key);
    if (open === null) return [];
    const [kind = ''] = name.key.split(' ');
    const what = { id: idOf(name.key), kind, token: name.token, label: labelIn(domain, name) };
    const handle = kind === 'object' ? name.handle : null;
    return [{ ...what, handle, leftMs: open.endsAt === null ? null : left(open.endsAt) }];
  });
  return [...tokens, ...keys];
}

/**
 * Wiping a token's key also wipes all objects opened with it. Returns the number wiped: 0 if there is no such
 * lease.
 */
export function wipeLease(domain: Domain, peer: Peer, id: string): number {
  const lease = listLeases(domain).find((each) => each.id === id);
  if (lease === undefined) return 0;
  const token = domain.catalogue.byName(lease.token);
  const name = domain.cache.names().find(({ key }) => idOf(key) === id);
  if (name !== undefined) domain.cache.forget(name.key, 'revoked');
  else if (token !== null) domain.tokenKeys.wipe(token, 'revoked');
  domain.audit.event('lease-wiped', peer, { lease: id, token: lease.token, label: lease.label });
  return 1;
}

/** Includes cells that the index does not know, because they survived a restart of the agent. */
export async function wipeLeases(domain: Domain, peer: Peer): Promise<number> {
  const leases = listLeases(domain).length;
  for (const { key } of domain.cache.names()) domain.cache.forget(key, 'revoked');
  for (const token of domain.catalogue.all()) domain.tokenKeys.wipe(token, 'revoked');
  const left = domain.keeper.pid === null ? [] : await domain.keeper.cells();
  const leased = left.filter(({ owner, leftMs }) => owner === null && leftMs !== null);
  await Promise.all(leased.map(({ cell }) => domain.keeper.drop(cell).catch(() => undefined)));
  domain.audit.event('lease-wiped', peer, { lease: 'all', leases });
  return leases;
}
