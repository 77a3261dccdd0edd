/** Which fields the strict KMIP server (fake-kmip-keys.ts) takes, and in which order. */
import { OLD_TAG, OPERATION, TAG } from '../../src/providers/kmip/tables.ts';

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
