/**
 * Turns a caller's template into an object's attributes, by the rules of attributes.ts (PKCS#11 3.1, 4.1):
 * what may be set, what must be, what the token adds, and what may change later.
 */
import { SidekeyError } from '../../errors.ts';
import type { AttributeMap } from './attribute-value.ts';
import {
  decodeTemplate,
  defaultValue,
  encodeBool,
  encodeUlong,
  parseValue,
  readBool,
  readUlong,
} from './attribute-value.ts';
import type { AttributeRow, ObjectKind, Origin } from './attributes.ts';
import { findRow, rowsOf } from './attributes.ts';
import { CKA, CKK, CKO, UNAVAILABLE } from '../cryptoki.ts';
import { hasDomainParameters, isPairType } from './key-types.ts';
import type { Template } from '../ports.ts';
import { has, isKey, keyTypeOf, kindOf, kindOfClass, type TokenObject } from './token-object.ts';

export interface NewObject {
  readonly origin: Origin;
  readonly objectClass: number;
  readonly keyType: number | null;
  readonly template: AttributeMap;
  /** Types of the material that came with the template (create). */
  readonly material?: readonly number[];
  /** The security officer is asking, who alone may set CKA_TRUSTED (PKCS#11 3.1, 4.6.2). */
  readonly byOfficer?: boolean;
}

/** A template as a map. The same attribute with two values is template_inconsistent. */
export function collect(template: Template): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  for (const { type, value } of template) {
    const earlier = attributes.get(type);
    if (earlier !== undefined && !earlier.equals(value))
      throw new SidekeyError(
        'template_inconsistent',
        `attribute 0x${type.toString(16)} occurs twice in a template`,
      );
    attributes.set(type, Buffer.from(value));
  }
  return attributes;
}

/** CKA_CLASS and CKA_KEY_TYPE of a template; the operation may imply them. */
export function identify(
  template: AttributeMap,
  implied: { objectClass?: number; keyType?: number } = {},
): { objectClass: number; keyType: number | null; kind: ObjectKind } {
  const objectClass = agree(template, CKA.CLASS, implied.objectClass);
  if (objectClass === null) throw new SidekeyError('template_incomplete', 'CKA_CLASS is missing');
  const kind = kindOfClass(objectClass);
  if (kind === null)
    throw new SidekeyError('attribute_value_invalid', `class ${objectClass} is not supported`);
  if (kind === 'data' || kind === 'certificate') return { objectClass, keyType: null, kind };
  const keyType = agree(template, CKA.KEY_TYPE, implied.keyType);
  if (keyType === null) throw new SidekeyError('template_incomplete', 'CKA_KEY_TYPE is missing');
  if (!(Object.values(CKK) as number[]).includes(keyType))
    throw new SidekeyError('attribute_value_invalid', `key type 0x${keyType.toString(16)} is not supported`);
  checkPairing(kind, keyType);
  return { objectClass, keyType, kind };
}

function agree(template: AttributeMap, type: number, implied: number | undefined): number | null {
  const bytes = template.get(type);
  if (bytes === undefined) return implied ?? null;
  const given = readUlong(template, type);
  if (given === null)
    throw new SidekeyError('attribute_value_invalid', 'CKA_CLASS or CKA_KEY_TYPE is not a known number');
  if (implied !== undefined && given !== implied)
    throw new SidekeyError('template_inconsistent', 'CKA_CLASS or CKA_KEY_TYPE does not match the mechanism');
  return given;
}

function checkPairing(kind: ObjectKind, keyType: number): void {
  if (kind === 'domain' ? !hasDomainParameters(keyType) : (kind === 'secret') === isPairType(keyType))
    throw new SidekeyError('template_inconsistent', 'CKA_CLASS and CKA_KEY_TYPE do not match');
}

/** The attribute's row; throws attribute_type_invalid. */
function demandRow(type: number, kind: ObjectKind, keyType: number | null): AttributeRow {
  const row = findRow(type, kind, keyType);
  if (row !== null) return row;
  throw new SidekeyError(
    'attribute_type_invalid',
    `a ${kind} object has no attribute 0x${type.toString(16)}`,
  );
}

/**
 * The attributes of a new object, before the keeper's components are added. Performs all checks of the
 * template.
 */
