/**
 * Cells of derived keys: AES keys derived by HKDF-SHA256 (RFC 5869) from a named key's secret, with the
 * caller's context as info and no salt. They are cached like other keys, one cell per context, and never
 * outlive the lease of the secret.
 */
import { createHash } from 'node:crypto';
import { WireWriter } from '../../wire/buffer.ts';
import { LIMITS } from '../../wire/tables.ts';
import { SidekeyError } from '../../errors.ts';
import { CKA, CKK, CKM, CKO } from '../cryptoki.ts';
import { readUlong } from '../objects/attribute-value.ts';
import type { Domain } from '../domain.ts';
import { ObjectCells } from '../objects/object-cells.ts';
import type { CellId, Mechanism, NewKey } from '../ports.ts';
import type { TokenRow } from '../store-port.ts';
import { labelOf, type TokenObject } from '../objects/token-object.ts';

const NO_SALT_KEY = 0;
const EXTRACT_AND_EXPAND = 3;
/**
 * What a mechanism's parameter leaves for the context, after the salt's handle, steps, hash and two lengths.
 */
const CONTEXT_MAX_BYTES = LIMITS.paramsMax - 28;

function hkdf(context: Buffer): Mechanism {
  if (context.length > CONTEXT_MAX_BYTES)
    throw new SidekeyError('data_len_range', `a context of ${context.length} bytes`);
  const writer = new WireWriter().u64(NO_SALT_KEY).u32(EXTRACT_AND_EXPAND).u64(CKM.SHA256);
  return { type: CKM.HKDF_DERIVE, params: writer.bytes(Buffer.alloc(0)).bytes(context).done() };
}

/** The AES key for `context`, of the same length as the secret. */
export async function takeDerived(
  domain: Domain,
  token: TokenRow,
  object: TokenObject,
  context: Buffer,
): Promise<CellId> {
  const digest = createHash('sha256').update(context).digest('base64');
  const { handle } = object;
  const name = { key: ObjectCells.derivedKey(handle, digest), token: token.name, handle };
  const limits = domain.catalogue.limits(token, labelOf(object));
  const derive = async () => {
    const base = await domain.cells.take(token, object);
    const endsAt = domain.clock.monotonic() + Math.min(limits.anyMs, domain.cells.leftMs(object.handle) ?? 1);
    const leaseMs = Math.max(1, Math.floor(endsAt - domain.clock.monotonic()));
    const wanted: NewKey = {
      ...{ objectClass: CKO.SECRET_KEY, keyType: CKK.AES, owner: null, leaseMs, uses: limits.uses },
      ...{ note: null, seal: null },
    };
    const length = readUlong(object.attributes, CKA.VALUE_LEN);
    return { cell: (await domain.keeper.derive(wanted, base, hkdf(context), length, null)).cell, endsAt };
  };
  return (await domain.cache.take(name, limits, derive)).cell;
}
