/**
 * An object whose creation cannot be recorded is removed again: its creator is told that the act failed, so
 * nobody else would remove it.
 */
import type { Peer } from '../access/peer.ts';
import { SidekeyError } from '../errors.ts';
import type { Domain } from './domain.ts';
import type { TokenObject } from './objects/token-object.ts';
import type { ResidentKey, ResidentKeys } from './resident-port.ts';
import type { TokenRow } from './store-port.ts';

type Fields = Readonly<Record<string, string | number | boolean>>;

interface Maker {
  readonly peer: Peer | null;
  readonly token: TokenRow;
}

function takeBack(domain: Domain, object: TokenObject): void {
  domain.objects.remove(object);
  if (object.session?.cell != null) domain.cells.drop(object.session.cell);
}

export function recordMade(
  domain: Domain,
  { peer, token }: Maker,
  event: string,
  objects: readonly TokenObject[],
  fields: Fields = {},
): void {
  try {
    for (const object of objects) domain.audit.object(event, peer, token, object, fields);
  } catch (error) {
    for (const object of objects) takeBack(domain, object);
    throw error;
  }
}

/** A change refused by the store leaves no audit line; one whose line cannot be written is undone. */
export function replaceRecorded(
  domain: Domain,
  { peer, token }: Maker,
  { before, after }: { before: TokenObject; after: TokenObject },
  fields: Fields,
): void {
  domain.objects.replace(after);
  try {
    domain.audit.object('object-changed', peer, token, after, fields);
  } catch (error) {
    domain.objects.replace(before);
    throw error;
  }
}

/**
 * A service may delay or refuse the destruction: then the key stays there, and the caller still gets the
 * error of the audit log.
 */
export async function recordResidentMade(
  domain: Domain,
  { peer, token }: Maker,
  { service, key }: { service: ResidentKeys; key: ResidentKey },
): Promise<TokenObject[]> {
  const objects = await domain.resident.add(token, key);
  try {
    for (const object of objects)
      domain.audit.object('key-generated', peer, token, object, { service: key.id });
    return objects;
  } catch (error) {
    domain.resident.remove(token, key);
    await service.destroy(key).catch(() => undefined);
    throw error;
  }
}

/**
 * The audit line comes first, as nothing restores a destroyed object if its line cannot be written. If the
 * store could not remove the object, a second line, `object-kept`, corrects the first.
 */
export function removeRecorded(
  domain: Domain,
  peer: Peer | null,
  token: TokenRow,
  object: TokenObject,
): void {
  domain.audit.object('object-destroyed', peer, token, object);
  try {
    domain.objects.remove(object);
  } catch (error) {
    const code = error instanceof SidekeyError ? error.code : 'internal';
    domain.audit.object('object-kept', peer, token, object, { code });
    throw error;
  }
}
