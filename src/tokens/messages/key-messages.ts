/** generate_key, generate_domain, password_key, generate_key_pair, wrap_key, unwrap_key. */
import { SidekeyError, type ErrorCode } from '../../errors.ts';
import { WireWriter } from '../../wire/buffer.ts';
import { LIMITS } from '../../wire/tables.ts';
import { readMechanism, readTemplate } from '../../wire/template.ts';
import { decodeTemplate } from '../objects/attribute-value.ts';
import { actOf, findCaller, getObject, readPlace, type Caller } from '../caller.ts';
import { CKA, CKK, CKM, CKO } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import { onlyLength } from '../objects/key-types.ts';
import { recordedUse, useOf } from '../key-use/each-use.ts';
import { checkCreation, demandUse } from '../key-use/key-access.ts';
import { checkUse, KEY_ERRORS, type UseErrors } from '../key-use/key-use.ts';
import { generateDomain, generateKey, generatePair } from '../objects/key-generation.ts';
import { buildAttributes, collect, identify, matches, mergeDemanded } from '../objects/object-template.ts';
import { draftKey, keep, wantedLength, type Make, type Provenance } from '../objects/object-maker.ts';
import type { MadeKey, Mechanism, NewKey } from '../ports.ts';
import { classOf, has, isKey, type TokenObject } from '../objects/token-object.ts';
import type { Handler } from './handler.ts';
import { recordMade } from '../recorded.ts';
import { generateResident, isMadeInService } from '../resident/generation.ts';
import { isUsedInService } from '../resident/named.ts';
import { unwrapByService, wrapByService } from '../resident/wrapping.ts';
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
  recordMade(domain, actOf(caller), 'key-generated', [object]);
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
  recordMade(domain, actOf(caller), 'object-created', [object]);
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
    throw new SidekeyError('mechanism_invalid', 'this mechanism does not take a password');
  const object = await generateKey(
    domain,
    makerOf(caller),
    mechanism,
    template,
    (a) => checkCreation(domain, caller, a),
    (key, _parameters, lengthBytes) => domain.keeper.derivePassword(key, request.id, mechanism, lengthBytes),
  );
  recordMade(domain, actOf(caller), 'key-generated', [object]);
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
  recordMade(domain, actOf(caller), 'key-generated', [pair.public, pair.private]);
  return replyHandles([pair.public, pair.private]);
};

const WRAPPING: UseErrors = { handle: 'wrapping_key_handle_invalid', type: 'wrapping_key_type_inconsistent' };
const UNWRAPPING: UseErrors = {
  handle: 'unwrapping_key_handle_invalid',
  type: 'unwrapping_key_type_inconsistent',
};

export function findKey(domain: Domain, caller: Caller, handle: number, code: ErrorCode): TokenObject {
  const object = getObject(domain, caller, handle, code);
  if (!isKey(object)) throw new SidekeyError(code, `object ${handle} is not a key`);
  return object;
}

/** PKCS#11 3.1, 5.18.3. */
function checkWrappable(key: TokenObject, wrapping: TokenObject): void {
  if (classOf(key) === CKO.PUBLIC_KEY)
    throw new SidekeyError('key_not_wrappable', 'public keys cannot be wrapped');
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
  if (isUsedInService(wrapping)) {
    const cell = await domain.cells.take(caller.token, key);
    return wrapByService(domain, caller.token, wrapping.resident, mechanism, cell);
  }
  const [by, cell] = await Promise.all(
    [wrapping, key].map((object) => domain.cells.take(caller.token, object)),
  );
  if (by === undefined || cell === undefined) throw new SidekeyError('internal', 'the key was not opened');
  return domain.keeper.wrap(cell, by, mechanism);
}

/** PKCS#11 3.1, 6.43: a derived key without a key type is a generic secret key. */
function impliedBy(template: Map<number, Buffer>): { objectClass: number; keyType?: number } {
  const objectClass = CKO.SECRET_KEY;
  return template.has(CKA.KEY_TYPE) ? { objectClass } : { objectClass, keyType: CKK.GENERIC_SECRET };
}

/** Shared by unwrapping, deriving and decapsulating: a new key from an existing one. */
export async function makeFrom(
  domain: Domain,
  caller: Caller,
  template: Map<number, Buffer>,
  from: Provenance & { readonly origin: 'unwrap' | 'derive' },
  make: (lengthBytes: number | null) => Make,
): Promise<TokenObject> {
  const { objectClass, keyType } = identify(template, from.origin === 'derive' ? impliedBy(template) : {});
  if (objectClass === CKO.PUBLIC_KEY)
    throw new SidekeyError('template_inconsistent', 'this mechanism does not make public keys');
  template.set(CKA.CLASS, template.get(CKA.CLASS) ?? Buffer.from([objectClass, 0, 0, 0, 0, 0, 0, 0]));
  const attributes = buildAttributes({ origin: from.origin, objectClass, keyType, template });
  checkCreation(domain, caller, attributes);
  const onlyBytes = from.origin === 'derive' && keyType !== null ? onlyLength(keyType) : null;
  const lengthBytes = wantedLength(attributes) ?? onlyBytes;
  const draft = await draftKey(domain, makerOf(caller), attributes, from, make(lengthBytes));
  const [object] = await keep(domain, makerOf(caller), [draft]);
  if (object === undefined) throw new SidekeyError('internal', 'no key was created');
  return object;
}

type Unwrap = (key: NewKey, lengthBytes: number | null) => Promise<MadeKey>;

async function beginUnwrap(
  domain: Domain,
  { token }: Caller,
  by: TokenObject,
  mechanism: Mechanism,
  wrapped: Buffer,
): Promise<Unwrap> {
  if (isUsedInService(by)) return unwrapByService(domain, token, by.resident, mechanism, wrapped);
  const cell = await domain.cells.take(token, by);
  return (key, lengthBytes) => domain.keeper.unwrap(key, cell, mechanism, wrapped, lengthBytes);
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
    const unwrap = await beginUnwrap(domain, caller, unwrapping, mechanism, wrapped);
    const make = (lengthBytes: number | null): Make => {
      return (key) => unwrap(key, lengthBytes);
    };
    return makeFrom(domain, caller, template, { origin: 'unwrap' }, make);
  });
  recordMade(domain, actOf(caller), 'key-unwrapped', [object], { by: unwrapping.uniqueId });
  return replyHandle(object);
};
