/**
 * What a data key looks like wrapped by an HSM, and what ties it to its purpose:
 *
 *     "SKHSM" | u8 version 1 | u8 mechanism | aes-gcm: 12 bytes IV | what the HSM gave
 *
 * aes-gcm: the context (header, purpose) is the associated data. Key wraps have none: the HSM wraps the 32 bytes of the key together with the
 * SHA-256 of the context, and their own integrity (RFC 3394, 2.2.3) covers both.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import { findMechanism, IV_BYTES, type WrapMechanism } from './mechanism.ts';

export const DATA_KEY_BYTES = 32;
const MAGIC = Buffer.from('SKHSM\x01', 'latin1');
const HEADER = MAGIC.length + 1;
const BLOB_MAX = 1024;

export interface WrappedBlob {
  readonly mechanism: WrapMechanism;
  readonly iv: Buffer;
  readonly body: Buffer;
}

function ivBytesOf(mechanism: WrapMechanism): number {
  return mechanism.how === 'encrypt' ? IV_BYTES : 0;
}

export function encodeBlob({ mechanism, iv, body }: WrappedBlob): Buffer {
  return Buffer.concat([MAGIC, Buffer.from([mechanism.id]), iv, body]);
}

export function decodeBlob(bytes: Buffer, provider: string): WrappedBlob {
  const mechanism = findMechanism({ id: bytes[MAGIC.length] ?? 0 });
  const known = bytes.length <= BLOB_MAX && bytes.subarray(0, MAGIC.length).equals(MAGIC);
  const bodyAt = HEADER + (mechanism ? ivBytesOf(mechanism) : 0);
  if (!known || !mechanism || bytes.length <= bodyAt)
    throw new SidekeyError('provider_refused', `provider "${provider}": this was not wrapped by an HSM`);
  return { mechanism, iv: bytes.subarray(HEADER, bodyAt), body: bytes.subarray(bodyAt) };
}

export function contextOf(mechanism: WrapMechanism, purpose: string): Buffer {
  const label = Buffer.from(`sidekey pkcs11-hsm data key\0${purpose}`, 'utf8');
  return Buffer.concat([MAGIC, Buffer.from([mechanism.id]), label]);
}

/** What the HSM is given to wrap; the caller wipes it. */
export function toPayload(mechanism: WrapMechanism, key: Buffer, context: Buffer): Buffer {
  if (mechanism.how === 'encrypt') return Buffer.from(key);
  return Buffer.concat([key, createHash('sha256').update(context).digest()]);
}

/** The key in a Buffer of its own, or null when it was wrapped for something else. Wipes the payload. */
export function fromPayload(mechanism: WrapMechanism, payload: Buffer, context: Buffer): Buffer | null {
  try {
    if (payload.length !== DATA_KEY_BYTES * (mechanism.how === 'encrypt' ? 1 : 2)) return null;
    const digest = createHash('sha256').update(context).digest();
    const bound = mechanism.how === 'encrypt' || timingSafeEqual(payload.subarray(DATA_KEY_BYTES), digest);
    return bound ? Buffer.from(payload.subarray(0, DATA_KEY_BYTES)) : null;
  } finally {
    payload.fill(0);
  }
}
