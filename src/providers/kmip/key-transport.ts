/** Register and Get of keys as objects (KMIP 1.4, 4.3 and 4.11; 2.1, 6.1.45 and 6.1.20): what goes to the server, and what comes from it wrapped. */
import { encodeTemplate } from './attributes.ts';
import type { Carried } from '../key-service.ts';
import type { KmipCaller } from './client.ts';
import { KmipTransportError } from './fault.ts';
import { demandText } from './key-operations.ts';
import {
  bytes,
  enumeration,
  findBytes,
  findNumber,
  findStructure,
  findText,
  integer,
  isAtLeast,
  structure,
  text,
  type KmipVersion,
  type Payload,
} from './message.ts';
import { cipherParameters } from './resident-tables.ts';
import {
  ENCODING_OPTION,
  HASHING_ALGORITHM,
  OLD_TAG,
  OPERATION,
  PADDING_METHOD,
  TAG,
  WRAPPING_METHOD,
} from './tables.ts';
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

/** Of a Key Value of bytes alone, as TTLV: its own head, and that of the Key Material. */
const ENCODED_HEAD_BYTES = 16;

/** How servers of one version and later ones wrap by RSA-OAEP; the first that fits. */
const FORMS: readonly {
  readonly since: KmipVersion;
  readonly hash: Carried['hash'];
  readonly parameters: TtlvItem;
  readonly encoding: readonly TtlvItem[];
  readonly headBytes: number;
}[] = (() => {
  const encoding = [enumeration(TAG.EncodingOption, ENCODING_OPTION.NoEncoding)];
  const recent = { scheme: 'rsa-oaep', hash: 'sha256', encrypts: true } as const;
  // The hash of the mask cannot be said before 1.4: of SHA-1 alone all who read PKCS #1 mean the same.
  const old = structure(
    TAG.CryptographicParameters,
    enumeration(TAG.PaddingMethod, PADDING_METHOD.OAEP),
    enumeration(TAG.HashingAlgorithm, HASHING_ALGORITHM.SHA1),
  );
  return [
    {
      ...{ since: { major: 1, minor: 4 }, hash: 'sha256', encoding, headBytes: 0 },
      parameters: cipherParameters(recent, { tagBits: 0, label: Buffer.alloc(0) }),
    },
    { since: { major: 1, minor: 1 }, hash: 'sha1', parameters: old, encoding, headBytes: 0 },
    // What is wrapped is the Key Value as it is encoded (KMIP 1.0, 2.1.5).
    {
      ...{ since: { major: 1, minor: 0 }, hash: 'sha1', parameters: old },
      ...{ encoding: [], headBytes: ENCODED_HEAD_BYTES },
    },
  ];
})();

function formOf(version: KmipVersion): (typeof FORMS)[number] {
  const form = FORMS.find(({ since }) => isAtLeast(version, since.major, since.minor));
  if (form === undefined) throw new TypeError('the oldest version has no form');
  return form;
}

/** By the key `keyId` of the server's, with these Cryptographic Parameters. */
export function wrappingSpecification(
  keyId: string,
  { parameters, encoding }: { readonly parameters: TtlvItem; readonly encoding: readonly TtlvItem[] },
): TtlvItem {
  return structure(
    TAG.KeyWrappingSpecification,
    enumeration(TAG.WrappingMethod, WRAPPING_METHOD.Encrypt),
    structure(TAG.EncryptionKeyInformation, text(TAG.UniqueIdentifier, keyId), parameters),
    ...encoding,
  );
}

/** The wrapped bytes. A server that ignores what it was asked gives the key in the clear: that is in no way used. */
function wrappedOf(payload: Payload, keyId: string): Buffer {
  const block = findStructure(findStructure(payload, TAG.SymmetricKey), TAG.KeyBlock);
  const data = findStructure(block, TAG.KeyWrappingData);
  const by = findText(findStructure(data, TAG.EncryptionKeyInformation), TAG.UniqueIdentifier);
  const value = findBytes(block, TAG.KeyValue);
  if (value === null || by !== keyId || findNumber(data, TAG.WrappingMethod) !== WRAPPING_METHOD.Encrypt)
    throw new KmipTransportError('the server did not wrap the key as requested');
  return Buffer.from(value);
}

/** The symmetric key `id`, encrypted by the server with the public key `keyId`. */
export function getWrapped(by: KmipCaller, id: string, keyId: string): Promise<Carried> {
  let agreed: KmipVersion = { major: 1, minor: 0 };
  return by.call({
    operation: OPERATION.Get,
    key: id,
    request: (version) => {
      agreed = version;
      return [text(TAG.UniqueIdentifier, id), wrappingSpecification(keyId, formOf(version))];
    },
    response: (payload) => {
      const { hash, headBytes } = formOf(agreed);
      return { bytes: wrappedOf(payload, keyId), hash, headBytes };
    },
  });
}
