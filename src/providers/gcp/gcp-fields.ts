/** Fields of bytes in Google Cloud KMS's JSON, each with its CRC-32C beside it, and the service's word that it saw the same. */
import { jsonAt } from '../http/json-secret.ts';
import { crc32c } from './crc32c.ts';

/** 64-bit numbers are strings in this JSON. */
export const checksum = (bytes: Buffer): string => String(crc32c(bytes));

export function fieldsOf(name: string, bytes: Buffer): Record<string, string> {
  return { [name]: bytes.toString('base64'), [`${name}Crc32c`]: checksum(bytes) };
}

/** Whether the service says for every checksum of the request that it held. */
export function isVerified(reply: unknown, request: object): boolean {
  return Object.keys(request)
    .filter((field) => field.endsWith('Crc32c'))
    .every((field) => jsonAt(reply, `verified${field.slice(0, 1).toUpperCase()}${field.slice(1)}`) === true);
}
