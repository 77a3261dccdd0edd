/** Register and Get of keys as objects (KMIP 1.4, 4.3 and 4.11; 2.1, 6.1.45 and 6.1.20): what goes to the server, and what comes from it wrapped. */
import { encodeTemplate } from './attributes.ts';
import type { KmipCaller } from './client.ts';
import { KmipTrouble } from './fault.ts';
import { demandText } from './key-operations.ts';
import {
  bytes,
  enumeration,
  findBytes,
  findNumber,
  findStructure,
  findText,
  integer,
  structure,
  text,
  type Payload,
} from './message.ts';
import { ENCODING_OPTION, OLD_TAG, OPERATION, TAG, WRAPPING_METHOD } from './tables.ts';
import type { TtlvItem } from './ttlv.ts';

/** A key in the clear, in one of KMIP's formats. */
export interface KeyObject {
  readonly objectType: number;
  /** Of the structure that holds it: SymmetricKey, PublicKey or PrivateKey. */
  readonly tag: number;
  readonly format: number;
  readonly material: Buffer;
  readonly algorithm: number;
  readonly sizeBits: number;
}

function encodeKey({ tag, format, material, algorithm, sizeBits }: KeyObject): TtlvItem {
  const block = structure(
    TAG.KeyBlock,
    enumeration(TAG.KeyFormatType, format),
    structure(TAG.KeyValue, bytes(TAG.KeyMaterial, material)),
    enumeration(TAG.CryptographicAlgorithm, algorithm),
    integer(TAG.CryptographicLength, sizeBits),
  );
  return structure(tag, block);
}

/** The unique identifier. Not tried again when the answer is lost: there might be two. */
export function register(by: KmipCaller, name: string, key: KeyObject, attributes: Payload): Promise<string> {
  const tags = { template: OLD_TAG.TemplateAttribute, attributes: TAG.Attributes };
  return by.call({
    operation: OPERATION.Register,
    key: name,
    once: true,
    request: (version) => [
      enumeration(TAG.ObjectType, key.objectType),
      encodeTemplate(version, tags, attributes),
      encodeKey(key),
    ],
    response: (payload) => demandText(payload, TAG.UniqueIdentifier),
  });
}

/** By which key of the server's, and how. */
export interface Wrapping {
  readonly keyId: string;
  /** Cryptographic Parameters. */
  readonly parameters: TtlvItem;
}

function specificationOf({ keyId, parameters }: Wrapping): TtlvItem {
  return structure(
    TAG.KeyWrappingSpecification,
    enumeration(TAG.WrappingMethod, WRAPPING_METHOD.Encrypt),
    structure(TAG.EncryptionKeyInformation, text(TAG.UniqueIdentifier, keyId), parameters),
    enumeration(TAG.EncodingOption, ENCODING_OPTION.NoEncoding),
  );
}

/** The wrapped bytes. A server that ignores what it was asked gives the key in the clear: that is in no way used. */
function wrappedOf(payload: Payload, { keyId }: Wrapping): Buffer {
  const block = findStructure(findStructure(payload, TAG.SymmetricKey), TAG.KeyBlock);
  const data = findStructure(block, TAG.KeyWrappingData);
  const by = findText(findStructure(data, TAG.EncryptionKeyInformation), TAG.UniqueIdentifier);
  const value = findBytes(block, TAG.KeyValue);
  if (value === null || by !== keyId || findNumber(data, TAG.WrappingMethod) !== WRAPPING_METHOD.Encrypt)
    throw new KmipTrouble('the server did not wrap the key as it was asked');
  return Buffer.from(value);
}

/** The symmetric key `id`, encrypted by the server with another of its keys. */
export function getWrapped(by: KmipCaller, id: string, wrapping: Wrapping): Promise<Buffer> {
  return by.call({
    operation: OPERATION.Get,
    key: id,
    request: () => [text(TAG.UniqueIdentifier, id), specificationOf(wrapping)],
    response: (payload) => wrappedOf(payload, wrapping),
  });
}
