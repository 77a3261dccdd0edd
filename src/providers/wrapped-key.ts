/**
 * What a remote key service's adapter stores of a data key:
 *
 *     "SKW" | u8 version 1 | u8 length, kind | u16 length, reference | the service's own ciphertext
 *
 * Kind and purpose are bound to the ciphertext by whatever the service authenticates: see `bindingOf`. The reference (a key's name
 * and version) tells a reader which key it was; nothing but an unwrap that fails follows from a changed one.
 */
import { SidekeyError } from '../errors.ts';
import { bindKey, takeBoundKey } from './data-key.ts';

const MAGIC = Buffer.from('SKW\x01', 'latin1');

export interface WrappedKey {
  readonly reference: string;
  readonly ciphertext: Buffer;
}

export function formatWrappedKey(kind: string, { reference, ciphertext }: WrappedKey): Buffer {
  const [kindBytes, referenceBytes] = [Buffer.from(kind, 'utf8'), Buffer.from(reference, 'utf8')];
  const lengths = Buffer.alloc(2);
  lengths.writeUInt16LE(referenceBytes.length);
  return Buffer.concat([
    MAGIC,
    Buffer.from([kindBytes.length]),
    kindBytes,
    lengths,
    referenceBytes,
    ciphertext,
  ]);
}

function refuse(kind: string, why: string): never {
  throw new SidekeyError('provider_refused', `the wrapped data key ${why} (kind ${kind})`);
}

/** Throws provider_refused. */
export function parseWrappedKey(kind: string, blob: Buffer): WrappedKey {
  if (!blob.subarray(0, MAGIC.length).equals(MAGIC)) refuse(kind, 'is not in the format of Sidekey');
  const kindAt = MAGIC.length + 1;
  const lengthAt = kindAt + (blob[MAGIC.length] ?? 0);
  if (blob.toString('utf8', kindAt, lengthAt) !== kind)
    refuse(kind, 'was wrapped by a provider of another kind');
  if (blob.length < lengthAt + 2) refuse(kind, 'is truncated');
  const referenceAt = lengthAt + 2;
  const bodyAt = referenceAt + blob.readUInt16LE(lengthAt);
  if (blob.length <= bodyAt) refuse(kind, 'is truncated');
  return {
    reference: blob.toString('utf8', referenceAt, bodyAt),
    ciphertext: Buffer.from(blob.subarray(bodyAt)),
  };
}

/** Associated data, where a service takes some. */
export function bindingOf(kind: string, purpose: string): Buffer {
  return Buffer.from(`sidekey data key v1\0${kind}\0${purpose}`, 'utf8');
}

/**
 * The key with the digest of its binding, for services that take no associated data or may ignore it. The caller wipes the
 * result.
 */
export function boundPlaintext(kind: string, purpose: string, key: Buffer): Buffer {
  return bindKey(key, bindingOf(kind, purpose));
}

/** The key in a Buffer of its own; `plaintext` is wiped. Throws provider_refused. */
export function openBoundPlaintext(kind: string, purpose: string, plaintext: Buffer): Buffer {
  const key = takeBoundKey(plaintext, bindingOf(kind, purpose));
  return key ?? refuse(kind, 'belongs to another token or purpose');
}
