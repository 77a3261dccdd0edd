/**
 * What a data key looks like wrapped at a KMIP server:
 *
 *     "SKKMIP" | u8 version 1 | u8 mode | u8 length + key id | IV | tag or MAC | body
 *
 * The context (everything before the IV, and the purpose) is authenticated with the body, whose plaintext is the key and the hash of the context. Of a
 * data key that is an object of the server's (carried-keys.ts) the body is that object's name, and the context stands in its own.
 */
import { SidekeyError } from '../../errors.ts';

export interface Mode {
  readonly name: 'aes-gcm' | 'aes-cbc-hmac' | 'at-server';
  /** In the blob's header: never to be changed. */
  readonly id: number;
  readonly ivBytes: number;
  readonly tagBytes: number;
}

export const MODES = {
  gcm: { name: 'aes-gcm', id: 1, ivBytes: 12, tagBytes: 16 },
  cbcHmac: { name: 'aes-cbc-hmac', id: 2, ivBytes: 16, tagBytes: 32 },
  /** The body is the unique identifier of the data key. */
  atServer: { name: 'at-server', id: 3, ivBytes: 0, tagBytes: 0 },
} as const satisfies Record<string, Mode>;

const MAGIC = Buffer.from('SKKMIP\x01', 'latin1');
const BLOB_MAX = 1024;
export const KEY_ID_MAX_BYTES = 255;

export interface KmipBlob {
  readonly mode: Mode;
  readonly keyId: string;
  readonly iv: Buffer;
  readonly tag: Buffer;
  readonly body: Buffer;
}

function encodeHeader(mode: Mode, keyId: string): Buffer {
  const id = Buffer.from(keyId, 'utf8');
  return Buffer.concat([MAGIC, Buffer.from([mode.id, id.length]), id]);
}

export function contextOf(mode: Mode, keyId: string, purpose: string): Buffer {
  return Buffer.concat([encodeHeader(mode, keyId), Buffer.from(`sidekey kmip data key\0${purpose}`, 'utf8')]);
}

export function encodeBlob({ mode, keyId, iv, tag, body }: KmipBlob): Buffer {
  return Buffer.concat([encodeHeader(mode, keyId), iv, tag, body]);
}

/** Whether the blob names a data key of the server's, and holds none. */
export function isAtServer(bytes: Buffer): boolean {
  return bytes.subarray(0, MAGIC.length).equals(MAGIC) && bytes[MAGIC.length] === MODES.atServer.id;
}

export function decodeBlob(bytes: Buffer, provider: string): KmipBlob {
  const mode = Object.values(MODES).find(({ id }) => id === bytes[MAGIC.length]);
  const idAt = MAGIC.length + 2;
  const ivAt = idAt + (bytes[idAt - 1] ?? 0);
  const known = bytes.length <= BLOB_MAX && bytes.subarray(0, MAGIC.length).equals(MAGIC);
  if (!known || !mode || bytes.length <= ivAt + mode.ivBytes + mode.tagBytes)
    throw new SidekeyError(
      'provider_refused',
      `provider "${provider}": the key was not wrapped by a KMIP server`,
    );
  const tagAt = ivAt + mode.ivBytes;
  const bodyAt = tagAt + mode.tagBytes;
  return {
    mode,
    keyId: bytes.toString('utf8', idAt, ivAt),
    iv: bytes.subarray(ivAt, tagAt),
    tag: bytes.subarray(tagAt, bodyAt),
    body: bytes.subarray(bodyAt),
  };
}
