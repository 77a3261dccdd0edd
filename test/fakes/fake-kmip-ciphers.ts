/** The ciphers of the strict KMIP server (fake-kmip-keys.ts), and how it says no. */
import { constants, createCipheriv, createDecipheriv, privateDecrypt, type KeyObject } from 'node:crypto';
import { bytes, findBytes, findNumber, type Payload } from '../../src/providers/kmip/message.ts';
import * as tables from '../../src/providers/kmip/tables.ts';

const { TAG, PADDING_METHOD: PADDING, BLOCK_CIPHER_MODE: MODE, HASHING_ALGORITHM: HASHING } = tables;

export class No extends Error {
  readonly reason: number;

  constructor(reason: number, message: string) {
    super(message);
    this.reason = reason;
  }
}

export function refuse(reason: keyof typeof tables.RESULT_REASON, why: string): never {
  throw new No(tables.RESULT_REASON[reason], why);
}

export function hashName(number: number | null): string {
  const name = Object.entries(HASHING).find(([, each]) => each === number)?.[0];
  return name?.toLowerCase() ?? refuse('InvalidMessage', `hash ${number}`);
}

export function checkMask(parameters: Payload, hash: string): void {
  const mask = findNumber(parameters, TAG.MaskGeneratorHashingAlgorithm);
  if (findNumber(parameters, TAG.MaskGenerator) !== 1 || hashName(mask) !== hash)
    refuse('InvalidMessage', 'mask generator');
}

export function openWith(key: KeyObject, parameters: Payload, payload: Payload): Payload {
  const data = findBytes(payload, TAG.Data) ?? Buffer.alloc(0);
  if (findNumber(parameters, TAG.PaddingMethod) === PADDING.PKCS1v15)
    return [bytes(TAG.Data, privateDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, data))];
  const oaepHash = hashName(findNumber(parameters, TAG.HashingAlgorithm));
  checkMask(parameters, oaepHash);
  const oaepLabel = findBytes(parameters, TAG.PSource);
  const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash };
  return [bytes(TAG.Data, privateDecrypt({ key, ...padding, ...(oaepLabel ? { oaepLabel } : {}) }, data))];
}

export function aes(isEncrypt: boolean, secret: Buffer, parameters: Payload, payload: Payload): Payload {
  const data = findBytes(payload, TAG.Data) ?? Buffer.alloc(0);
  const iv = findBytes(payload, TAG.IVCounterNonce);
  const mode = findNumber(parameters, TAG.BlockCipherMode);
  const bits = secret.length * 8;
  if (mode === MODE.GCM) return gcm(isEncrypt, secret, iv ?? Buffer.alloc(0), parameters, payload);
  const name = mode === MODE.CBC ? 'cbc' : mode === MODE.ECB ? 'ecb' : refuse('InvalidMessage', 'mode');
  const padding = findNumber(parameters, TAG.PaddingMethod);
  if (padding !== PADDING.PKCS5 && padding !== PADDING.None) refuse('InvalidMessage', 'padding');
  const make = isEncrypt ? createCipheriv : createDecipheriv;
  const cipher = make(`aes-${bits}-${name}`, secret, iv).setAutoPadding(padding === PADDING.PKCS5);
  return [bytes(TAG.Data, Buffer.concat([cipher.update(data), cipher.final()]))];
}

function gcm(isEncrypt: boolean, secret: Buffer, iv: Buffer, parameters: Payload, payload: Payload): Payload {
  const data = findBytes(payload, TAG.Data) ?? Buffer.alloc(0);
  const aad = findBytes(payload, TAG.AuthenticatedEncryptionAdditionalData) ?? Buffer.alloc(0);
  const authTagLength = findNumber(parameters, TAG.TagLength) ?? refuse('InvalidMessage', 'tag length');
  const name = `aes-${secret.length * 8}-gcm` as 'aes-256-gcm';
  if (isEncrypt) {
    const cipher = createCipheriv(name, secret, iv, { authTagLength }).setAAD(aad);
    const body = Buffer.concat([cipher.update(data), cipher.final()]);
    return [bytes(TAG.Data, body), bytes(TAG.AuthenticatedEncryptionTag, cipher.getAuthTag())];
  }
  const tag = findBytes(payload, TAG.AuthenticatedEncryptionTag) ?? Buffer.alloc(0);
  const decipher = createDecipheriv(name, secret, iv, { authTagLength }).setAAD(aad).setAuthTag(tag);
  return [bytes(TAG.Data, Buffer.concat([decipher.update(data), decipher.final()]))];
}
