/** generate_key, generate_domain, password_key, generate_key_pair, wrap_key, unwrap_key, derive_key. */
import { SidekeyError, type ErrorCode } from '../../errors.ts';
import { WireReader, WireWriter } from '../../wire/buffer.ts';
import { LIMITS } from '../../wire/tables.ts';
import { readMechanism, readTemplate } from '../../wire/template.ts';
import { decodeTemplate, encodeUlong } from '../objects/attribute-value.ts';
import { findCaller, getObject, readPlace, type Caller } from '../caller.ts';
import { CKA, CKK, CKM, CKO, MECHANISM_FLAG } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import { onlyLength } from '../objects/key-types.ts';
import {
  checkLengthSaid,
  inheritSecrecy,
  isRevealing,
  isTlsKey,
  takeAfterMaster,
} from './derivation-rules.ts';
import { recordedUse, useOf } from '../each-use.ts';
import { checkCreation, demandUse } from '../key-access.ts';
import { checkUse, findMechanism, KEY_ERRORS, type UseErrors } from '../key-use.ts';
import { generateDomain, generateKey, generatePair } from '../objects/key-generation.ts';
import { buildAttributes, collect, identify, matches, mergeDemanded } from '../objects/object-template.ts';
import {
  draftKey,
  draftPlain,
  keep,
  wantedLength,
  type Make,
  type Provenance,
} from '../objects/object-maker.ts';
import type { Mechanism } from '../ports.ts';
import { classOf, has, isKey, type TokenObject } from '../objects/token-object.ts';
import type { Handler } from './handler.ts';
import { recordMade } from './recorded.ts';
import { generateResident, isMadeInService } from '../resident/generation.ts';
import { makerOf, replyHandle } from './object-messages.ts';

function replyHandles(objects: readonly TokenObject[]): Buffer {
  const writer = new WireWriter(16);
  for (const { handle } of objects) writer.u64(handle);
  return writer.done();
}

export const handleGenerateKey: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const mechanism = readMechanism(reader);
  const template = collect(readTemplate(reader));
  reader.end();
  const caller = await findCaller(domain, request.client, place);
  if (isMadeInService(domain, caller, template)) {
    const made = await generateResident(domain, caller, mechanism, { public: null, key: template });
    return replyHandles(made);
  }
  const object = await generateKey(domain, makerOf(caller), mechanism, template, (a) =>
    checkCreation(domain, caller, a),
  );
  recordMade(domain, caller, 'key-generated', [object]);
  return replyHandle(object);
};

/** C_GenerateKey of domain parameters. */
export const handleGenerateDomain: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const mechanism = readMechanism(reader);
  const template = collect(readTemplate(reader));
  reader.end();
  const caller = await findCaller(domain, request.client, place);
  const object = await generateDomain(domain, makerOf(caller), mechanism, template, (a) =>
    checkCreation(domain, caller, a),
  );
  recordMade(domain, caller, 'object-created', [object]);
  return replyHandle(object);
};

/** C_GenerateKey of a password, which stays with the keeper. */
export const handlePasswordKey: Handler = async (domain, request, reader) => {
  reader.bytes(LIMITS.materialMax); // its length
  const place = readPlace(reader);
  const mechanism = readMechanism(reader);
  const template = collect(readTemplate(reader));
  reader.end();
  const caller = await findCaller(domain, request.client, place);
  if (mechanism.type !== CKM.PKCS5_PBKD2)
    throw new SidekeyError('mechanism_invalid', 'this mechanism takes no password');
  const object = await generateKey(
    domain,
    makerOf(caller),
    mechanism,
    template,
    (a) => checkCreation(domain, caller, a),
    (key, _parameters, lengthBytes) => domain.keeper.derivePassword(key, request.id, mechanism, lengthBytes),
  );
  recordMade(domain, caller, 'key-generated', [object]);
  return replyHandle(object);
};

export const handleGenerateKeyPair: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const mechanism = readMechanism(reader);
  const templates = { public: collect(readTemplate(reader)), private: collect(readTemplate(reader)) };
  reader.end();
  const caller = await findCaller(domain, request.client, place);
  if (isMadeInService(domain, caller, templates.private)) {
    const both = { public: templates.public, key: templates.private };
    return replyHandles(await generateResident(domain, caller, mechanism, both));
  }
  const pair = await generatePair(domain, makerOf(caller), mechanism, templates, (a) =>
    checkCreation(domain, caller, a),
  );
  recordMade(domain, caller, 'key-generated', [pair.public, pair.private]);
  return replyHandles([pair.public, pair.private]);
};

const WRAPPING: UseErrors = { handle: 'wrapping_key_handle_invalid', type: 'wrapping_key_type_inconsistent' };
const UNWRAPPING: UseErrors = {
  handle: 'unwrapping_key_handle_invalid',
  type: 'unwrapping_key_type_inconsistent',
};

export function findKey(domain: Domain, caller: Caller, handle: number, code: ErrorCode): TokenObject {
  const object = getObject(domain, caller, handle, code);
  if (!isKey(object)) throw new SidekeyError(code, `object ${handle} is no key`);
  return object;
}