export function buildAttributes(wanted: NewObject): Map<number, Buffer> {
  const kind = kindOfClass(wanted.objectClass);
  if (kind === null) throw new SidekeyError('attribute_value_invalid', 'this class is not supported');
  const attributes = new Map<number, Buffer>();
  for (const [type, value] of wanted.template) {
    const row = demandRow(type, kind, wanted.keyType);
    attributes.set(type, takeGiven(row, value, wanted));
  }
  attributes.set(CKA.CLASS, encodeUlong(wanted.objectClass));
  if (wanted.keyType !== null) attributes.set(CKA.KEY_TYPE, encodeUlong(wanted.keyType));
  checkMaterial(wanted, kind);
  for (const row of rowsOf(kind, wanted.keyType)) fillRow(row, wanted, attributes);
  checkDates(attributes);
  return attributes;
}

function takeGiven(row: AttributeRow, value: Buffer, { origin, byOfficer = false }: NewObject): Buffer {
  const isOfficers = row.change === 'so' && readBool(new Map([[row.type, value]]), row.type);
  if (!row.set.includes(origin) || (isOfficers && !byOfficer))
    throw new SidekeyError('attribute_read_only', `${row.name} cannot be given here`);
  if (row.material === true)
    throw new SidekeyError('template_inconsistent', `${row.name} was not sent as key material`);
  return parseValue(row, value);
}

function checkMaterial({ material = [], keyType }: NewObject, kind: ObjectKind): void {
  for (const type of material) demandRow(type, kind, keyType);
}

function fillRow(row: AttributeRow, wanted: NewObject, attributes: Map<number, Buffer>): void {
  if (attributes.has(row.type)) return;
  const isMaterial = row.material === true && (wanted.material ?? []).includes(row.type);
  if (row.needed?.includes(wanted.origin) === true && !isMaterial && !isWaived(row, wanted))
    throw new SidekeyError('template_incomplete', `${row.name} is missing`);
  const like = row.like === undefined ? undefined : attributes.get(row.like);
  const yielded = row.yields !== undefined && readBool(attributes, row.yields);
  const implied = like ?? (yielded ? encodeBool(false) : defaultValue(row));
  const value = row.material === true ? null : implied;
  if (value !== null) attributes.set(row.type, value);
}

/**
 * A certificate may have a URL instead of a value, a private key the seed it was made from; only generating
 * AES requires a length.
 */
function isWaived(row: AttributeRow, { template, objectClass, material = [] }: NewObject): boolean {
  if (row.type !== CKA.VALUE) return false;
  if (objectClass === CKO.CERTIFICATE) return (template.get(CKA.URL)?.length ?? 0) > 0;
  return objectClass === CKO.PRIVATE_KEY && material.includes(CKA.SEED);
}

function checkDates(attributes: AttributeMap): void {
  const start = attributes.get(CKA.START_DATE)?.toString('latin1') ?? '';
  const end = attributes.get(CKA.END_DATE)?.toString('latin1') ?? '';
  if (start !== '' && end !== '' && end < start)
    throw new SidekeyError('template_inconsistent', 'CKA_END_DATE is before CKA_START_DATE');
}

/**
 * Attributes that only the token sets (PKCS#11 3.1, 4.9): where a key comes from, and whether it was always
 * so. `bases` are the keys that it was derived or copied from.
 */
export function addProvenance(
  attributes: Map<number, Buffer>,
  origin: Origin | 'copy',
  uniqueId: string,
  details: { mechanism?: number; bases?: readonly AttributeMap[] } = {},
): void {
  attributes.set(CKA.UNIQUE_ID, Buffer.from(uniqueId, 'latin1'));
  if (!attributes.has(CKA.KEY_TYPE)) return;
  const { mechanism, bases } = details;
  if (origin !== 'copy') attributes.set(CKA.LOCAL, encodeBool(origin === 'generate'));
  if (origin !== 'copy' && isKey({ attributes }))
    attributes.set(CKA.KEY_GEN_MECHANISM, mechanism === undefined ? UNAVAILABLE : encodeUlong(mechanism));
  if (!attributes.has(CKA.SENSITIVE)) return;
  const always = (type: number): boolean =>
    origin === 'generate' || (bases?.every((base) => readBool(base, type)) ?? false);
  const sensitive = readBool(attributes, CKA.SENSITIVE) && always(CKA.ALWAYS_SENSITIVE);
  const closed = !readBool(attributes, CKA.EXTRACTABLE) && always(CKA.NEVER_EXTRACTABLE);
  attributes.set(CKA.ALWAYS_SENSITIVE, encodeBool(sensitive));
  attributes.set(CKA.NEVER_EXTRACTABLE, encodeBool(closed));
}

