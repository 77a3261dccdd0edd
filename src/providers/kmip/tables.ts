/** Tags and enumerations of KMIP that the adapter speaks, by the names of the specification; a test holds them equal to OASIS's tables. */

export const TAG = {
  Attribute: 0x420008,
  AttributeName: 0x42000a,
  AttributeValue: 0x42000b,
  BatchCount: 0x42000d,
  BatchItem: 0x42000f,
  BlockCipherMode: 0x420011,
  CryptographicAlgorithm: 0x420028,
  CryptographicDomainParameters: 0x420029,
  CryptographicLength: 0x42002a,
  CryptographicParameters: 0x42002b,
  CryptographicUsageMask: 0x42002c,
  EncryptionKeyInformation: 0x420036,
  HashingAlgorithm: 0x420038,
  InitialDate: 0x420039,
  IVCounterNonce: 0x42003d,
  KeyBlock: 0x420040,
  KeyFormatType: 0x420042,
  KeyMaterial: 0x420043,
  KeyValue: 0x420045,
  KeyWrappingData: 0x420046,
  KeyWrappingSpecification: 0x420047,
  Link: 0x42004a,
  LinkType: 0x42004b,
  LinkedObjectIdentifier: 0x42004c,
  MaximumItems: 0x42004f,
  MaximumResponseSize: 0x420050,
  Name: 0x420053,
  NameType: 0x420054,
  NameValue: 0x420055,
  ObjectType: 0x420057,
  Operation: 0x42005c,
  PaddingMethod: 0x42005f,
  PrivateKey: 0x420064,
  PrivateKeyUniqueIdentifier: 0x420066,
  ProtocolVersion: 0x420069,
  ProtocolVersionMajor: 0x42006a,
  ProtocolVersionMinor: 0x42006b,
  PublicKey: 0x42006d,
  PublicKeyUniqueIdentifier: 0x42006f,
  QString: 0x420072,
  Qlength: 0x420073,
  QueryFunction: 0x420074,
  RecommendedCurve: 0x420075,
  RequestHeader: 0x420077,
  RequestMessage: 0x420078,
  RequestPayload: 0x420079,
  ResponseHeader: 0x42007a,
  ResponseMessage: 0x42007b,
  ResponsePayload: 0x42007c,
  ResultMessage: 0x42007d,
  ResultReason: 0x42007e,
  ResultStatus: 0x42007f,
  RevocationReason: 0x420081,
  RevocationReasonCode: 0x420082,
  State: 0x42008d,
  SymmetricKey: 0x42008f,
  UniqueIdentifier: 0x420094,
  ValidityIndicator: 0x42009b,
  VendorIdentification: 0x42009d,
  WrappingMethod: 0x42009e,
  EncodingOption: 0x4200a3,
  Data: 0x4200c2,
  DataLength: 0x4200c4,
  SignatureData: 0x4200c3,
  MACData: 0x4200c6,
  DigitalSignatureAlgorithm: 0x4200ae,
  TagLength: 0x4200ce,
  AuthenticatedEncryptionAdditionalData: 0x4200fe,
  AuthenticatedEncryptionTag: 0x4200ff,
  SaltLength: 0x420100,
  MaskGenerator: 0x420101,
  MaskGeneratorHashingAlgorithm: 0x420102,
  PSource: 0x420103,
  DigestedData: 0x420107,
  Attributes: 0x420125,
  CommonAttributes: 0x420126,
  PrivateKeyAttributes: 0x420127,
  PublicKeyAttributes: 0x420128,
  AttributeReference: 0x42013b,
} as const;

/** Of 1.x only. */
export const OLD_TAG = {
  CommonTemplateAttribute: 0x42001f,
  PrivateKeyTemplateAttribute: 0x420065,
  PublicKeyTemplateAttribute: 0x42006e,
  TemplateAttribute: 0x420091,
} as const;

export const OPERATION = {
  Create: 0x01,
  CreateKeyPair: 0x02,
  Register: 0x03,
  Rekey: 0x04,
  Locate: 0x08,
  Get: 0x0a,
  GetAttributes: 0x0b,
  Activate: 0x12,
  Revoke: 0x13,
  Destroy: 0x14,
  Query: 0x18,
  RekeyKeyPair: 0x1d,
  DiscoverVersions: 0x1e,
  Encrypt: 0x1f,
  Decrypt: 0x20,
  Sign: 0x21,
  SignatureVerify: 0x22,
  MAC: 0x23,
  RNGRetrieve: 0x25,
} as const;

