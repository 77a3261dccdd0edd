/** Gives a client the permission to use a key: the way a miss takes (ARCHITECTURE.md, "How a request travels", 2). */
import { SidekeyError } from '../errors.ts';
import { findCaller, getObject, type Caller } from './caller.ts';
import { CKA } from './cryptoki.ts';
import type { Domain } from './domain.ts';
import { isEachRecorded } from './each-use.ts';
import { mayUse } from './key-access.ts';
import { allowedMechanisms, mayBeUsed, type Use } from './key-use.ts';
import type { CellId, Operation } from './ports.ts';
import { has, type TokenObject } from './objects/token-object.ts';

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

/** False: what was bound held no longer when it was, and is unbound. */
async function tryBind(domain: Domain, caller: Caller, handle: number, credits: number): Promise<boolean> {
  const { slot } = caller.place;
  const bind = { slot, handle, revoked: false };
  domain.binds.add(bind);
  try {
    const now = await findCaller(domain, caller.client.id, caller.place);
    const object = getObject(domain, now, handle, 'key_handle_invalid');
    const bound = await bindNow(domain, now, object, credits);
    // The answer waits for audit lines, also for those of others: what is bound must hold until it is on its way.
    await domain.audit.durable();
    if (bound && !bind.revoked) return true;
  } finally {
    domain.binds.delete(bind);
  }
  await domain.keeper.unbind(caller.client.id, slot, handle);
  return false;
}

async function bindNow(
  domain: Domain,
  caller: Caller,
  object: TokenObject,
  credits: number,
): Promise<boolean> {
  const { client, token, place } = caller;
  const operations = boundOperations(domain, caller, object);
  if (operations.length === 0)
    throw new SidekeyError('key_function_not_permitted', 'neither key nor rules permit any use');
  let cell: CellId | null = null;
  try {
    cell = await domain.cells.take(token, object);
    await domain.keeper.bind({
      ...{ client: client.id, slot: place.slot, handle: object.handle, cell, credits },
      operations,
      mechanisms: allowedMechanisms(domain, object),
      contextLogin: has(object, CKA.ALWAYS_AUTHENTICATE),
      eachAsks: isEachRecorded(domain, token, object),
    });
    return true;
  } catch (error) {
    if (!(error instanceof SidekeyError) || error.code !== 'cell_unknown') throw error;
    if (cell !== null) domain.cache.cellEnded(cell);
    return false;
  }
}
