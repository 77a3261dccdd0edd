/** Gives a client the permission to use a key: the way a miss takes (ARCHITECTURE.md, "How a request travels", 2). */
import { SidekeyError } from '../errors.ts';
import { findCaller, getObject, type Caller } from './caller.ts';
import type { Client } from './clients.ts';
import { CKA } from './cryptoki.ts';
import type { Domain } from './domain.ts';
import { isEachRecorded } from './each-use.ts';
import { mayUse } from './key-access.ts';
import { allowedMechanisms, mayBeUsed, type Use } from './key-use.ts';
import type { Binding, CellId, Operation } from './ports.ts';
import { has, isKey, type TokenObject } from './objects/token-object.ts';

/** A context-specific login is good for one operation. */
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

/** Of these, the ones that the rules permit this caller. */
function boundOperations(domain: Domain, { client, token }: Caller, object: TokenObject): Bound[] {
  return permittedOperations(domain, object).filter((operation) =>
    mayUse(domain, client.peer, token, object, operation),
  );
}

/**
 * Binds all that the key permits, so that one miss serves them all. No change of its attributes comes between looking and
 * binding; but it may have been logged out of or destroyed, or its cell ended: then it is looked at again.
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

/** False: what was to be bound holds no longer. */
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
    // The answer waits for audit lines, also for those of others: what is bound must hold until it is on its way.
    await domain.audit.durable();
    if (bind.revoked) return false;
    return (await tell(domain, now.client, binding)) && !(isToldOf(binding) && bind.revoked);
  } finally {
    domain.binds.delete(bind);
  }
}

/** null: the cell that opens it has ended meanwhile. */
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

/** What is given once must be known to be there. */
function isToldOf({ credits, eachAsks }: Binding): boolean {
  return credits > 0 || eachAsks;
}

/** Clients of which the last binding was refused: with the next one the refusal is waited for, and is the program's answer. */
const REFUSED = new WeakSet<Client>();

function ended(domain: Domain, cell: CellId): false {
  if (!domain.cache.cellEnded(cell)) domain.sessionObjects.removeCell(cell);
  return false;
}

/**
 * The keeper does what one connection brings in its order: before it reads the answer to a miss it has the binding, or has refused
 * it, and then it asks again. What takes a binding away comes behind it. So nobody waits for its word unless it must be
 * known. False: the cell has ended.
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

/** Keys that a process was bound to before it asked: once each, and only so many. */
const AHEAD = new WeakMap<Client, Set<number>>();
const AHEAD_MAX = 64;

/**
 * Who searches and finds one key is about to use it. If that stands open anyway, what the process may do with it is bound before it
 * has its answer, so that its first use asks nobody. Nothing is opened, waited for, recorded or refused here: what is not
 * bound, or is taken away again, is asked for as ever.
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

/** Of what was looked at before something was waited for, nothing may have changed: the row is another one after every change. */
function mayBindAhead(domain: Domain, { client, token, role }: Caller, object: TokenObject): boolean {
  const holds =
    domain.catalogue.get(token.id) === token &&
    domain.catalogue.admits(client.peer, token) &&
    domain.logins.role(client.process, token.serial) === role &&
    !domain.changes.isTaken(object.handle);
  return holds && isKey(object) && object.resident === undefined && !has(object, CKA.ALWAYS_AUTHENTICATE);
}
