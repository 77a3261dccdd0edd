/** How each kind of key encrypts for Transit. A message of AES-GCM or ChaCha20-Poly1305 is nonce, ciphertext and tag, as Vault writes it. */
import type { NamedKey, NamedKeyUse } from '../../tokens/service.ts';
import { decodeBase64, readBase64 } from '../base64.ts';
import { Refusal } from '../fault.ts';
import { freshNonce } from '../fresh-nonce.ts';
import { DEFAULT_HASH, findHash } from './hash-algorithm.ts';
import { typeNameOf } from './key-type.ts';
import {
  chachaMechanism,
  GCM_NONCE_BYTES,
  GCM_TAG_BYTES,
  gcmMechanism,
  oaepMechanism,
} from '../mechanism.ts';
import { RawJson } from '../raw-json.ts';
import { operate, type TransitCall } from './call.ts';
import type { KeyJob } from './key-jobs.ts';
import { formatVersioned, parseVersioned } from './versioned.ts';

/** With which version of a key, under which context of a derived one, over which associated data. */
interface Terms {
  readonly version: number;
  readonly context: Buffer | null;
  readonly aad: Buffer;
}

/** One use of the key itself. `head`, base64 of whole groups of letters, stands before the output in a ciphertext. */
interface CipherUse {
  readonly use: NamedKeyUse;
  readonly data: Buffer;
  readonly head?: string;
}

const NO_DATA = Buffer.alloc(0);

type Direction = (key: NamedKey, terms: Terms, input: Buffer) => CipherUse;

const CIPHERS: Readonly<Partial<Record<NamedKey['kind'], { encrypt: Direction; decrypt: Direction }>>> = {
  aes: aead(gcmMechanism),
  chacha20: aead(chachaMechanism),
  rsa: { encrypt: encryptOaep, decrypt: decryptOaep },
};

function requireCipher(key: NamedKey): { encrypt: Direction; decrypt: Direction } {
  const cipher = CIPHERS[key.kind];
  if (cipher === undefined) throw new Refusal(400, `key type ${typeNameOf(key)} does not support encryption`);
  return cipher;
}

/** The nonce is fresh randomness, never a counter: a restored snapshot must not repeat one. */
function aead(mechanismOf: typeof gcmMechanism): { encrypt: Direction; decrypt: Direction } {
  return {
    encrypt: (_key, { version, context, aad }, data) => {
      const { bytes, base64: head } = freshNonce();
      return {
        use: { operation: 'encrypt', mechanism: mechanismOf(bytes, aad), version, context },
        data,
        head,
      };
    },
    decrypt: (_key, { version, context, aad }, message) => {
      if (message.length < GCM_NONCE_BYTES + GCM_TAG_BYTES)
        throw new Refusal(400, 'invalid ciphertext: unable to decrypt');
      const mechanism = mechanismOf(message.subarray(0, GCM_NONCE_BYTES), aad);
      const data = message.subarray(GCM_NONCE_BYTES);
      return { use: { operation: 'decrypt', mechanism, version, context }, data };
    },
  };
}

function oaepUse<O extends 'encrypt' | 'decrypt'>(key: NamedKey, { version, aad }: Terms, operation: O) {
  if (aad.length > 0) throw new Refusal(400, `associated_data is not for key type ${typeNameOf(key)}`);
  return { operation, mechanism: oaepMechanism(findHash(DEFAULT_HASH)), version };
}

function encryptOaep(key: NamedKey, terms: Terms, plaintext: Buffer): CipherUse {
  return { use: oaepUse(key, terms, 'encrypt'), data: plaintext };
}

function decryptOaep(key: NamedKey, terms: Terms, message: Buffer): CipherUse {
  return { use: oaepUse(key, terms, 'decrypt'), data: message };
}

/** What an item says beside its text. Null and absent are the same. */
export interface ItemTerms {
  readonly associated_data?: string | null | undefined;
  readonly context?: string | null | undefined;
  readonly nonce?: string | null | undefined;
}

