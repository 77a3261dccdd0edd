/** find, get_attributes, set_attributes, create, copy, destroy, object_size. */
import { SidekeyError } from '../../errors.ts';
import { WireReader, WireWriter } from '../../wire/buffer.ts';
import { ATTRIBUTE_STATE, LIMITS } from '../../wire/tables.ts';
import { readTemplate } from '../../wire/template.ts';
import { encodeAttributes, type AttributeMap } from '../objects/attribute-value.ts';
import { findRow } from '../objects/attributes.ts';
import { bindAhead } from '../key-use/binder.ts';
import {
  actOf,
  checkAllows,
  checkSameToken,
  checkWritable,
  findCaller,
  getObject,
  readPlace,
  type Caller,
} from '../caller.ts';
import { CKA, CKO } from '../cryptoki.ts';
import { revoke, type Domain } from '../domain.ts';
import { recordedUse } from '../key-use/each-use.ts';
import { isKeepable, isKeepableSearch } from '../objects/kept-answers.ts';
import {
  buildAttributes,
  changeAttributes,
  collect,
  identify,
  publicComponents,
} from '../objects/object-template.ts';
import {
  checkKeyLength,
  draftKey,
  draftPlain,
  keep,
  noteSession,
  sealValue,
  type Draft,
  type Maker,
} from '../objects/object-maker.ts';
import { destroyResident } from '../resident/generation.ts';
import { findFacts } from '../objects/facts.ts';
import { changesSeal } from '../objects/sealing.ts';
import { checkCreation, demandChange, demandUse } from '../key-use/key-access.ts';
import type { CellId } from '../ports.ts';
import { classOf, has, isKey, keyTypeOf, kindOf, type TokenObject } from '../objects/token-object.ts';
import type { Handler } from './handler.ts';
import { recordMade, removeRecorded, replaceRecorded } from '../recorded.ts';
import { EMPTY_REPLY } from './handler.ts';

export function makerOf({ token, client, place }: Caller): Maker {
  return { token, session: { client: client.id, number: place.session } };
}

export function replyHandle({ handle }: TokenObject): Buffer {
  return new WireWriter(8).u64(handle).done();
}

export const handleFind: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const after = reader.number();
  const template = collect(readTemplate(reader));
  reader.end();
  domain.kept.begin();
  const caller = await findCaller(domain, request.client, place);
  const { view, token } = caller;
  if (after === 0) await domain.resident.refresh(token);
  const found: number[] = [];
  let more = false;
  let first: TokenObject | null = null;
  const facts = findFacts(domain, token.id, template, after);
  for (const object of facts ?? domain.objects.find(view, template, after)) {
    more = found.length === LIMITS.findMax;
    if (more) break;
    first ??= object;
    found.push(object.handle);
  }
  if (first !== null && found.length === 1) bindAhead(domain, caller, first);
  if (isKeepableSearch(domain, caller, template)) request.letKeep?.();
  const writer = new WireWriter(8 * found.length + 16).u8(more ? 1 : 0).u32(found.length);
  for (const handle of found) writer.u64(handle);
  return writer.done();
};

/**
 * Secret components may be read only if the key is neither sensitive nor unextractable (PKCS#11 3.1, 5.7.5).
 */
function isReadable(object: TokenObject): boolean {
  return !has(object, CKA.SENSITIVE) && has(object, CKA.EXTRACTABLE);
}

type State = keyof typeof ATTRIBUTE_STATE;

function readAttribute(object: TokenObject, type: number, dataValue: Buffer | null): [State, Buffer] {
  const row = findRow(type, kindOf(object), keyTypeOf(object));
  if (row === null) return ['unknown', EMPTY_REPLY];
  if (row.material === true) return [isReadable(object) ? 'material' : 'sensitive', EMPTY_REPLY];
  if (type === CKA.VALUE && dataValue !== null) return ['value', dataValue];
  return ['value', object.attributes.get(type) ?? EMPTY_REPLY];
}

function isSealedData(object: TokenObject): boolean {
  return classOf(object) === CKO.DATA && object.blob !== null;
}

/** The cell whose material the keeper inserts into the answer. */
function reveal(domain: Domain, caller: Caller, object: TokenObject): Promise<CellId> {
  const { client, token } = caller;
  const each = { peer: client.peer, token, object, use: 'export', mechanism: null } as const;
  return recordedUse(domain, each, () => {
    demandUse(domain, caller, object, 'export');
    return domain.cells.take(token, object);
  });
}