/** PKCS#11 3.1, 5.18.3. */
function checkWrappable(key: TokenObject, wrapping: TokenObject): void {
  if (classOf(key) === CKO.PUBLIC_KEY)
    throw new SidekeyError('key_not_wrappable', 'a public key needs no wrapping');
  if (!has(key, CKA.EXTRACTABLE)) throw new SidekeyError('key_unextractable', 'CKA_EXTRACTABLE is false');
  if (has(key, CKA.WRAP_WITH_TRUSTED) && !has(wrapping, CKA.TRUSTED))
    throw new SidekeyError(
      'key_not_wrappable',
      'CKA_WRAP_WITH_TRUSTED is true and the wrapping key is not trusted',
    );
  const demanded = decodeTemplate(wrapping.attributes.get(CKA.WRAP_TEMPLATE) ?? Buffer.alloc(0));
  if (
    !matches(
      key.attributes,
      demanded.map(({ type, value }) => [type, value]),
    )
  )
    throw new SidekeyError(
      'key_not_wrappable',
      "the key does not match the wrapping key's CKA_WRAP_TEMPLATE",
    );
}

export const handleWrapKey: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const mechanism = readMechanism(reader);
  const wrappingHandle = reader.number();
  const handle = reader.number();
  reader.end();
  const caller = await findCaller(domain, request.client, place);
  const wrapping = findKey(domain, caller, wrappingHandle, WRAPPING.handle);
  const key = findKey(domain, caller, handle, KEY_ERRORS.handle);
  const work = (): Promise<Buffer> => wrap(domain, caller, mechanism, wrapping, key);
  const wrapped = await recordedUse(domain, useOf(caller, wrapping, 'wrap', mechanism.type), () =>
    recordedUse(domain, useOf(caller, key, 'export', mechanism.type), work),
  );
  domain.audit.object('key-wrapped', caller.client.peer, caller.token, key, { by: wrapping.uniqueId });
  return new WireWriter(wrapped.length + 4).bytes(wrapped).done();
};

async function wrap(
  domain: Domain,
  caller: Caller,
  mechanism: Mechanism,
  wrapping: TokenObject,
  key: TokenObject,
): Promise<Buffer> {
  checkUse(domain, wrapping, 'wrap', mechanism.type, domain.clock.now(), WRAPPING);
  demandUse(domain, caller, wrapping, 'wrap');
  demandUse(domain, caller, key, 'export');
  checkWrappable(key, wrapping);
  const [by, cell] = await Promise.all(
    [wrapping, key].map((object) => domain.cells.take(caller.token, object)),
  );
  if (by === undefined || cell === undefined) throw new SidekeyError('internal', 'a key was not opened');
  return domain.keeper.wrap(cell, by, mechanism);
}

/** PKCS#11 3.1, 6.43: what is derived without a key type is a generic secret key. */
function impliedBy(template: Map<number, Buffer>): { objectClass: number; keyType?: number } {
  const objectClass = CKO.SECRET_KEY;
  return template.has(CKA.KEY_TYPE) ? { objectClass } : { objectClass, keyType: CKK.GENERIC_SECRET };
}

/** What unwrapping, deriving and decapsulating share: a new key out of another one. */
export async function makeFrom(
  domain: Domain,
  caller: Caller,
  template: Map<number, Buffer>,
  from: Provenance & { readonly origin: 'unwrap' | 'derive' },
  make: (lengthBytes: number | null) => Make,
): Promise<TokenObject> {
  const { objectClass, keyType } = identify(template, from.origin === 'derive' ? impliedBy(template) : {});
  if (objectClass === CKO.PUBLIC_KEY)
    throw new SidekeyError('template_inconsistent', 'a public key is not made so');
  template.set(CKA.CLASS, template.get(CKA.CLASS) ?? Buffer.from([objectClass, 0, 0, 0, 0, 0, 0, 0]));
  const attributes = buildAttributes({ origin: from.origin, objectClass, keyType, template });
  checkCreation(domain, caller, attributes);
  const onlyBytes = from.origin === 'derive' && keyType !== null ? onlyLength(keyType) : null;
  const lengthBytes = wantedLength(attributes) ?? onlyBytes;
  const draft = await draftKey(domain, makerOf(caller), attributes, from, make(lengthBytes));
  const [object] = await keep(domain, makerOf(caller), [draft]);
  if (object === undefined) throw new SidekeyError('internal', 'nothing was made');
  return object;
}

export const handleUnwrapKey: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const mechanism = readMechanism(reader);
  const handle = reader.number();
  const wrapped = Buffer.from(reader.bytes(LIMITS.dataMax));
  const template = collect(readTemplate(reader));
  reader.end();
  const caller = await findCaller(domain, request.client, place);
  const unwrapping = findKey(domain, caller, handle, UNWRAPPING.handle);
  const object = await recordedUse(domain, useOf(caller, unwrapping, 'unwrap', mechanism.type), async () => {
    checkUse(domain, unwrapping, 'unwrap', mechanism.type, domain.clock.now(), UNWRAPPING);
    demandUse(domain, caller, unwrapping, 'unwrap');
    mergeDemanded(template, unwrapping.attributes.get(CKA.UNWRAP_TEMPLATE));
    const by = await domain.cells.take(caller.token, unwrapping);
    const make = (lengthBytes: number | null): Make => {
      return (key) => domain.keeper.unwrap(key, by, mechanism, wrapped, lengthBytes);
    };
    return makeFrom(domain, caller, template, { origin: 'unwrap' }, make);
  });
  recordMade(domain, caller, 'key-unwrapped', [object], { by: unwrapping.uniqueId });
  return replyHandle(object);
};

