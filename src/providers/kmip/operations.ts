/** The operations of a KMIP server that a holder of a KEK needs, with their payloads (KMIP 1.4, 4; 2.1, 6). The order of fields is the specification's. */
import { decodeAttributes, encodeReferences } from './attributes.ts';
import { KmipResultError, KmipTransportError } from './fault.ts';
import type { KmipCaller } from './client.ts';
import {
  bytes,
  enumeration,
  findBytes,
  findNumber,
  integer,
  isAtLeast,
  formatVersion,
  structure,
  text,
  type KmipVersion,
  type Payload,
} from './message.ts';
import {
  BLOCK_CIPHER_MODE,
  CRYPTOGRAPHIC_ALGORITHM,
  OPERATION,
  PADDING_METHOD,
  RESULT_REASON,
  TAG,
} from './tables.ts';
import type { TtlvItem } from './ttlv.ts';

const TAG_BYTES = 16;

export interface GcmInput {
  readonly keyId: string;
  readonly iv: Buffer;
  readonly aad: Buffer;
}

function gcmParameters(): TtlvItem {
  return structure(
    TAG.CryptographicParameters,
    enumeration(TAG.BlockCipherMode, BLOCK_CIPHER_MODE.GCM),
    enumeration(TAG.CryptographicAlgorithm, CRYPTOGRAPHIC_ALGORITHM.AES),
    integer(TAG.TagLength, TAG_BYTES),
  );
}

function cbcParameters(): TtlvItem {
  return structure(
    TAG.CryptographicParameters,
    enumeration(TAG.BlockCipherMode, BLOCK_CIPHER_MODE.CBC),
    enumeration(TAG.PaddingMethod, PADDING_METHOD.PKCS5),
    enumeration(TAG.CryptographicAlgorithm, CRYPTOGRAPHIC_ALGORITHM.AES),
  );
}

interface Need {
  readonly minor: number;
  readonly what: string;
}

/** What came after 1.0. */
const NEEDS = {
  gcm: { minor: 4, what: 'AES-GCM with associated data (without it: mac-key-id, or data-keys: at-server)' },
  cbc: { minor: 2, what: 'Encrypt (without it: data-keys: at-server)' },
  random: { minor: 2, what: 'RNG Retrieve' },
} as const satisfies Record<string, Need>;

function lack(version: KmipVersion, { minor, what }: Need): string | null {
  if (isAtLeast(version, 1, minor)) return null;
  return `${what} needs KMIP 1.${minor}, and the server speaks ${formatVersion(version)}`;
}

/** A server that knows no such field or operation would say so in its own way, or ignore the field. */
function need(version: KmipVersion, needed: Need): void {
  const message = lack(version, needed);
  if (message !== null) throw new KmipResultError(RESULT_REASON.FeatureNotSupported, message);
}

/** Why data keys cannot be encrypted by servers of this version; null: they can. */
export function lackOf(version: KmipVersion, withMac: boolean): string | null {
  return lack(version, withMac ? NEEDS.cbc : NEEDS.gcm);
}

/** A copy, since the message is wiped. */
export function takeBytes(payload: Payload, tag: number, what: string): Buffer {
  const found = findBytes(payload, tag);
  if (!found) throw new KmipTransportError(`the answer has no ${what}`);
  return Buffer.from(found);
}

export function encryptGcm(
  by: KmipCaller,
  { keyId, iv, aad }: GcmInput,
  data: Buffer,
): Promise<{ body: Buffer; tag: Buffer }> {
  return by.call({
    operation: OPERATION.Encrypt,
    key: keyId,
    request: (version) => {
      need(version, NEEDS.gcm);
      return [
        text(TAG.UniqueIdentifier, keyId),
        gcmParameters(),
        bytes(TAG.Data, data),
        bytes(TAG.IVCounterNonce, iv),
        bytes(TAG.AuthenticatedEncryptionAdditionalData, aad),
      ];
    },
    response: (payload) => ({
      body: takeBytes(payload, TAG.Data, 'data'),
      tag: takeBytes(payload, TAG.AuthenticatedEncryptionTag, 'authentication tag'),
    }),
  });
}

/** The caller wipes the result. */
export function decryptGcm(by: KmipCaller, input: GcmInput, body: Buffer, tag: Buffer): Promise<Buffer> {
  return by.call({
    operation: OPERATION.Decrypt,
    key: input.keyId,
    request: () => [
      text(TAG.UniqueIdentifier, input.keyId),
      gcmParameters(),
      bytes(TAG.Data, body),
      bytes(TAG.IVCounterNonce, input.iv),
      bytes(TAG.AuthenticatedEncryptionAdditionalData, input.aad),
      bytes(TAG.AuthenticatedEncryptionTag, tag),
    ],
    response: (payload) => takeBytes(payload, TAG.Data, 'data'),
  });
}

function cryptCbc(
  by: KmipCaller,
  operation: number,
  keyId: string,
  iv: Buffer,
  data: Buffer,
): Promise<Buffer> {
  return by.call({
    operation,
    key: keyId,
    request: (version) => {
      need(version, NEEDS.cbc);
      const crypt = [cbcParameters(), bytes(TAG.Data, data), bytes(TAG.IVCounterNonce, iv)];
      return [text(TAG.UniqueIdentifier, keyId), ...crypt];
    },
    response: (payload) => takeBytes(payload, TAG.Data, 'data'),
  });
}

export const encryptCbc = (by: KmipCaller, keyId: string, iv: Buffer, data: Buffer): Promise<Buffer> =>
  cryptCbc(by, OPERATION.Encrypt, keyId, iv, data);
export const decryptCbc = (by: KmipCaller, keyId: string, iv: Buffer, data: Buffer): Promise<Buffer> =>
  cryptCbc(by, OPERATION.Decrypt, keyId, iv, data);

export function hmacSha256(by: KmipCaller, keyId: string, data: Buffer): Promise<Buffer> {
  const algorithm = enumeration(TAG.CryptographicAlgorithm, CRYPTOGRAPHIC_ALGORITHM.HMACSHA256);
  return by.call({
    operation: OPERATION.MAC,
    key: keyId,
    request: () => [
      text(TAG.UniqueIdentifier, keyId),
      structure(TAG.CryptographicParameters, algorithm),
      bytes(TAG.Data, data),
    ],
    response: (payload) => takeBytes(payload, TAG.MACData, 'MAC'),
  });
}

/** From 1.2 on. null: the answer holds none. */
export function retrieveRandom(by: KmipCaller, length: number): Promise<Buffer | null> {
  return by.call({
    operation: OPERATION.RNGRetrieve,
    key: '-',
    request: (version) => {
      need(version, NEEDS.random);
      return [integer(TAG.DataLength, length)];
    },
    response: (payload) => {
      const found = findBytes(payload, TAG.Data);
      return found === null ? null : Buffer.from(found);
    },
  });
}

export function getState(by: KmipCaller, keyId: string): Promise<{ state: number; version: KmipVersion }> {
  let version: KmipVersion = { major: 1, minor: 0 };
  return by.call({
    operation: OPERATION.GetAttributes,
    key: keyId,
    request: (agreed) => {
      version = agreed;
      return [text(TAG.UniqueIdentifier, keyId), ...encodeReferences(agreed, ['State'])];
    },
    response: (payload) => {
      const state = findNumber(decodeAttributes(payload), TAG.State);
      if (state === null) throw new KmipTransportError('the answer has no state');
      return { state, version };
    },
  });
}
