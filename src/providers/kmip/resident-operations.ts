/** What a KMIP server does with a key that stays there: sign, make a code, encrypt, decrypt (KMIP 1.4, 4.29 to 4.32, 4.34). */
import type { CipherAlgorithm, CipherParameters, SignAlgorithm } from '../../tokens/resident-port.ts';
import type { KmipCaller } from './client.ts';
import { bytes, findBytes, findNumber, isAtLeast, text, type KmipVersion, type Payload } from './message.ts';
import { takeBytes } from './operations.ts';
import { cipherParameters, signParameters } from './resident-tables.ts';
import { OPERATION, TAG, VALIDITY_INDICATOR } from './tables.ts';
import type { TtlvItem } from './ttlv.ts';

/** Salt lengths came with 1.4. */
function saltOf(version: KmipVersion, { anySalt }: SignAlgorithm, saltBytes: number): number | null {
  return anySalt === true && isAtLeast(version, 1, 4) ? saltBytes : null;
}

/** `input`: the message where the algorithm takes one, else its digest. */
export function sign(
  by: KmipCaller,
  id: string,
  algorithm: SignAlgorithm,
  input: Buffer,
  saltBytes: number,
): Promise<Buffer> {
  return by.call({
    operation: OPERATION.Sign,
    key: id,
    request: (version) => [
      text(TAG.UniqueIdentifier, id),
      signParameters(algorithm, saltOf(version, algorithm, saltBytes)),
      bytes(algorithm.takesMessage === true ? TAG.Data : TAG.DigestedData, input),
    ],
    response: (payload) => takeBytes(payload, TAG.SignatureData, 'signature'),
  });
}

/** Whether the server says that it is a signature by the private half of the public key `id`. */
export function verifySignature(
  by: KmipCaller,
  id: string,
  algorithm: SignAlgorithm,
  input: Buffer,
  signature: Buffer,
  saltBytes: number,
): Promise<boolean> {
  return by.call({
    operation: OPERATION.SignatureVerify,
    key: id,
    request: (version) => [
      text(TAG.UniqueIdentifier, id),
      signParameters(algorithm, saltOf(version, algorithm, saltBytes)),
      bytes(algorithm.takesMessage === true ? TAG.Data : TAG.DigestedData, input),
      bytes(TAG.SignatureData, signature),
    ],
    response: (payload) => findNumber(payload, TAG.ValidityIndicator) === VALIDITY_INDICATOR.Valid,
  });
}

export function mac(by: KmipCaller, id: string, algorithm: SignAlgorithm, message: Buffer): Promise<Buffer> {
  return by.call({
    operation: OPERATION.MAC,
    key: id,
    request: () => [
      text(TAG.UniqueIdentifier, id),
      signParameters(algorithm, null),
      bytes(TAG.Data, message),
    ],
    response: (payload) => takeBytes(payload, TAG.MACData, 'MAC'),
  });
}

function optional(tag: number, value: Buffer): TtlvItem[] {
  return value.length === 0 ? [] : [bytes(tag, value)];
}

interface Parts {
  readonly data: Buffer;
  readonly tag: Buffer;
}

function crypt<T>(
  by: KmipCaller,
  operation: number,
  id: string,
  algorithm: CipherAlgorithm,
  parameters: CipherParameters,
  { data, tag }: Parts,
  response: (payload: Payload) => T,
): Promise<T> {
  return by.call({
    operation,
    key: id,
    request: () => [
      text(TAG.UniqueIdentifier, id),
      cipherParameters(algorithm, parameters),
      bytes(TAG.Data, data),
      ...optional(TAG.IVCounterNonce, parameters.iv),
      ...optional(TAG.AuthenticatedEncryptionAdditionalData, parameters.aad),
      ...optional(TAG.AuthenticatedEncryptionTag, tag),
    ],
    response,
  });
}

/** The tag of AES-GCM at the end, as PKCS#11 has it. */
export function encryptWith(
  by: KmipCaller,
  id: string,
  algorithm: CipherAlgorithm,
  parameters: CipherParameters,
  data: Buffer,
): Promise<Buffer> {
  const parts = { data, tag: Buffer.alloc(0) };
  return crypt(by, OPERATION.Encrypt, id, algorithm, parameters, parts, (payload) => {
    const body = findBytes(payload, TAG.Data) ?? Buffer.alloc(0);
    if (algorithm.scheme !== 'aes-gcm') return takeBytes(payload, TAG.Data, 'data');
    return Buffer.concat([body, takeBytes(payload, TAG.AuthenticatedEncryptionTag, 'authentication tag')]);
  });
}

/** The caller wipes what comes out. */
export function decryptWith(
  by: KmipCaller,
  id: string,
  algorithm: CipherAlgorithm,
  parameters: CipherParameters,
  ciphertext: Buffer,
): Promise<Buffer> {
  const tagBytes = algorithm.scheme === 'aes-gcm' ? parameters.tagBits / 8 : 0;
  const bodyBytes = Math.max(0, ciphertext.length - tagBytes);
  const parts = { data: ciphertext.subarray(0, bodyBytes), tag: ciphertext.subarray(bodyBytes) };
  return crypt(by, OPERATION.Decrypt, id, algorithm, parameters, parts, (payload) =>
    Buffer.from(findBytes(payload, TAG.Data) ?? []),
  );
}