export const RESULT_STATUS = {
  Success: 0,
  OperationFailed: 1,
  OperationPending: 2,
  OperationUndone: 3,
} as const;

/** What the adapter decides by; every other reason is a no. */
export const RESULT_REASON = {
  ItemNotFound: 0x01,
  AuthenticationNotSuccessful: 0x03,
  InvalidMessage: 0x04,
  OperationNotSupported: 0x05,
  FeatureNotSupported: 0x08,
  CryptographicFailure: 0x0a,
  PermissionDenied: 0x0c,
  CodecError: 0x26,
  InternalServerError: 0x2a,
  ObjectDestroyed: 0x36,
  ObjectNotFound: 0x37,
  NotAuthorised: 0x39,
  ServerLimitExceeded: 0x3a,
  UnsupportedProtocolVersion: 0x3f,
  WrongKeyLifecycleState: 0x43,
  GeneralFailure: 0x100,
} as const;

export const STATE = {
  PreActive: 1,
  Active: 2,
  Deactivated: 3,
  Compromised: 4,
  Destroyed: 5,
  DestroyedCompromised: 6,
} as const;

export const OBJECT_TYPE = { SymmetricKey: 2, PublicKey: 3, PrivateKey: 4 } as const;
export const BLOCK_CIPHER_MODE = { CBC: 1, ECB: 2, CMAC: 7, GCM: 9, NISTKeyWrap: 0x0d } as const;
export const PADDING_METHOD = { None: 1, OAEP: 2, PKCS5: 3, PKCS1v15: 8, PSS: 0x0a } as const;
export const CRYPTOGRAPHIC_ALGORITHM = {
  AES: 3,
  RSA: 4,
  ECDSA: 6,
  HMACSHA1: 7,
  HMACSHA224: 8,
  HMACSHA256: 9,
  HMACSHA384: 0x0a,
  HMACSHA512: 0x0b,
  EC: 0x1a,
} as const;
export const HASHING_ALGORITHM = { SHA1: 4, SHA224: 5, SHA256: 6, SHA384: 7, SHA512: 8 } as const;
export const DIGITAL_SIGNATURE_ALGORITHM = {
  SHA1withRSAEncryption: 3,
  SHA224withRSAEncryption: 4,
  SHA256withRSAEncryption: 5,
  SHA384withRSAEncryption: 6,
  SHA512withRSAEncryption: 7,
} as const;
export const RECOMMENDED_CURVE = { P256: 7, P384: 0x0a, P521: 0x0d, SECP256K1: 0x19 } as const;
export const KEY_FORMAT_TYPE = { Raw: 1, PKCS1: 3, PKCS8: 4, X509: 5, TransparentECPublicKey: 0x15 } as const;
export const LINK_TYPE = {
  PublicKeyLink: 0x102,
  ReplacementObjectLink: 0x106,
  ReplacedObjectLink: 0x107,
} as const;
export const WRAPPING_METHOD = { Encrypt: 1 } as const;
export const ENCODING_OPTION = { NoEncoding: 1 } as const;
export const VALIDITY_INDICATOR = { Valid: 1, Invalid: 2 } as const;
export const QUERY_FUNCTION = { QueryOperations: 1, QueryServerInformation: 3 } as const;
export const REVOCATION_REASON_CODE = { CessationofOperation: 6 } as const;

/** Bits of the Cryptographic Usage Mask. */
export const USAGE = {
  Sign: 0x1,
  Verify: 0x2,
  Encrypt: 0x4,
  Decrypt: 0x8,
  WrapKey: 0x10,
  MACGenerate: 0x80,
  MACVerify: 0x100,
} as const;

/** The name of a number in one of these tables, else the number in hexadecimal. */
export function nameOf(table: Readonly<Record<string, number>>, value: number): string {
  return Object.entries(table).find(([, number]) => number === value)?.[0] ?? `0x${value.toString(16)}`;
}
