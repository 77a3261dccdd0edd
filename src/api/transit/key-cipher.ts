/** How each kind of key encrypts for Transit. A message of AES-GCM or ChaCha20-Poly1305 is nonce, ciphertext and tag, as Vault writes it. */
import type { NamedKey } from '../../tokens/service.ts';
import { decodeBase64 } from '../base64.ts';
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
import { operate, type TransitCall } from './call.ts';
import { formatVersioned, parseVersioned } from './versioned.ts';

/** With which version of a key, under which context of a derived one, over which associated data. */
interface Terms {
  readonly version: number;
  readonly context: Buffer | null;
  readonly aad: Buffer;
}

type Direction = (call: TransitCall, key: NamedKey, terms: Terms, input: Buffer) => Promise<Buffer>;

const CIPHERS: Readonly<Partial<Record<NamedKey['kind'], { encrypt: Direction; decrypt: Direction }>>> = {
  aes: aead(gcmMechanism),
  chacha20: aead(chachaMechanism),
  envelope: {
    encrypt: ({ tokens, peer, token }, { name }, { aad }, plaintext) =>
      tokens.sealEnvelope(peer, token, name, aad, plaintext),
    decrypt: ({ tokens, peer, token }, { name }, { aad }, message) =>
      tokens.openEnvelope(peer, token, name, aad, message),
  },
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
    encrypt: async (call, key, { version, context, aad }, plaintext) => {
      const nonce = freshNonce();
      const use = { operation: 'encrypt', mechanism: mechanismOf(nonce, aad), version, context } as const;
      return Buffer.concat([nonce, await operate(call, key, use, plaintext)]);
    },
    decrypt: (call, key, { version, context, aad }, message) => {
      if (message.length < GCM_NONCE_BYTES + GCM_TAG_BYTES)
        throw new Refusal(400, 'invalid ciphertext: unable to decrypt');
      const mechanism = mechanismOf(message.subarray(0, GCM_NONCE_BYTES), aad);
      const use = { operation: 'decrypt', mechanism, version, context } as const;
      return operate(call, key, use, message.subarray(GCM_NONCE_BYTES));
    },
  };
}

function oaepUse<O extends 'encrypt' | 'decrypt'>(key: NamedKey, { version, aad }: Terms, operation: O) {
  if (aad.length > 0) throw new Refusal(400, `associated_data is not for key type ${typeNameOf(key)}`);
  return { operation, mechanism: oaepMechanism(findHash(DEFAULT_HASH)), version };
}

function encryptOaep(call: TransitCall, key: NamedKey, terms: Terms, plaintext: Buffer): Promise<Buffer> {
  return operate(call, key, oaepUse(key, terms, 'encrypt'), plaintext);
}

function decryptOaep(call: TransitCall, key: NamedKey, terms: Terms, message: Buffer): Promise<Buffer> {
  return operate(call, key, oaepUse(key, terms, 'decrypt'), message);
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
  return { version, context: contextOf(key, item), aad: decodeBase64(item.associated_data ?? '') };
}

/** The whole text of a ciphertext. */
export async function encryptTo(
  call: TransitCall,
  key: NamedKey,
  version: number,
  item: ItemTerms,
  plaintext: Buffer,
): Promise<string> {
  const message = await requireCipher(key).encrypt(call, key, termsOf(key, item, version), plaintext);
  return formatVersioned(version, message.toString('base64'));
}

function decodeCiphertext(body: string): Buffer {
  const message = Buffer.from(body, 'base64');
  if (message.toString('base64') !== body)
    throw new Refusal(400, 'invalid ciphertext: could not decode base64');
  return message;
}

export function decryptFrom(
  call: TransitCall,
  key: NamedKey,
  item: ItemTerms,
  ciphertext: string | null | undefined,
): Promise<Buffer> {
  if (ciphertext == null || ciphertext === '') throw new Refusal(400, 'missing ciphertext to decrypt');
  const { version, body } = parseVersioned(key, ciphertext, 'ciphertext');
  return requireCipher(key).decrypt(call, key, termsOf(key, item, version), decodeCiphertext(body));
}