/** Adds the keeper's components, which override the template. Unknown ones are ignored. */
export function addComponents(attributes: Map<number, Buffer>, components: Template): void {
  const object = { attributes };
  for (const { type, value } of components) {
    const row = findRow(type, kindOf(object), keyTypeOf(object));
    if (row === null || row.material === true) continue;
    if (type === CKA.CHECK_VALUE && isSettled(attributes.get(type), value)) continue;
    attributes.set(type, Buffer.from(value));
  }
}

/**
 * PKCS#11 3.1, 4.10.2: a check value in the template must be right; an empty one means the key shall have
 * none.
 */
function isSettled(given: Buffer | undefined, found: Uint8Array): boolean {
  if (given === undefined) return false;
  if (given.length > 0 && !given.equals(found))
    throw new SidekeyError('attribute_value_invalid', 'CKA_CHECK_VALUE does not match the key');
  return true;
}

const ALLOWED: Readonly<
  Record<AttributeRow['change'], (from: boolean, to: boolean, by: Changer) => boolean>
> = {
  no: () => false,
  free: () => true,
  raise: (from, to) => to || !from,
  lower: (from, to) => !to || from,
  so: (_from, to, by) => by.isOfficer || !to,
  copy: (_from, _to, by) => by.isCopy,
};

export interface Changer {
  readonly isOfficer: boolean;
  readonly isCopy: boolean;
}

/** The attributes after C_SetAttributeValue or C_CopyObject. */
export function changeAttributes(
  object: TokenObject,
  template: AttributeMap,
  by: Changer,
): Map<number, Buffer> {
  const attributes = new Map(object.attributes);
  for (const [type, given] of template) {
    const row = demandRow(type, kindOf(object), keyTypeOf(object));
    if (row.material === true) throw new SidekeyError('attribute_read_only', `${row.name} cannot change`);
    const value = parseValue(row, given);
    const same = by.isCopy && attributes.get(type)?.equals(value) === true;
    if (!same && !ALLOWED[row.change](has(object, type), value[0] === 1, by))
      throw new SidekeyError('attribute_read_only', `${row.name} cannot change in this way`);
    attributes.set(type, value);
  }
  checkDates(attributes);
  return attributes;
}

/**
 * Merges the key's CKA_UNWRAP_TEMPLATE or CKA_DERIVE_TEMPLATE; template_inconsistent if the caller's template
 * differs.
 */
export function mergeDemanded(template: Map<number, Buffer>, demanded: Buffer | undefined): void {
  for (const { type, value } of decodeTemplate(demanded ?? Buffer.alloc(0))) {
    const given = template.get(type);
    if (given !== undefined && !given.equals(value))
      throw new SidekeyError('template_inconsistent', "the key's own template demands another value");
    template.set(type, value);
  }
}

/** Whether an object has every attribute of a template (C_FindObjects, CKA_WRAP_TEMPLATE), byte for byte. */
export function matches(attributes: AttributeMap, template: Iterable<readonly [number, Buffer]>): boolean {
  for (const [type, value] of template) if (attributes.get(type)?.equals(value) !== true) return false;
  return true;
}

const PUBLIC_COMPONENTS: readonly number[] = [
  ...[CKA.MODULUS, CKA.PUBLIC_EXPONENT, CKA.EC_PARAMS, CKA.EC_POINT],
  ...[CKA.PRIME, CKA.SUBPRIME, CKA.BASE, CKA.PARAMETER_SET, CKA.VALUE],
];

/**
 * A key's public components, from its attributes or from the keeper's answer. CKA_VALUE is included for
 * public keys only.
 */
export function publicComponents(attributes: AttributeMap): { type: number; value: Buffer }[] {
  return PUBLIC_COMPONENTS.flatMap((type) => {
    const value = attributes.get(type);
    return value === undefined || value.length === 0 ? [] : [{ type, value }];
  });
}
