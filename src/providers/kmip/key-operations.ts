/** The operations of a KMIP server on keys that stay there: find, describe, make, destroy (KMIP 1.4, 4; 2.1, 6). */
import {
  ATTRIBUTE_NAMES,
  decodeAttributes,
  encodeFilter,
  encodeReferences,
  encodeTemplate,
} from './attributes.ts';
import type { AttributeName } from './attributes.ts';
import type { KmipCaller } from './client.ts';
import { KmipTransportError } from './fault.ts';
import {
  enumeration,
  findAll,
  findBytes,
  findNumber,
  findStructure,
  findText,
  integer,
  structure,
  text,
  type KmipVersion,
  type Payload,
} from './message.ts';
import {
  LINK_TYPE,
  OBJECT_TYPE,
  OLD_TAG,
  OPERATION,
  QUERY_FUNCTION,
  REVOCATION_REASON_CODE,
  TAG,
} from './tables.ts';
import type { TtlvItem } from './ttlv.ts';

/** What the server says of an object; null: nothing. */
export interface KeyDescription {
  readonly names: readonly string[];
  readonly objectType: number | null;
  readonly algorithm: number | null;
  readonly sizeBits: number | null;
  readonly usage: number;
  readonly state: number | null;
  readonly curve: number | null;
  readonly createdAt: number | null;
  /** Of a private key. */
  readonly publicKeyId: string | null;
  /** After a Re-key: what stands in its place, and what it took the place of. */
  readonly replacementId: string | null;
  readonly replacedId: string | null;
  /** By which it was asked. */
  readonly version: KmipVersion;
}

const DESCRIBED = Object.keys(ATTRIBUTE_NAMES) as AttributeName[];

export function demandText(payload: Payload, tag: number): string {
  const found = findText(payload, tag);
  if (found === null || found === '') throw new KmipTransportError('the answer has no unique identifier');
  return found;
}

/** What a server says of itself. */
export interface ServerDescription {
  readonly operations: ReadonlySet<number>;
  /** Empty: it did not say. */
  readonly vendor: string;
}

export function queryServer(by: KmipCaller): Promise<ServerDescription> {
  return by.call({
    operation: OPERATION.Query,
    key: '-',
    request: () =>
      [QUERY_FUNCTION.QueryOperations, QUERY_FUNCTION.QueryServerInformation].map((wanted) =>
        enumeration(TAG.QueryFunction, wanted),
      ),
    response: (payload) => {
      const operations = findAll(payload, TAG.Operation).map(({ value }) => Number(value));
      return {
        operations: new Set(operations),
        vendor: findText(payload, TAG.VendorIdentification) ?? '',
      };
    },
  });
}

/** Unique identifiers of at most `max` objects that have all of these attributes. */
export function locate(by: KmipCaller, attributes: Payload, max: number): Promise<string[]> {
  return by.call({
    operation: OPERATION.Locate,
    key: '-',
    request: (version) => [integer(TAG.MaximumItems, max), ...encodeFilter(version, attributes)],
    response: (payload) =>
      findAll(payload, TAG.UniqueIdentifier).flatMap((item) => (item.type === 'text' ? [item.value] : [])),
  });
}

function linkedId(attributes: Payload, type: number): string | null {
  const links = findAll(attributes, TAG.Link).map((link) => (link.type === 'structure' ? link.value : []));
  const link = links.find((parts) => findNumber(parts, TAG.LinkType) === type);
  return link === undefined ? null : findText(link, TAG.LinkedObjectIdentifier);
}

function describe(attributes: Payload, version: KmipVersion): KeyDescription {
  const date = attributes.find(({ tag }) => tag === TAG.InitialDate);
  return {
    names: findAll(attributes, TAG.Name).flatMap((name) => {
      const value = name.type === 'structure' ? findText(name.value, TAG.NameValue) : null;
      return value === null ? [] : [value];
    }),
    objectType: findNumber(attributes, TAG.ObjectType),
    algorithm: findNumber(attributes, TAG.CryptographicAlgorithm),
    sizeBits: findNumber(attributes, TAG.CryptographicLength),
    usage: findNumber(attributes, TAG.CryptographicUsageMask) ?? 0,
    state: findNumber(attributes, TAG.State),
    curve: findNumber(findStructure(attributes, TAG.CryptographicDomainParameters), TAG.RecommendedCurve),
    createdAt: date?.type === 'dateTime' ? Number(date.value) * 1000 : null,
    publicKeyId: linkedId(attributes, LINK_TYPE.PublicKeyLink),
    replacementId: linkedId(attributes, LINK_TYPE.ReplacementObjectLink),
    replacedId: linkedId(attributes, LINK_TYPE.ReplacedObjectLink),
    version,
  };
}

export function describeKey(by: KmipCaller, id: string): Promise<KeyDescription> {
  let version: KmipVersion = { major: 1, minor: 0 };
  return by.call({
    operation: OPERATION.GetAttributes,
    key: id,
    request: (agreed) => {
      version = agreed;
      return [text(TAG.UniqueIdentifier, id), ...encodeReferences(agreed, DESCRIBED)];
    },
    response: (payload) => describe(decodeAttributes(payload), version),
  });
}

