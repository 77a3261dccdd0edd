/** Tags and enumerations of KMIP that the adapter speaks, by the names of the specification; a test holds them equal to OASIS's tables. */

export const TAG = {
  Attribute: 0x420008,
  AttributeName: 0x42000a,
  AttributeValue: 0x42000b,
  BatchCount: 0x42000d,
  BatchItem: 0x42000f,
  BlockCipherMode: 0x420011,
  CryptographicAlgorithm: 0x420028,
  CryptographicParameters: 0x42002b,
  IVCounterNonce: 0x42003d,
  MaximumResponseSize: 0x420050,
  Operation: 0x42005c,
  PaddingMethod: 0x42005f,
  ProtocolVersion: 0x420069,
  ProtocolVersionMajor: 0x42006a,
  ProtocolVersionMinor: 0x42006b,
  RequestHeader: 0x420077,
  RequestMessage: 0x420078,
  RequestPayload: 0x420079,
  ResponseHeader: 0x42007a,
  ResponseMessage: 0x42007b,
  ResponsePayload: 0x42007c,
  ResultMessage: 0x42007d,
  ResultReason: 0x42007e,
  ResultStatus: 0x42007f,
  State: 0x42008d,
  UniqueIdentifier: 0x420094,
  Data: 0x4200c2,
  MACData: 0x4200c6,
  TagLength: 0x4200ce,
  AuthenticatedEncryptionAdditionalData: 0x4200fe,
  AuthenticatedEncryptionTag: 0x4200ff,
  Attributes: 0x420125,
  AttributeReference: 0x42013b,
} as const;

export const OPERATION = {
  GetAttributes: 0x0b,
  DiscoverVersions: 0x1e,
  Encrypt: 0x1f,
  Decrypt: 0x20,
  MAC: 0x23,
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

export const BLOCK_CIPHER_MODE = { CBC: 1, GCM: 9 } as const;
export const PADDING_METHOD = { PKCS5: 3 } as const;
export const CRYPTOGRAPHIC_ALGORITHM = { AES: 3, HMACSHA256: 9 } as const;

/** The name of a number in one of these tables, else the number in hexadecimal. */
export function nameOf(table: Readonly<Record<string, number>>, value: number): string {
  return Object.entries(table).find(([, number]) => number === value)?.[0] ?? `0x${value.toString(16)}`;
}
