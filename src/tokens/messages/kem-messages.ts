/** encapsulate_key, decapsulate_key: a shared secret key (PKCS#11 3.2, 5.18.8). */
import { SidekeyError } from '../../errors.ts';
import { WireWriter } from '../../wire/buffer.ts';
import { LIMITS } from '../../wire/tables.ts';
import { readMechanism, readTemplate } from '../../wire/template.ts';
import { readUlong } from '../objects/attribute-value.ts';
import { actOf, findCaller, readPlace, type Caller } from '../caller.ts';
import { CKA } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import { recordedUse, recordFailedUse, useOf } from '../key-use/each-use.ts';
import { demandUse } from '../key-use/key-access.ts';
import { checkUse, KEY_ERRORS, type UseErrors } from '../key-use/key-use.ts';
import type { Make } from '../objects/object-maker.ts';
import { collect, mergeDemanded } from '../objects/object-template.ts';
import type { TokenObject } from '../objects/token-object.ts';
import { recordMade } from '../recorded.ts';
import type { Handler } from './handler.ts';
import { findKey, makeFrom } from './key-messages.ts';
import { replyHandle } from './object-messages.ts';

/** By CKA_PARAMETER_SET of CKK_ML_KEM (FIPS 203, table 3). */
const CIPHERTEXT_BYTES: Readonly<Record<number, number>> = { 1: 768, 2: 1088, 3: 1568 };

/** For a key that it cannot use, C_DecapsulateKey returns the codes of unwrapping. */
const DECAPSULATING: UseErrors = {
  handle: 'unwrapping_key_handle_invalid',
  type: 'unwrapping_key_type_inconsistent',
};

function findKem(
  domain: Domain,
  caller: Caller,
  handle: number,
  use: 'encapsulate' | 'decapsulate',
  mechanism: number,
  errors: UseErrors,
): TokenObject {
  const key = findKey(domain, caller, handle, errors.handle);
  try {
    checkUse(domain, key, use, mechanism, domain.clock.now(), errors);
    demandUse(domain, caller, key, use);
    return key;
  } catch (error) {
    recordFailedUse(domain, useOf(caller, key, use, mechanism), error);
    throw error;
  }
}

/**
 * If the caller's buffer is too short, no key is created: the caller could not share it, and would have no
 * handle to destroy it by.
 */
export const handleEncapsulateKey: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const mechanism = readMechanism(reader);
  const handle = reader.number();
  const roomBytes = Number(reader.u64());
  const template = collect(readTemplate(reader));
  reader.end();
  const caller = await findCaller(domain, request.client, place);
  const to = findKem(domain, caller, handle, 'encapsulate', mechanism.type, KEY_ERRORS);
  mergeDemanded(template, to.attributes.get(CKA.ENCAPSULATE_TEMPLATE));
  const needed = CIPHERTEXT_BYTES[readUlong(to.attributes, CKA.PARAMETER_SET) ?? 0] ?? LIMITS.dataMax;
  if (roomBytes < needed) return new WireWriter(32).u64(0).u64(needed).bytes(Buffer.alloc(0)).done();
  const cell = await domain.cells.take(caller.token, to);
  let ciphertext = Buffer.alloc(0);
  const make = (lengthBytes: number | null): Make => {
    return async (key) => {
      const both = await domain.keeper.encapsulate(key, cell, mechanism, lengthBytes);
      ciphertext = Buffer.from(both.ciphertext);
      return both.made;
    };
  };
  const object = await recordedUse(domain, useOf(caller, to, 'encapsulate', mechanism.type), () =>
    makeFrom(domain, caller, template, { origin: 'derive' }, make),
  );
  recordMade(domain, actOf(caller), 'key-derived', [object], { of: to.uniqueId });
  const writer = new WireWriter(ciphertext.length + 32).u64(object.handle).u64(ciphertext.length);
  return writer.bytes(ciphertext).done();
};

export const handleDecapsulateKey: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const mechanism = readMechanism(reader);
  const handle = reader.number();
  const ciphertext = Buffer.from(reader.bytes(LIMITS.dataMax));
  const template = collect(readTemplate(reader));
  reader.end();
  const caller = await findCaller(domain, request.client, place);
  const by = findKem(domain, caller, handle, 'decapsulate', mechanism.type, DECAPSULATING);
  mergeDemanded(template, by.attributes.get(CKA.DECAPSULATE_TEMPLATE));
  const needed = CIPHERTEXT_BYTES[readUlong(by.attributes, CKA.PARAMETER_SET) ?? 0];
  if (ciphertext.length !== needed)
    throw new SidekeyError(
      'wrapped_key_len_range',
      `${ciphertext.length} bytes are not a ciphertext of this key`,
    );
  const cell = await domain.cells.take(caller.token, by);
  const make = (lengthBytes: number | null): Make => {
    return (key) => domain.keeper.decapsulate(key, cell, mechanism, ciphertext, lengthBytes);
  };
  const object = await recordedUse(domain, useOf(caller, by, 'decapsulate', mechanism.type), () =>
    makeFrom(domain, caller, template, { origin: 'derive' }, make),
  );
  recordMade(domain, actOf(caller), 'key-derived', [object], { of: by.uniqueId });
  return replyHandle(object);
};