/** Not tried again when the answer is lost: there might be two. */
export function createSecretKey(by: KmipCaller, name: string, attributes: Payload): Promise<string> {
  const tags = { template: OLD_TAG.TemplateAttribute, attributes: TAG.Attributes };
  return by.call({
    operation: OPERATION.Create,
    key: name,
    once: true,
    request: (version) => [
      enumeration(TAG.ObjectType, OBJECT_TYPE.SymmetricKey),
      encodeTemplate(version, tags, attributes),
    ],
    response: (payload) => demandText(payload, TAG.UniqueIdentifier),
  });
}

export interface PairAttributes {
  readonly common: Payload;
  readonly private: Payload;
  readonly public: Payload;
}

function pairTemplates(version: KmipVersion, given: PairAttributes): TtlvItem[] {
  const tags = {
    common: { template: OLD_TAG.CommonTemplateAttribute, attributes: TAG.CommonAttributes },
    private: { template: OLD_TAG.PrivateKeyTemplateAttribute, attributes: TAG.PrivateKeyAttributes },
    public: { template: OLD_TAG.PublicKeyTemplateAttribute, attributes: TAG.PublicKeyAttributes },
  };
  return [
    encodeTemplate(version, tags.common, given.common),
    encodeTemplate(version, tags.private, given.private),
    encodeTemplate(version, tags.public, given.public),
  ];
}

export function createKeyPair(
  by: KmipCaller,
  name: string,
  attributes: PairAttributes,
): Promise<{ privateKeyId: string; publicKeyId: string }> {
  return by.call({
    operation: OPERATION.CreateKeyPair,
    key: name,
    once: true,
    request: (version) => pairTemplates(version, attributes),
    response: (payload) => ({
      privateKeyId: demandText(payload, TAG.PrivateKeyUniqueIdentifier),
      publicKeyId: demandText(payload, TAG.PublicKeyUniqueIdentifier),
    }),
  });
}

/** The key that takes the place of another, and its name (KMIP 1.4, 4.4; 2.1, 6.1.46). */
export function rekey(by: KmipCaller, id: string): Promise<string> {
  return by.call({
    operation: OPERATION.Rekey,
    key: id,
    once: true,
    request: () => [text(TAG.UniqueIdentifier, id)],
    response: (payload) => demandText(payload, TAG.UniqueIdentifier),
  });
}

/** The same of a pair, by its private key (KMIP 1.4, 4.5; 2.1, 6.1.47). */
export function rekeyPair(
  by: KmipCaller,
  id: string,
): Promise<{ privateKeyId: string; publicKeyId: string }> {
  return by.call({
    operation: OPERATION.RekeyKeyPair,
    key: id,
    once: true,
    request: () => [text(TAG.PrivateKeyUniqueIdentifier, id)],
    response: (payload) => ({
      privateKeyId: demandText(payload, TAG.PrivateKeyUniqueIdentifier),
      publicKeyId: demandText(payload, TAG.PublicKeyUniqueIdentifier),
    }),
  });
}

function change(by: KmipCaller, operation: number, id: string, ...more: TtlvItem[]): Promise<void> {
  return by.call({
    operation,
    key: id,
    request: () => [text(TAG.UniqueIdentifier, id), ...more],
    response: () => undefined,
  });
}

export const activate = (by: KmipCaller, id: string): Promise<void> => change(by, OPERATION.Activate, id);
export const destroy = (by: KmipCaller, id: string): Promise<void> => change(by, OPERATION.Destroy, id);

/** An active key cannot be destroyed. */
export function revoke(by: KmipCaller, id: string): Promise<void> {
  const code = enumeration(TAG.RevocationReasonCode, REVOCATION_REASON_CODE.CessationofOperation);
  return change(by, OPERATION.Revoke, id, structure(TAG.RevocationReason, code));
}

/** A public key's bytes and what they are (a Key Format Type), as the server keeps it or, with `format`, changed into that. */
export function getPublicKey(
  by: KmipCaller,
  id: string,
  format: number | null,
): Promise<{ format: number | null; material: Buffer | null }> {
  return by.call({
    operation: OPERATION.Get,
    key: id,
    request: () => [
      text(TAG.UniqueIdentifier, id),
      ...(format === null ? [] : [enumeration(TAG.KeyFormatType, format)]),
    ],
    response: (payload) => {
      const block = findStructure(findStructure(payload, TAG.PublicKey), TAG.KeyBlock);
      const value = findStructure(block, TAG.KeyValue);
      // Bytes, or of a transparent key the parts: of one on a curve the point.
      const material =
        findBytes(value, TAG.KeyMaterial) ?? findBytes(findStructure(value, TAG.KeyMaterial), TAG.QString);
      return {
        format: findNumber(block, TAG.KeyFormatType),
        material: material === null ? null : Buffer.from(material),
      };
    },
  });
}