/** Whose parameter begins with the handle of a second key, or 0 (native-shim/wire/params.h: key, hkdf). */
const TWO_KEYS: readonly number[] = [CKM.CONCATENATE_BASE_AND_KEY, CKM.HKDF_DERIVE, CKM.HKDF_DATA];

function findOther(domain: Domain, caller: Caller, { type, params }: Mechanism): TokenObject | null {
  if (!TWO_KEYS.includes(type)) return null;
  const handle = new WireReader(params).number();
  return handle === 0 ? null : findKey(domain, caller, handle, KEY_ERRORS.handle);
}

function checkDeriving(domain: Domain, key: TokenObject, mechanism: number): void {
  checkUse(domain, key, 'derive', mechanism, domain.clock.now());
  if (classOf(key) === CKO.PUBLIC_KEY)
    throw new SidekeyError('key_type_inconsistent', 'nothing is derived from a public key');
}

/** A data object of what was derived. CKA_VALUE_LEN is none of its attributes, but where a template says how much is wanted. */
async function makeData(
  domain: Domain,
  caller: Caller,
  template: Map<number, Buffer>,
  derive: (lengthBytes: number | null) => Promise<Buffer>,
): Promise<TokenObject> {
  const { objectClass } = identify(template, { objectClass: CKO.DATA });
  if (template.has(CKA.VALUE))
    throw new SidekeyError('template_inconsistent', 'CKA_VALUE is what the derivation gives');
  template.set(CKA.CLASS, encodeUlong(objectClass));
  const lengthBytes = wantedLength(template);
  template.delete(CKA.VALUE_LEN);
  const attributes = buildAttributes({ origin: 'derive', objectClass, keyType: null, template });
  checkCreation(domain, caller, attributes);
  attributes.set(CKA.VALUE, await derive(lengthBytes));
  const draft = await draftPlain(domain, makerOf(caller), attributes, { origin: 'derive' });
  const [object] = await keep(domain, makerOf(caller), [draft]);
  if (object === undefined) throw new SidekeyError('internal', 'nothing was made');
  return object;
}

export const handleDeriveKey: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const mechanism = readMechanism(reader);
  const handle = reader.number();
  const template = collect(readTemplate(reader));
  reader.end();
  const caller = await findCaller(domain, request.client, place);
  const base = findKey(domain, caller, handle, KEY_ERRORS.handle);
  const other = findOther(domain, caller, mechanism);
  const work = (): Promise<Buffer> => derive(domain, caller, mechanism, template, base, other);
  return recordedUse(domain, useOf(caller, base, 'derive', mechanism.type), () =>
    other === null ? work() : recordedUse(domain, useOf(caller, other, 'derive', mechanism.type), work),
  );
};

async function derive(
  domain: Domain,
  caller: Caller,
  mechanism: Mechanism,
  template: Map<number, Buffer>,
  base: TokenObject,
  other: TokenObject | null,
): Promise<Buffer> {
  findMechanism(domain, caller.token.id, mechanism.type, MECHANISM_FLAG.DERIVE);
  const bases = other === null ? [base] : [base, other];
  for (const each of bases) checkDeriving(domain, each, mechanism.type);
  for (const each of bases) demandUse(domain, caller, each, 'derive');
  for (const { attributes } of bases) mergeDemanded(template, attributes.get(CKA.DERIVE_TEMPLATE));
  if (isRevealing(mechanism.type)) {
    for (const each of bases) demandUse(domain, caller, each, 'export');
    inheritSecrecy(bases, template);
  }
  if (isTlsKey(mechanism)) takeAfterMaster(base, template);
  checkLengthSaid(mechanism.type, template);
  const cell = await domain.cells.take(caller.token, base);
  const otherCell = other === null ? null : await domain.cells.take(caller.token, other);
  if (mechanism.type === CKM.HKDF_DATA) {
    const data = await makeData(domain, caller, template, (lengthBytes) =>
      domain.keeper.deriveData(cell, mechanism, lengthBytes, otherCell),
    );
    recordMade(domain, caller, 'data-derived', [data], { of: base.uniqueId });
    return replyHandle(data);
  }
  const from = { origin: 'derive', bases: bases.map(({ attributes }) => attributes) } as const;
  const object = await makeFrom(
    domain,
    caller,
    template,
    from,
    (lengthBytes) => (key) => domain.keeper.derive(key, cell, mechanism, lengthBytes, otherCell),
  );
  recordMade(domain, caller, 'key-derived', [object], { of: base.uniqueId });
  return replyHandle(object);
}
