/** Brings the domain and a keeper to the same state: after an attach, and when rules have changed. */
import { revoke, type Domain } from './domain.ts';
import { readSessionNote } from './objects/session-objects.ts';
import type { CellSeen, ClientId } from './ports.ts';

/**
 * Takes over a cell that survived a restart of the agent. If its note is not understood, its lease ends it.
 */
function adopt(domain: Domain, seen: CellSeen): void {
  const { cell, owner, leftMs, note } = seen;
  if (note === null || note.length === 0 || domain.tokenKeys.adopt(seen)) return;
  const text = note.toString('latin1');
  const [, handle] = /^object (\d{1,15})$/.exec(text) ?? [];
  if (owner === null && handle !== undefined) return adoptObject(domain, cell, Number(handle), leftMs);
  const object = owner === null ? null : readSessionNote(note, owner, cell);
  if (object !== null && !domain.sessionObjects.has(object.handle)) domain.sessionObjects.put(object);
}

function adoptObject(domain: Domain, cell: bigint, handle: number, leftMs: number | null): void {
  const token = domain.catalogue.get(domain.store.object(handle)?.tokenId ?? 0);
  if (token === null) return domain.cells.drop(cell);
  domain.cells.adopt(cell, token.name, handle, leftMs);
}

/** Bindings that should have been removed while the keeper was unreachable still exist: remove all. */
export async function attach(domain: Domain, boot: bigint, previousBoot: bigint | null): Promise<void> {
  if (boot !== previousBoot) {
    domain.cache.clear();
    domain.tokenKeys.keeperChanged();
    domain.sessionObjects.keeperChanged();
  }
  domain.logins.keeperIs(boot);
  const seen = await domain.keeper.clients();
  await Promise.all(seen.map((client) => domain.clients.open(client)));
  const present = new Set(seen.map(({ client }) => client));
  for (const id of domain.clients.ids()) if (!present.has(id)) await closeClient(domain, id);
  domain.logins.endGone((client) => domain.clients.ids().includes(client));
  for (const cell of await domain.keeper.cells()) adopt(domain, cell);
  for (const { slot } of domain.catalogue.all()) await revoke(domain, slot);
  domain.tokenKeys.prewarm();
}

/** Rules may have become stricter: drops every binding, those in progress included, and every kept answer. */
export async function rulesChanged(domain: Domain): Promise<void> {
  for (const bind of domain.binds) bind.revoked = true;
  if (domain.keeper.pid === null) return;
  const slots = domain.catalogue.all().map(({ slot }) => slot);
  for (const slot of new Set([0, ...slots])) await domain.keeper.unbind(null, slot, null);
}

export async function closeClient(domain: Domain, id: ClientId): Promise<void> {
  domain.sessionObjects.removeClient(id);
  domain.residentOperations.dropClient(id);
  await domain.clients.close(id);
}
