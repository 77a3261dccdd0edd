/**
 * resolve: the keeper received a request without a binding. Everything that permits the use is checked here,
 * once per lease.
 */
import { SidekeyError } from '../../errors.ts';
import { OPERATIONS, WHY } from '../../wire/tables.ts';
import { bindObject } from '../key-use/binder.ts';
import { findCaller, getObject, readPlace, type Caller } from '../caller.ts';
import type { Domain } from '../domain.ts';
import { isEachRecorded, recordRefusedHandle } from '../key-use/each-use.ts';
import { recordDeniedUse } from '../denials.ts';
import { demandUse } from '../key-use/key-access.ts';
import { checkUse, type Use } from '../key-use/key-use.ts';
import type { Operation } from '../ports.ts';
import type { TokenObject } from '../objects/token-object.ts';
import { EMPTY_REPLY, type Handler } from './handler.ts';

const TELL_HOW_IT_ENDS = Buffer.of(1);

const USES = new Map<number, Use>(
  Object.entries(OPERATIONS).flatMap(([name, number]) =>
    name === 'digest' ? [] : [[number, name as Exclude<Operation, 'digest'>]],
  ),
);

function toUse(operation: number): Use {
  const use = USES.get(operation);
  if (use !== undefined) return use;
  throw new SidekeyError('function_not_supported', 'this operation does not use a binding');
}

function check(domain: Domain, caller: Caller, handle: number, use: Use, mechanism: number): TokenObject {
  const object = getObject(domain, caller, handle, 'key_handle_invalid');
  try {
    checkUse(domain, object, use, mechanism, domain.clock.now());
    return object;
  } catch (error) {
    if (error instanceof SidekeyError && error.code === 'key_function_not_permitted')
      recordDeniedUse(domain, caller.client.peer, caller.token, object, { reason: error.code, use });
    throw error;
  }
}

export const handleResolve: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const use = toUse(reader.u8());
  const handle = reader.number();
  const mechanism = reader.number();
  const why = reader.u8();
  reader.end();
  const caller = await findCaller(domain, request.client, place, handle);
  try {
    const object = check(domain, caller, handle, use, mechanism);
    demandUse(domain, caller, object, use);
    if ((why & WHY.bound) === 0) await bindObject(domain, caller, handle, 0);
    const { client, token } = caller;
    if ((why & WHY.use) === 0 || !isEachRecorded(domain, token, object)) return EMPTY_REPLY;
    domain.openUses.permit(request.id, { peer: client.peer, token, object, use, mechanism });
    return TELL_HOW_IT_ENDS;
  } catch (error) {
    recordRefusedHandle(domain, caller, handle, { use, mechanism }, error);
    throw error;
  }
};
