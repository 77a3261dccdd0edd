import type { Caller } from '../caller.ts';
import type { Peer } from '../../access/peer.ts';
import { SidekeyError } from '../../errors.ts';
import type { Domain } from '../domain.ts';
import type { TokenObject } from '../objects/token-object.ts';
import type { TokenRow } from '../store-port.ts';

function takeBack(domain: Domain, object: TokenObject): void {
  domain.objects.remove(object);
  if (object.session?.cell != null) domain.cells.drop(object.session.cell);
}

/** What was made and cannot be recorded is taken back: its maker is told that the act failed, and nobody would ever remove it. */
export function recordMade(
  domain: Domain,
  { client, token }: Caller,
  event: string,
  objects: readonly TokenObject[],
  fields: Readonly<Record<string, string>> = {},
): void {
  try {
    for (const object of objects) domain.audit.object(event, client.peer, token, object, fields);
  } catch (error) {
    for (const object of objects) takeBack(domain, object);
    throw error;
  }
}

/**
 * The line comes first, as nothing brings a destroyed object back when its line cannot be written. An object that the store could
 * not remove has a second line: `object-kept`, for the first was not true.
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
