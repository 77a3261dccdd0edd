/**
 * Keys for one stream each: made in the keeper and wrapped with AES-GCM by a version of a named AES key. They
 * are never in this process. src/api/sidekey/stream-format.ts defines the chunks of a stream.
 */
import { SidekeyError } from '../../errors.ts';
import { WireWriter } from '../../wire/buffer.ts';
import { encodeUlong } from '../objects/attribute-value.ts';
import { CKA, CKK, CKM, CKO } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import type { CellId, Mechanism, NewKey } from '../ports.ts';
import type { StreamKey } from '../service.ts';
import type { TokenRow } from '../store-port.ts';
import { hasCellEnded } from '../outcome.ts';
import { has, keyTypeOf, labelOf, type TokenObject } from '../objects/token-object.ts';

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BITS = 128;
/** More than enough: a new lease lasts longer than a segment takes. */
const OPEN_TRIES = 4;

function gcm(nonce: Buffer, aad: Buffer): Mechanism {
  return { type: CKM.AES_GCM, params: new WireWriter().bytes(nonce).bytes(aad).u32(TAG_BITS).done() };
}

/** Only AES keys: a derived key differs for each context, and a pair cannot wrap with AES-GCM. */
export function checkStreams(object: TokenObject): void {
  if (keyTypeOf(object) === CKK.AES && !has(object, CKA.ALWAYS_AUTHENTICATE)) return;
  throw new SidekeyError('key_type_inconsistent', 'streams only support AES keys');
}

function newKey(domain: Domain, token: TokenRow, object: TokenObject): NewKey {
  const { anyMs: leaseMs } = domain.catalogue.limits(token, labelOf(object));
  return {
    ...{ objectClass: CKO.SECRET_KEY, keyType: CKK.AES, owner: null, leaseMs },
    ...{ uses: null, note: null, seal: null },
  };
}

/** What a stream's key is wrapped by, and bound to. */
interface Wrapping {
  readonly version: number;
  readonly aad: Buffer;
  /** The named key as it is now. Throws if it is gone, or may not be used so: whenever a stream's key is wrapped or opened. */
  readonly by: () => TokenObject;
}

interface Wrapped extends Wrapping {
  readonly wrapped: Buffer;
}

async function openCell(domain: Domain, token: TokenRow, { by, aad, wrapped }: Wrapped): Promise<CellId> {
  const object = by();
  const opened = await domain.cells.take(token, object);
  const mechanism = gcm(wrapped.subarray(0, NONCE_BYTES), aad);
  const inner = wrapped.subarray(NONCE_BYTES);
  const { cell } = await domain.keeper.unwrap(
    newKey(domain, token, object),
    opened,
    mechanism,
    inner,
    KEY_BYTES,
  );
  return cell;
}

/** The cell ends with its lease, with the keeper, or because leases are wiped: a stream may last longer, and its key is opened again. */
function streamKey(domain: Domain, token: TokenRow, from: Wrapped, first: CellId): StreamKey {
  const { version, wrapped } = from;
  const empty = Buffer.alloc(0);
  let cell = first;
  let isClosed = false;
  const operate: StreamKey['operate'] = async (operation, nonce, data) => {
    for (let tries = 1; ; tries++) {
      try {
        return await domain.keeper.operate(cell, operation, gcm(nonce, empty), data);
      } catch (error) {
        if (!hasCellEnded(error) || tries === OPEN_TRIES || isClosed) throw error;
        cell = await openCell(domain, token, from);
        if (isClosed) domain.cells.drop(cell);
      }
    }
  };
  const close = (): void => {
    isClosed = true;
    domain.cells.drop(cell);
  };
  return { version, wrapped, operate, close };
}

export async function makeStreamKey(domain: Domain, token: TokenRow, wrapping: Wrapping): Promise<StreamKey> {
  const { aad } = wrapping;
  const object = wrapping.by();
  const by = await domain.cells.take(token, object);
  const length = [{ type: CKA.VALUE_LEN, value: encodeUlong(KEY_BYTES) }];
  const mechanism = { type: CKM.AES_KEY_GEN, params: Buffer.alloc(0) };
  const { cell } = await domain.keeper.generate(newKey(domain, token, object), mechanism, length);
  try {
    const nonce = domain.random(NONCE_BYTES);
    const wrapped = Buffer.concat([nonce, await domain.keeper.wrap(cell, by, gcm(nonce, aad))]);
    return streamKey(domain, token, { ...wrapping, wrapped }, cell);
  } catch (error) {
    domain.cells.drop(cell);
    throw error;
  }
}

/** wrapped_key_invalid if it was not wrapped by this version of this key with this `aad`. */
export async function openStreamKey(domain: Domain, token: TokenRow, from: Wrapped): Promise<StreamKey> {
  return streamKey(domain, token, from, await openCell(domain, token, from));
}
