/** Who asks, on which token, in which session: the checks that every handler makes first. */
import type { Peer } from '../access/peer.ts';
import { SidekeyError, type ErrorCode } from '../errors.ts';
import type { WireReader } from '../wire/buffer.ts';
import type { AttributeMap } from './objects/attribute-value.ts';
import { readBool } from './objects/attribute-value.ts';
import type { Client } from './clients.ts';
import type { Role } from './login/logins.ts';
import { CKA } from './cryptoki.ts';
import { NOT_ADMITTED, recordDenied } from './denials.ts';
import type { Domain } from './domain.ts';
import { getFact, isFact } from './objects/facts.ts';
import type { View } from './objects/objects.ts';
import type { ClientId } from './ports.ts';
import type { TokenRow } from './store-port.ts';
import { isKey, labelOf, type TokenObject } from './objects/token-object.ts';

export interface Place {
  readonly slot: number;
  /** The session's number, chosen by the module. */
  readonly session: number;
  readonly readWrite: boolean;
}

export interface Caller {
  readonly client: Client;
  readonly token: TokenRow;
  readonly role: Role | null;
  readonly place: Place;
  readonly view: View;
}

export function readPlace(reader: WireReader): Place {
  return { slot: reader.number(), session: reader.number(), readWrite: reader.u8() !== 0 };
}

/**
 * slot_id_invalid if the token's rules do not admit the peer, as if the slot did not exist. `handle` is what
 * will be looked up next: the list of resident keys may have to be fetched for it.
 */
export async function findCaller(
  domain: Domain,
  id: ClientId,
  place: Place,
  handle: number | null = null,
): Promise<Caller> {
  const client = await domain.clients.find(id);
  const token = demandToken(domain, client, place.slot);
  if (handle !== null) await domain.resident.settle(token, handle);
  const role = domain.logins.role(client.process, token.serial);
  const seesPrivate = role === 'user' || !domain.catalogue.needsLogin(token);
  const view = { tokenId: token.id, client: id, seesPrivate, ...hiddenFrom(domain, client, token) };
  return { client, token, role, place, view };
}

/** Hides keys that no rule lets the peer use. Objects that are not keys stay visible. */
function hiddenFrom({ access }: Domain, { peer }: Client, { name }: TokenRow): Pick<View, 'hides'> {
  if (access.sees(peer, name, null)) return {};
  return { hides: (object) => isKey(object) && !access.sees(peer, name, labelOf(object)) };
}

function demandToken(domain: Domain, client: Client, slot: number): TokenRow {
  try {
    return domain.catalogue.inSlot(client.peer, slot);
  } catch (error) {
    recordDenial(domain, client, slot);
    throw error;
  }
}

function recordDenial(domain: Domain, client: Client, slot: number): void {
  const token = domain.catalogue.all().find((row) => row.slot === slot);
  if (token !== undefined) recordDenied(domain, client.peer, token, NOT_ADMITTED);
}

export function getObject(domain: Domain, caller: Caller, handle: number, code?: ErrorCode): TokenObject {
  if (isFact(handle)) return getFact(domain, caller.token.id, handle, code ?? 'object_handle_invalid');
  return domain.objects.get(caller.view, handle, code);
}

/**
 * What a session may create or change: token objects if it is read-write, private objects if the user is
 * logged in.
 */
export function checkWritable(caller: Caller, attributes: AttributeMap): void {
  if (readBool(attributes, CKA.TOKEN) && !caller.place.readWrite)
    throw new SidekeyError('session_read_only', 'a read-only session cannot change token objects');
  if (readBool(attributes, CKA.PRIVATE) && !caller.view.seesPrivate)
    throw new SidekeyError('user_not_logged_in', 'creating or changing private objects requires a login');
}

/** CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE. */
export function checkAllows(object: TokenObject, flag: number, name: string): void {
  if (!readBool(object.attributes, flag))
    throw new SidekeyError('action_prohibited', `the object has ${name} false`);
}

/** token_not_present if the token was initialized since the caller was found. */
export function checkSameToken(domain: Domain, token: TokenRow): void {
  if (domain.catalogue.get(token.id)?.serial !== token.serial)
    throw new SidekeyError('token_not_present', `token ${token.label} was initialized in the meantime`);
}

/** The actor and the token, for the audit log. */
export function actOf({ client, token }: Caller): { peer: Peer; token: TokenRow } {
  return { peer: client.peer, token };
}