/** As Vault does, a context is ignored where the key is not derived. */
function contextOf(key: NamedKey, { context }: ItemTerms): Buffer | null {
  if (!key.derived) return null;
  if (context == null || context === '') throw new Refusal(400, "missing 'context' for key derivation");
  return decodeBase64(context);
}

function termsOf(key: NamedKey, item: ItemTerms, version: number): Terms {
  // Nonces of the caller's choice are for convergent keys, of which there are none.
  if (item.nonce != null && item.nonce !== '')
    throw new Refusal(400, 'provided nonce not allowed for this key');
  return {
    version,
    context: contextOf(key, item),
    aad: item.associated_data == null ? NO_DATA : decodeBase64(item.associated_data),
  };
}

/** The key of envelopes is no object: each message is a call of its own. */
export function isEnvelope({ kind }: NamedKey): boolean {
  return kind === 'envelope';
}

/** What an encryption is answered. */
interface Sealed {
  readonly ciphertext: string;
  readonly key_version: number;
}

function encryption(
  key: NamedKey,
  version: number,
  item: ItemTerms,
  plaintext: Buffer,
): CipherUse & { readonly seal: (output: Buffer) => Sealed } {
  const { use, data, head = '' } = requireCipher(key).encrypt(key, termsOf(key, item, version), plaintext);
  const seal = (output: Buffer): Sealed => {
    return {
      ciphertext: formatVersioned(version, head + output.toString('base64')),
      key_version: version,
    };
  };
  return { use, data, seal };
}

export function encryptJob(key: NamedKey, version: number, item: ItemTerms, plaintext: Buffer): KeyJob {
  const { use, data, seal } = encryption(key, version, item, plaintext);
  const finish = (output: Buffer): object => {
    const { ciphertext, key_version } = seal(output);
    return new RawJson(`"ciphertext":"${ciphertext}","key_version":${key_version}`);
  };
  return { use, data, finish };
}

export function decryptJob(key: NamedKey, item: CipherItem): KeyJob {
  const { version, message } = readCiphertext(key, item);
  const { use, data } = requireCipher(key).decrypt(key, termsOf(key, item, version), message);
  return { use, data, finish: showPlaintext };
}

/** Wipes it. */
export function showPlaintext(plaintext: Buffer): object {
  const shown = new RawJson(`"plaintext":"${plaintext.toString('base64')}"`);
  plaintext.fill(0);
  return shown;
}

/** The answer to an encryption: the whole text of the ciphertext, and its version. */
export async function encryptTo(
  call: TransitCall,
  key: NamedKey,
  version: number,
  item: ItemTerms,
  plaintext: Buffer,
): Promise<Sealed> {
  if (isEnvelope(key)) {
    const { aad } = termsOf(key, item, version);
    const message = await call.tokens.sealEnvelope(call.peer, call.token, key.name, aad, plaintext);
    return { ciphertext: formatVersioned(version, message.toString('base64')), key_version: version };
  }
  const { use, data, seal } = encryption(key, version, item, plaintext);
  return seal(await operate(call, key, use, data));
}

function decodeCiphertext(body: string): Buffer {
  const message = readBase64(body);
  if (message === null) throw new Refusal(400, 'invalid ciphertext: could not decode base64');
  return message;
}

interface CipherItem extends ItemTerms {
  readonly ciphertext?: string | null | undefined;
}

function readCiphertext(key: NamedKey, { ciphertext }: CipherItem): { version: number; message: Buffer } {
  if (ciphertext == null || ciphertext === '') throw new Refusal(400, 'missing ciphertext to decrypt');
  const { version, body } = parseVersioned(key, ciphertext, 'ciphertext');
  return { version, message: decodeCiphertext(body) };
}

/** The plaintext: whoever gets it wipes it. */
export async function decryptFrom(call: TransitCall, key: NamedKey, item: CipherItem): Promise<Buffer> {
  if (isEnvelope(key)) {
    const { version, message } = readCiphertext(key, item);
    const { aad } = termsOf(key, item, version);
    return call.tokens.openEnvelope(call.peer, call.token, key.name, aad, message);
  }
  const { use, data } = decryptJob(key, item);
  return operate(call, key, use, data);
}