export const handleGetAttributes: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const handle = reader.number();
  const count = reader.u32();
  if (count > LIMITS.attributesMax)
    throw new SidekeyError('wire_malformed', `${count} attributes are asked for`);
  const types = Array.from({ length: count }, () => reader.u64());
  reader.end();
  domain.kept.begin();
  const caller = await findCaller(domain, request.client, place, handle);
  const object = getObject(domain, caller, handle);
  const wantsValue = isSealedData(object) && types.includes(BigInt(CKA.VALUE));
  const value = wantsValue ? await domain.cells.openData(caller.token, object) : null;
  const answers = types.map((type) => [type, ...readAttribute(object, Number(type), value)] as const);
  const reveals = answers.some(([, state]) => state === 'material');
  const cell = reveals ? await reveal(domain, caller, object) : 0n;
  if (!reveals && !wantsValue && isKeepable(object)) request.letKeep?.();
  const writer = new WireWriter(1024).u64(cell).u32(count);
  for (const [type, state, bytes] of answers) writer.u64(type).u8(ATTRIBUTE_STATE[state]).bytes(bytes);
  return writer.done();
};

export const handleSetAttributes: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const handle = reader.number();
  const template = collect(readTemplate(reader));
  reader.end();
  const caller = await findCaller(domain, request.client, place, handle);
  await domain.changes.take(handle, () => changeObject(domain, caller, handle, template));
  return EMPTY_REPLY;
};

async function changeObject(
  domain: Domain,
  caller: Caller,
  handle: number,
  template: AttributeMap,
): Promise<void> {
  const object = getObject(domain, caller, handle);
  checkWritable(caller, object.attributes);
  checkAllows(object, CKA.MODIFIABLE, 'CKA_MODIFIABLE');
  demandChange(domain, caller, object, 'administer');
  const attributes = changeAttributes(object, template, { isOfficer: caller.role === 'so', isCopy: false });
  // A new label may bring the object under other rules: both the old and the new must permit the change.
  demandChange(domain, caller, { ...object, attributes }, 'administer');
  const changed = await resealed(domain, caller, object, template, attributes);
  checkSameToken(domain, caller.token);
  // Another request may have changed or destroyed the object during the awaits above.
  if (getObject(domain, caller, handle) !== object)
    throw new SidekeyError('busy', 'the object has changed in the meantime');
  const names = [...template.keys()].map((type) => `0x${type.toString(16)}`).join(' ');
  const maker = { peer: caller.client.peer, token: caller.token };
  replaceRecorded(domain, maker, { before: object, after: changed }, { attributes: names });
  if (changed.session !== null) await noteSession(domain, changed);
  domain.cells.forget(handle);
  await revoke(domain, caller.place.slot, handle);
}

async function resealed(
  domain: Domain,
  { token }: Caller,
  object: TokenObject,
  template: AttributeMap,
  attributes: Map<number, Buffer>,
): Promise<TokenObject> {
  const changed = { ...object, attributes };
  if (object.blob === null) return changed;
  if (isSealedData(object)) {
    if (!attributes.has(CKA.VALUE)) attributes.set(CKA.VALUE, await domain.cells.openData(token, object));
    return sealValue(domain, token, changed);
  }
  if (![...template.keys()].some((type) => changesSeal(type, object))) return changed;
  return { ...changed, blob: await domain.cells.reseal(token, object, changed) };
}

/** Types and lengths of the material that the keeper has cut out of this frame. */
function readMaterial(reader: WireReader): Map<number, number> {
  const bytes = reader.optionalBytes(LIMITS.bodyMax);
  if (bytes === null || bytes.length === 0) return new Map();
  const inner = new WireReader(bytes);
  const lengths = new Map<number, number>();
  for (const { type, value } of readTemplate(inner)) lengths.set(type, new WireReader(value).number());
  inner.end();
  return lengths;
}

export const handleCreate: Handler = async (domain, request, reader) => {
  const material = readMaterial(reader);
  const place = readPlace(reader);
  const template = collect(readTemplate(reader));
  reader.end();
  const caller = await findCaller(domain, request.client, place);
  const { objectClass, keyType } = identify(template);
  const attributes = buildAttributes({
    origin: 'create',
    objectClass,
    keyType,
    template,
    material: [...material.keys()],
    byOfficer: caller.role === 'so',
  });
  checkCreation(domain, caller, attributes);
  checkKeyLength(attributes, material.get(CKA.VALUE) ?? null);
  const draft = await draftGiven(domain, makerOf(caller), attributes, request.id);
  const [object] = await keep(domain, makerOf(caller), [draft]);
  if (object === undefined) throw new SidekeyError('internal', 'no key was created');
  recordMade(domain, actOf(caller), 'object-created', [object]);
  return replyHandle(object);
};

