/**
 * What a data key looks like wrapped by an HSM, and what ties it to its purpose:
 *
 *     "SKHSM" | u8 version 1 | u8 mechanism | aes-gcm: 12 bytes IV | what the HSM gave
 *
 * aes-gcm: the context (header, purpose) is the associated data. Key wraps have none: the HSM wraps the 32 bytes of the key together with the
 * SHA-256 of the context, and their own integrity (RFC 3394, 2.2.3) covers both.
 */
import { SidekeyError } from '../../errors.ts';
import { bindKey, DATA_KEY_BYTES, takeBoundKey } from '../data-key.ts';
import { findMechanism, IV_BYTES, type WrapMechanism } from './mechanism.ts';

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
    throw new SidekeyError('provider_refused', `provider "${provider}": the key was not wrapped by an HSM`);
  return { mechanism, iv: bytes.subarray(HEADER, bodyAt), body: bytes.subarray(bodyAt) };
}

export function contextOf(mechanism: WrapMechanism, purpose: string): Buffer {
  const label = Buffer.from(`sidekey pkcs11-hsm data key\0${purpose}`, 'utf8');
  return Buffer.concat([MAGIC, Buffer.from([mechanism.id]), label]);
}

/** What the HSM is given to wrap; the caller wipes it. */
export function toPayload(mechanism: WrapMechanism, key: Buffer, context: Buffer): Buffer {
  return mechanism.how === 'encrypt' ? Buffer.from(key) : bindKey(key, context);
}

/** The key, or null when it was wrapped for something else. The payload is taken over. */
export function fromPayload(mechanism: WrapMechanism, payload: Buffer, context: Buffer): Buffer | null {
  if (mechanism.how === 'wrap') return takeBoundKey(payload, context);
  if (payload.length === DATA_KEY_BYTES) return payload;
  payload.fill(0);
  return null;
}
