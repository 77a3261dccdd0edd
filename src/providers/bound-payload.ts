/**
 * A data key together with the SHA-256 of what it is for, to be wrapped as one by a service that authenticates what it wraps: the binding then
 * does not depend on associated data.
 */
import { createHash, timingSafeEqual } from 'node:crypto';

export const DATA_KEY_BYTES = 32;
const PAYLOAD_BYTES = 2 * DATA_KEY_BYTES;

export function hashContext(context: Buffer): Buffer {
  return createHash('sha256').update(context).digest();
}

/** The caller wipes it. */
export function bindKey(key: Buffer, context: Buffer): Buffer {
  return Buffer.concat([key, hashContext(context)]);
}

/** The key in a Buffer of its own, or null when it was bound to something else. Wipes the payload. */
export function takeBoundKey(payload: Buffer, context: Buffer): Buffer | null {
  try {
    if (payload.length !== PAYLOAD_BYTES) return null;
    const bound = timingSafeEqual(payload.subarray(DATA_KEY_BYTES), hashContext(context));
    return bound ? Buffer.from(payload.subarray(0, DATA_KEY_BYTES)) : null;
  } finally {
    payload.fill(0);
  }
}
