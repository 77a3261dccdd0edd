/**
 * Attributes of managed objects: one item under the attribute's own tag, as 2.x has them. 1.x puts each into a structure with its name (KMIP
 * 1.4, 2.1.1; 2.1, 4); the two are changed into each other here, and nowhere else.
 */
import {
  enumeration,
  findAll,
  findStructure,
  findText,
  structure,
  text,
  type KmipVersion,
  type Payload,
} from './message.ts';
import { TAG } from './tables.ts';
import type { TtlvItem } from './ttlv.ts';

/** The attributes that the adapter speaks of, as 1.x names them. */
export const ATTRIBUTE_NAMES = {
  'Cryptographic Algorithm': TAG.CryptographicAlgorithm,
  'Cryptographic Domain Parameters': TAG.CryptographicDomainParameters,
  'Cryptographic Length': TAG.CryptographicLength,
  'Cryptographic Usage Mask': TAG.CryptographicUsageMask,
  'Initial Date': TAG.InitialDate,
  Link: TAG.Link,
  Name: TAG.Name,
  'Object Type': TAG.ObjectType,
  State: TAG.State,
} as const;

export type AttributeName = keyof typeof ATTRIBUTE_NAMES;

const UNINTERPRETED_TEXT_STRING = 1;

function nameOfTag(tag: number): string {
  return Object.entries(ATTRIBUTE_NAMES).find(([, each]) => each === tag)?.[0] ?? '';
}

function isNew({ major }: KmipVersion): boolean {
  return major >= 2;
}

/** The Name attribute. */
export function nameAttribute(name: string): TtlvItem {
  return structure(TAG.Name, text(TAG.NameValue, name), enumeration(TAG.NameType, UNINTERPRETED_TEXT_STRING));
}

function encodeOld(item: TtlvItem): TtlvItem {
  const name = text(TAG.AttributeName, nameOfTag(item.tag));
  return structure(TAG.Attribute, name, { ...item, tag: TAG.AttributeValue });
}

/** What Locate filters by: in 1.x beside each other, in 2.x in one structure. */
export function encodeFilter(version: KmipVersion, attributes: Payload): Payload {
  return isNew(version) ? [structure(TAG.Attributes, ...attributes)] : attributes.map(encodeOld);
}

/** What a new object gets: each version has a structure of its own for it. */
export function encodeTemplate(
  version: KmipVersion,
  tags: { readonly template: number; readonly attributes: number },
  attributes: Payload,
): TtlvItem {
  if (isNew(version)) return structure(tags.attributes, ...attributes);
  return structure(tags.template, ...attributes.map(encodeOld));
}

/** Which attributes Get Attributes shall give. */
export function encodeReferences(version: KmipVersion, names: readonly AttributeName[]): Payload {
  if (isNew(version)) return names.map((name) => enumeration(TAG.AttributeReference, ATTRIBUTE_NAMES[name]));
  return names.map((name) => text(TAG.AttributeName, name));
}

/** Of an answer to Get Attributes; those that the adapter does not know are left out. */
export function decodeAttributes(payload: Payload): TtlvItem[] {
  const old = findAll(payload, TAG.Attribute).flatMap((attribute) => {
    const parts = attribute.type === 'structure' ? attribute.value : [];
    const tag = Object.entries(ATTRIBUTE_NAMES).find(([name]) => name === findText(parts, TAG.AttributeName));
    const value = parts.find((part) => part.tag === TAG.AttributeValue);
    return tag === undefined || value === undefined ? [] : [{ ...value, tag: tag[1] }];
  });
  return [...old, ...findStructure(payload, TAG.Attributes)];
}
