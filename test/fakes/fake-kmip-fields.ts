/** Which fields the strict KMIP server (fake-kmip-keys.ts) takes, in which order, and of which version. */
import {
  decodeVersion,
  findStructure,
  isAtLeast,
  type KmipVersion,
  type Payload,
} from '../../src/providers/kmip/message.ts';
import { OLD_TAG, OPERATION, TAG } from '../../src/providers/kmip/tables.ts';
import type { TtlvItem } from '../../src/providers/kmip/ttlv.ts';
import { refuse } from './fake-kmip-ciphers.ts';

const CRYPT = [
  TAG.UniqueIdentifier,
  TAG.CryptographicParameters,
  TAG.Data,
  TAG.IVCounterNonce,
  TAG.AuthenticatedEncryptionAdditionalData,
  TAG.AuthenticatedEncryptionTag,
];
/** Every field that an operation may have here, in order. */
export const FIELDS: Readonly<Record<number, readonly number[]>> = {
  [OPERATION.Query]: [TAG.QueryFunction],
  [OPERATION.Locate]: [TAG.MaximumItems, TAG.Attribute, TAG.Attributes],
  [OPERATION.GetAttributes]: [TAG.UniqueIdentifier, TAG.AttributeName, TAG.AttributeReference],
  [OPERATION.Create]: [TAG.ObjectType, OLD_TAG.TemplateAttribute, TAG.Attributes],
  [OPERATION.CreateKeyPair]: [
    OLD_TAG.CommonTemplateAttribute,
    TAG.CommonAttributes,
    OLD_TAG.PrivateKeyTemplateAttribute,
    TAG.PrivateKeyAttributes,
    OLD_TAG.PublicKeyTemplateAttribute,
    TAG.PublicKeyAttributes,
  ],
  [OPERATION.Activate]: [TAG.UniqueIdentifier],
  [OPERATION.Revoke]: [TAG.UniqueIdentifier, TAG.RevocationReason],
  [OPERATION.Destroy]: [TAG.UniqueIdentifier],
  [OPERATION.Get]: [TAG.UniqueIdentifier, TAG.KeyFormatType, TAG.KeyWrappingSpecification],
  [OPERATION.Register]: [
    TAG.ObjectType,
    OLD_TAG.TemplateAttribute,
    TAG.Attributes,
    TAG.SymmetricKey,
    TAG.PublicKey,
    TAG.PrivateKey,
  ],
  [OPERATION.Rekey]: [TAG.UniqueIdentifier],
  [OPERATION.RekeyKeyPair]: [TAG.PrivateKeyUniqueIdentifier],
  [OPERATION.SignatureVerify]: [
    TAG.UniqueIdentifier,
    TAG.CryptographicParameters,
    TAG.Data,
    TAG.DigestedData,
    TAG.SignatureData,
  ],
  [OPERATION.Sign]: [TAG.UniqueIdentifier, TAG.CryptographicParameters, TAG.Data, TAG.DigestedData],
  [OPERATION.MAC]: [TAG.UniqueIdentifier, TAG.CryptographicParameters, TAG.Data],
  [OPERATION.RNGRetrieve]: [TAG.DataLength],
  [OPERATION.Encrypt]: CRYPT,
  [OPERATION.Decrypt]: CRYPT,
};

/** The first operation, and the first tag, of each version: numbers were given out in order. */
const SINCE: readonly { readonly version: KmipVersion; readonly operation: number; readonly tag: number }[] =
  [
    { version: { major: 1, minor: 1 }, operation: 0x1d, tag: 0x4200a2 },
    { version: { major: 1, minor: 2 }, operation: 0x1f, tag: 0x4200b8 },
    { version: { major: 1, minor: 3 }, operation: 0x2a, tag: 0x4200d4 },
    { version: { major: 1, minor: 4 }, operation: 0x2a, tag: 0x4200f8 },
    { version: { major: 2, minor: 0 }, operation: 0x2c, tag: 0x42010e },
  ];
/** Such as a Key Wrapping Specification's Cryptographic Algorithm: the tag is older than its place. */
const PLACES: readonly { readonly within: number; readonly tag: number; readonly version: KmipVersion }[] = [
  { within: TAG.CryptographicParameters, tag: TAG.CryptographicAlgorithm, version: { major: 1, minor: 2 } },
];

/** Of those that are known here. */
export function operationsOf(version: KmipVersion): number[] {
  return Object.keys(FIELDS)
    .map(Number)
    .filter((each) => isOperationOf(version, each));
}

function isOperationOf(version: KmipVersion, operation: number): boolean {
  return SINCE.every(
    (row) => operation < row.operation || isAtLeast(version, row.version.major, row.version.minor),
  );
}

/** Tags that the version does not have yet are refused, wherever they stand. */
function demandTags(version: KmipVersion, items: Payload, within: number): void {
  const has = (since: KmipVersion): boolean => isAtLeast(version, since.major, since.minor);
  for (const item of items) {
    const tooNew =
      SINCE.some((row) => item.tag >= row.tag && !has(row.version)) ||
      PLACES.some((row) => row.within === within && row.tag === item.tag && !has(row.version));
    if (tooNew) refuse('InvalidMessage', `tag ${item.tag.toString(16)} is not of this version`);
    if (item.type === 'structure') demandTags(version, item.value, item.tag);
  }
}

/** The whole message, after the finding of a version, is of that version. */
export function demandVersion(version: KmipVersion, message: TtlvItem, operation: number): void {
  const all = message.type === 'structure' ? message.value : [];
  const header = findStructure(findStructure(all, TAG.RequestHeader), TAG.ProtocolVersion);
  const said = decodeVersion(header);
  const isDiscovery = operation === OPERATION.DiscoverVersions && version.major + version.minor > 1;
  const isSame = said?.major === version.major && said.minor === version.minor;
  if (!isSame && !isDiscovery) refuse('InvalidMessage', 'another protocol version');
  if (!isOperationOf(version, operation)) refuse('OperationNotSupported', `${operation}`);
  if (operation !== OPERATION.DiscoverVersions) demandTags(version, all, message.tag);
}
