/**
 * The message of Tink's KMS envelope AEAD, with AES-GCM as the data key's kind: u32 big-endian length | data key, serialized
 * as google.crypto.tink.AesGcmKey and encrypted by the KEK without associated data | 12 bytes nonce | ciphertext | 16 bytes tag.
 */
import { SidekeyError } from '../../errors.ts';

export const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const LENGTH_BYTES = 4;
/** The limit in Tink. */
const WRAPPED_MAX_BYTES = 4096;
/** Fields of AesGcmKey (protobuf): 1 is the version, 3 the key. Version 0 is not encoded. */
const VERSION_TAG = 0x08;
const KEY_TAG = 0x1a;
const KEY_SIZES: readonly number[] = [16, 32];

export interface EnvelopeMessage {
  readonly wrapped: Buffer;
  readonly nonce: Buffer;
  /** Ciphertext and tag. */
  readonly body: Buffer;
}

export function formatEnvelope({ wrapped, nonce, body }: EnvelopeMessage): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(wrapped.length);
  return Buffer.concat([length, wrapped, nonce, body]);
}

/** encrypted_data_invalid if it is not well-formed. */
export function parseEnvelope(message: Buffer): EnvelopeMessage {
  const length = message.length < LENGTH_BYTES ? 0 : message.readUInt32BE(0);
  const nonceAt = LENGTH_BYTES + length;
  const isPossible = length > 0 && length <= WRAPPED_MAX_BYTES;
  if (!isPossible || message.length < nonceAt + NONCE_BYTES + TAG_BYTES)
    throw new SidekeyError('encrypted_data_invalid', 'not an envelope message');
  const bodyAt = nonceAt + NONCE_BYTES;
  return {
    wrapped: message.subarray(LENGTH_BYTES, nonceAt),
    nonce: message.subarray(nonceAt, bodyAt),
    body: message.subarray(bodyAt),
  };
}

/** An AesGcmKey of version 0. The caller wipes it. */
export function serializeDataKey(key: Buffer): Buffer {
  return Buffer.concat([Buffer.from([KEY_TAG, key.length]), key]);
}

/**
 * The key of an AesGcmKey, in a Buffer of its own; wipes `serialized`. encrypted_data_invalid if it is not
 * well-formed.
 */
export function takeDataKey(serialized: Buffer): Buffer {
  try {
    const at = serialized[0] === VERSION_TAG && serialized[1] === 0 ? 2 : 0;
    const key = serialized.subarray(at + 2);
    const isKey = serialized[at] === KEY_TAG && serialized[at + 1] === key.length;
    if (isKey && KEY_SIZES.includes(key.length)) return Buffer.from(key);
    throw new SidekeyError('encrypted_data_invalid', 'the KEK did not unwrap to an AES-GCM key of Tink');
  } finally {
    serialized.fill(0);
  }
}