function draftGiven(
  domain: Domain,
  maker: Maker,
  attributes: Map<number, Buffer>,
  id: bigint,
): Promise<Draft> {
  const from = { origin: 'create' } as const;
  if (!isKey({ attributes })) return draftPlain(domain, maker, attributes, from);
  const components = publicComponents(attributes);
  const isPublic = classOf({ attributes }) === CKO.PUBLIC_KEY;
  return draftKey(domain, maker, attributes, from, (key) =>
    isPublic
      ? domain.keeper.importComponents(key, components)
      : domain.keeper.importMaterial(key, id, components),
  );
}

export const handleCopy: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const handle = reader.number();
  const template = collect(readTemplate(reader));
  reader.end();
  const caller = await findCaller(domain, request.client, place, handle);
  const object = getObject(domain, caller, handle);
  checkAllows(object, CKA.COPYABLE, 'CKA_COPYABLE');
  if (isKey(object)) demandUse(domain, caller, object, 'export');
  const attributes = changeAttributes(object, template, { isOfficer: caller.role === 'so', isCopy: true });
  if (has(object, CKA.PRIVATE) && !has({ attributes }, CKA.PRIVATE))
    throw new SidekeyError('template_inconsistent', 'a private object cannot be copied to a public one');
  checkCreation(domain, caller, attributes);
  const draft = await draftCopy(domain, caller, object, attributes);
  const [copy] = await keep(domain, makerOf(caller), [draft]);
  if (copy === undefined) throw new SidekeyError('internal', 'the keeper did not copy the key');
  recordMade(domain, actOf(caller), 'object-copied', [copy], { of: object.uniqueId });
  return replyHandle(copy);
};

async function draftCopy(
  domain: Domain,
  caller: Caller,
  object: TokenObject,
  attributes: Map<number, Buffer>,
): Promise<Draft> {
  const from = { origin: 'copy', bases: [object.attributes] } as const;
  if (isKey(object)) {
    const cell = await domain.cells.take(caller.token, object);
    const copyOf = sourceOf(object);
    const draft = await draftKey(domain, makerOf(caller), attributes, from, (key) => {
      const isLeased = key.owner !== null && copyOf !== null;
      return domain.keeper.copy(isLeased ? domain.cells.leasedAs(caller.token, copyOf, key) : key, cell);
    });
    return withSource(draft, copyOf);
  }
  if (isSealedData(object) && !attributes.has(CKA.VALUE))
    attributes.set(CKA.VALUE, await domain.cells.openData(caller.token, object));
  return draftPlain(domain, makerOf(caller), attributes, from);
}

/** The token key behind an object that is being copied: itself, or the key that it copies; null: none. */
function sourceOf({ handle, session, resident }: TokenObject): number | null {
  if (resident !== undefined) return null;
  return session === null ? handle : (session.copyOf ?? null);
}

function withSource(draft: Draft, copyOf: number | null): Draft {
  const own = draft.object.session;
  if (own === null || copyOf === null) return draft;
  return { ...draft, object: { ...draft.object, session: { ...own, copyOf } } };
}

export const handleDestroy: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const handle = reader.number();
  reader.end();
  const caller = await findCaller(domain, request.client, place, handle);
  const object = getObject(domain, caller, handle);
  checkWritable(caller, object.attributes);
  checkAllows(object, CKA.DESTROYABLE, 'CKA_DESTROYABLE');
  demandChange(domain, caller, object, 'destroy');
  if (object.resident !== undefined) {
    await destroyResident(domain, caller.client.peer, caller.token, object);
    return EMPTY_REPLY;
  }
  removeRecorded(domain, caller.client.peer, caller.token, object);
  if (object.session?.cell != null) domain.cells.drop(object.session.cell);
  domain.cells.forget(handle);
  await revoke(domain, place.slot, handle);
  return EMPTY_REPLY;
};

export const handleObjectSize: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const handle = reader.number();
  reader.end();
  const object = getObject(domain, await findCaller(domain, request.client, place, handle), handle);
  const bytes = encodeAttributes(object.attributes).length + (object.blob?.length ?? 0);
  return new WireWriter(8).u64(bytes).done();
};
