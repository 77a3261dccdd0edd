/**
 * Gives a client permission to use a key: how a miss is served (ARCHITECTURE.md, "How a request travels", 2).
 */
import { SidekeyError } from '../../errors.ts';
import { findCaller, getObject, type Caller } from '../caller.ts';
import type { Client } from '../clients.ts';
import { CKA } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import { isEachRecorded } from './each-use.ts';
import { mayUse } from './key-access.ts';
import { allowedMechanisms, mayBeUsed, type Use } from './key-use.ts';
import type { Binding, CellId, Operation } from '../ports.ts';
import { has, isKey, type TokenObject } from '../objects/token-object.ts';

/** A context-specific login allows one operation. */
export const CONTEXT_CREDITS = 1;

const OPERATIONS = [
  'encrypt',
  'decrypt',
  'sign',
  'verify',
  'sign_recover',
  'verify_recover',
] as const satisfies readonly (Operation & Use)[];
type Bound = (typeof OPERATIONS)[number];
const TRIES = 3;

export function permittedOperations(domain: Domain, object: TokenObject): Bound[] {
  return OPERATIONS.filter((operation) => mayBeUsed(object, operation, domain.clock.now()));
}

/** The operations that the rules allow this caller. */
function boundOperations(domain: Domain, { client, token }: Caller, object: TokenObject): Bound[] {
  return permittedOperations(domain, object).filter((operation) =>
    mayUse(domain, client.peer, token, object, operation),
  );
}

/**
 * Binds everything the key permits, so that one miss serves all operations. Attributes cannot change between
 * check and bind; but if the client was logged out, the object destroyed or the cell closed meanwhile, the
 * object is checked again.
 */
export async function bindObject(
  domain: Domain,
  caller: Caller,
  handle: number,
  credits: number,
): Promise<void> {
  const attempt = (): Promise<boolean> => tryBind(domain, caller, handle, credits);
  for (let tries = 0; tries < TRIES; tries++) if (await domain.changes.share(handle, attempt)) return;
  throw new SidekeyError('busy', `key ${handle} kept changing while it was being opened`);
}

/** False: the object must be checked again. */
async function tryBind(domain: Domain, caller: Caller, handle: number, credits: number): Promise<boolean> {
  const bind = { slot: caller.place.slot, handle, revoked: false };
  domain.binds.add(bind);
  try {
    const now = await findCaller(domain, caller.client.id, caller.place);
    const object = getObject(domain, now, handle, 'key_handle_invalid');
    const operations = boundOperations(domain, now, object);
    if (operations.length === 0)
      throw new SidekeyError('key_function_not_permitted', 'neither the key nor the rules permit any use');
    const cell = await takeCell(domain, now, object);
    if (cell === null) return false;
    const binding = { ...describe(domain, now, object, operations), cell, credits };
    // The answer has to wait for the audit log anyway, other requests' lines included. Waiting here, before
    // the bind is sent, lets the check below cover that time too.
    await domain.audit.durable();
    if (bind.revoked) return false;
    return (await tell(domain, now.client, binding)) && !(isToldOf(binding) && bind.revoked);
  } finally {
    domain.binds.delete(bind);
  }
}

/** null: the cell that opens it has closed in the meantime. */
async function takeCell(domain: Domain, { token }: Caller, object: TokenObject): Promise<CellId | null> {
  try {
    return await domain.cells.take(token, object);
  } catch (error) {
    if (error instanceof SidekeyError && error.code === 'cell_unknown') return null;
    throw error;
  }
}

function describe(
  domain: Domain,
  { client, token, place }: Caller,
  object: TokenObject,
  operations: readonly Bound[],
): Omit<Binding, 'cell' | 'credits'> {
  return {
    ...{ client: client.id, slot: place.slot, handle: object.handle, operations },
    mechanisms: allowedMechanisms(domain, object),
    contextLogin: has(object, CKA.ALWAYS_AUTHENTICATE),
    eachAsks: isEachRecorded(domain, token, object),
  };
}

/** Credits and per-use permission are granted once, so the keeper must confirm that it has them. */
function isToldOf({ credits, eachAsks }: Binding): boolean {
  return credits > 0 || eachAsks;
}

/**
 * Clients whose last binding was refused: the next one waits for the keeper's answer, so that the program
 * sees the refusal.
 */
const REFUSED = new WeakSet<Client>();

function ended(domain: Domain, cell: CellId): false {
  if (!domain.cache.cellEnded(cell)) domain.sessionObjects.removeCell(cell);
  return false;
}

/**
 * The keeper processes one connection in order: it has the binding (or has refused it, and asks again) before
 * it reads the answer to the miss, and any unbind follows later. So nobody waits for its reply unless the
 * result must be known. False: the cell has closed.
 */
async function tell(domain: Domain, client: Client, binding: Binding): Promise<boolean> {
  const told = domain.keeper.bind(binding).then(
    () => true,
    (error: unknown) => {
      if (error instanceof SidekeyError && error.code === 'cell_unknown') return ended(domain, binding.cell);
      REFUSED.add(client);
      throw error;
    },
  );
  if (REFUSED.delete(client) || isToldOf(binding)) return told;
  told.catch(() => undefined);
  return true;
}

/** Keys that a process was bound to before it asked: each at most once, and a bounded number. */
const AHEAD = new WeakMap<Client, Set<number>>();
const AHEAD_MAX = 64;

/**
 * A program that searches and finds a single key is about to use it. If that key is already open, bind it
 * before answering the search, so that the first use causes no miss. This opens, awaits, records and refuses
 * nothing; a key that is not bound here, or is unbound again, is resolved by the usual miss.
 */
export function bindAhead(domain: Domain, caller: Caller, object: TokenObject): void {
  const { client, token } = caller;
  const cell = domain.cells.openCell(object.handle);
  const done = AHEAD.get(client) ?? new Set();
  if (cell === null || done.size >= AHEAD_MAX || done.has(object.handle)) return;
  if (!mayBindAhead(domain, caller, object) || isEachRecorded(domain, token, object)) return;
  const operations = boundOperations(domain, caller, object);
  if (operations.length === 0) return;
  AHEAD.set(client, done.add(object.handle));
  tell(domain, client, { ...describe(domain, caller, object, operations), cell, credits: 0 }).catch(
    () => undefined,
  );
}

/** Nothing checked before an await may have changed since: every change replaces the row. */
function mayBindAhead(domain: Domain, { client, token, role }: Caller, object: TokenObject): boolean {
  const holds =
    domain.catalogue.get(token.id) === token &&
    domain.catalogue.admits(client.peer, token) &&
    domain.logins.role(client.process, token.serial) === role &&
    !domain.changes.isTaken(object.handle);
  return holds && isKey(object) && object.resident === undefined && !has(object, CKA.ALWAYS_AUTHENTICATE);
}
