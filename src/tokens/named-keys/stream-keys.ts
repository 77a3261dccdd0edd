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
import { has, keyTypeOf, labelOf, type TokenObject } from '../objects/token-object.ts';

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BITS = 128;

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

function streamKey(domain: Domain, cell: CellId, version: number, wrapped: Buffer): StreamKey {
  const empty = Buffer.alloc(0);
  return {
    ...{ version, wrapped },
    operate: (operation, nonce, data) => domain.keeper.operate(cell, operation, gcm(nonce, empty), data),
    close: () => domain.cells.drop(cell),
  };
}

export async function makeStreamKey(
  domain: Domain,
  token: TokenRow,
  { version, object, aad }: { version: number; object: TokenObject; aad: Buffer },
): Promise<StreamKey> {
  const by = await domain.cells.take(token, object);
  const length = [{ type: CKA.VALUE_LEN, value: encodeUlong(KEY_BYTES) }];
  const mechanism = { type: CKM.AES_KEY_GEN, params: Buffer.alloc(0) };
  const { cell } = await domain.keeper.generate(newKey(domain, token, object), mechanism, length);
  try {
    const nonce = domain.random(NONCE_BYTES);
    const wrapped = await domain.keeper.wrap(cell, by, gcm(nonce, aad));
    return streamKey(domain, cell, version, Buffer.concat([nonce, wrapped]));
  } catch (error) {
    domain.cells.drop(cell);
    throw error;
  }
}

/** wrapped_key_invalid if it was not wrapped by this version of this key with this `aad`. */
export async function openStreamKey(
  domain: Domain,
  token: TokenRow,
  { version, object, aad, wrapped }: { version: number; object: TokenObject; aad: Buffer; wrapped: Buffer },
): Promise<StreamKey> {
  const by = await domain.cells.take(token, object);
  const mechanism = gcm(wrapped.subarray(0, NONCE_BYTES), aad);
  const inner = wrapped.subarray(NONCE_BYTES);
  const { cell } = await domain.keeper.unwrap(newKey(domain, token, object), by, mechanism, inner, KEY_BYTES);
  return streamKey(domain, cell, version, wrapped);
}
