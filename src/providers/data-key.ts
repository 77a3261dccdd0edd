/**
 * Data keys that Sidekey makes itself, for services that only encrypt and decrypt. To tie a data key to its purpose without relying
 * on associated data, the key and the SHA-256 of a context are wrapped as one.
 */
import { createHash, timingSafeEqual } from 'node:crypto';

export const DATA_KEY_BYTES = 32;
const PAYLOAD_BYTES = 2 * DATA_KEY_BYTES;

/** The caller wipes `plaintext`. */
export interface DataKey {
  readonly plaintext: Buffer;
  readonly wrapped: Buffer;
}

/** Rejects with what `wrap` rejects with; the key is then wiped. */
export async function makeDataKey(
  random: (bytes: number) => Buffer,
  wrap: (plaintext: Buffer) => Promise<Buffer>,
): Promise<DataKey> {
  const plaintext = random(DATA_KEY_BYTES);
  try {
    return { plaintext, wrapped: await wrap(plaintext) };
  } catch (error) {
    plaintext.fill(0);
    throw error;
  }
}

export function hashContext(context: Buffer): Buffer {
  return createHash('sha256').update(context).digest();
}

/** The caller wipes the result. */
export function bindKey(key: Buffer, context: Buffer): Buffer {
  return Buffer.concat([key, hashContext(context)]);
}

/** The key in a Buffer of its own, or null if it was bound to another context. Wipes the payload. */
export function takeBoundKey(payload: Buffer, context: Buffer): Buffer | null {
  try {
    if (payload.length !== PAYLOAD_BYTES) return null;
    const bound = timingSafeEqual(payload.subarray(DATA_KEY_BYTES), hashContext(context));
    return bound ? Buffer.from(payload.subarray(0, DATA_KEY_BYTES)) : null;
  } finally {
    payload.fill(0);
  }
}
