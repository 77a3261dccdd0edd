/** encrypt/:name and decrypt/:name. An AES-GCM ciphertext is nonce, ciphertext and tag, as Vault writes it. */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { NamedKey } from '../tokens/service.ts';
import { decodeBase64 } from './base64.ts';
import { answerItems, batchOf } from './batch.ts';
import { integer, text } from './field.ts';
import { Refusal } from './fault.ts';
import { DEFAULT_HASH, findHash } from './hash-algorithm.ts';
import { typeNameOf } from './key-type.ts';
import { GCM_NONCE_BYTES, GCM_TAG_BYTES, gcmMechanism, oaepMechanism } from './mechanism.ts';
import {
  defineTransitRoute,
  operate,
  requireKey,
  type TransitCall,
  type TransitRoute,
} from './transit-call.ts';
import { checkVersion, formatVersioned, LATEST_VERSION, parseVersioned } from './versioned.ts';

// `context` is ignored as Vault ignores it for keys that are not derived, and no key here is.
const plainItem = z.object({
  plaintext: text,
  associated_data: text,
  nonce: text,
  key_version: integer,
  reference: text,
});
const cipherItem = z.object({ ciphertext: text, associated_data: text, nonce: text, reference: text });

interface Cipher {
  readonly encrypt: (call: TransitCall, key: NamedKey, plaintext: Buffer, aad: Buffer) => Promise<Buffer>;
  readonly decrypt: (call: TransitCall, key: NamedKey, message: Buffer, aad: Buffer) => Promise<Buffer>;
}

const CIPHERS: Readonly<Partial<Record<NamedKey['kind'], Cipher>>> = {
  aes: { encrypt: encryptGcm, decrypt: decryptGcm },
  rsa: { encrypt: encryptOaep, decrypt: decryptOaep },
};

function requireCipher(key: NamedKey): Cipher {
  const cipher = CIPHERS[key.kind];
  if (cipher === undefined) throw new Refusal(400, `key type ${typeNameOf(key)} does not support encryption`);
  return cipher;
}

/** The nonce is fresh randomness, never a counter: a restored snapshot must not repeat one. */
async function encryptGcm(call: TransitCall, key: NamedKey, plaintext: Buffer, aad: Buffer): Promise<Buffer> {
  const nonce = randomBytes(GCM_NONCE_BYTES);
  const sealed = await operate(call, key, 'encrypt', gcmMechanism(nonce, aad), plaintext);
  return Buffer.concat([nonce, sealed]);
}

function decryptGcm(call: TransitCall, key: NamedKey, message: Buffer, aad: Buffer): Promise<Buffer> {
  if (message.length < GCM_NONCE_BYTES + GCM_TAG_BYTES)
    throw new Refusal(400, 'invalid ciphertext: unable to decrypt');
  const mechanism = gcmMechanism(message.subarray(0, GCM_NONCE_BYTES), aad);
  return operate(call, key, 'decrypt', mechanism, message.subarray(GCM_NONCE_BYTES));
}

function refuseAssociatedData(key: NamedKey, aad: Buffer): void {
  if (aad.length > 0) throw new Refusal(400, `associated_data is not for key type ${typeNameOf(key)}`);
}

function encryptOaep(call: TransitCall, key: NamedKey, plaintext: Buffer, aad: Buffer): Promise<Buffer> {
  refuseAssociatedData(key, aad);
  return operate(call, key, 'encrypt', oaepMechanism(findHash(DEFAULT_HASH)), plaintext);
}

function decryptOaep(call: TransitCall, key: NamedKey, message: Buffer, aad: Buffer): Promise<Buffer> {
  refuseAssociatedData(key, aad);
  return operate(call, key, 'decrypt', oaepMechanism(findHash(DEFAULT_HASH)), message);
}

/** Nonces of the caller's choice are for convergent keys, of which there are none. */
function refuseNonce(nonce: string | null | undefined): void {
  if (nonce != null && nonce !== '') throw new Refusal(400, 'provided nonce not allowed for this key');
}

async function encryptItem(
  call: TransitCall,
  key: NamedKey,
  item: z.output<typeof plainItem>,
): Promise<object> {
  if (item.plaintext == null) throw new Refusal(400, 'missing plaintext to encrypt');
  refuseNonce(item.nonce);
  checkVersion(item.key_version ?? undefined);
  const aad = decodeBase64(item.associated_data ?? '');
  const message = await requireCipher(key).encrypt(call, key, decodeBase64(item.plaintext), aad);
  return { ciphertext: formatVersioned(message.toString('base64')), key_version: LATEST_VERSION };
}

function decodeCiphertext(ciphertext: string): Buffer {
  const body = parseVersioned(ciphertext, 'ciphertext');
  const message = Buffer.from(body, 'base64');
  if (message.toString('base64') !== body)
    throw new Refusal(400, 'invalid ciphertext: could not decode base64');
  return message;
}

async function decryptItem(
  call: TransitCall,
  key: NamedKey,
  item: z.output<typeof cipherItem>,
): Promise<object> {
  if (item.ciphertext == null || item.ciphertext === '')
    throw new Refusal(400, 'missing ciphertext to decrypt');
  refuseNonce(item.nonce);
  const aad = decodeBase64(item.associated_data ?? '');
  const plaintext = await requireCipher(key).decrypt(call, key, decodeCiphertext(item.ciphertext), aad);
  return { plaintext: plaintext.toString('base64') };
}

export const CIPHER_ROUTES: readonly TransitRoute[] = [
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: '/encrypt/:name',
    body: plainItem.extend(batchOf(plainItem)),
    handle: (call, body) => {
      const key = requireKey(call);
      return answerItems(body, (item) => encryptItem(call, key, item));
    },
  }),
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: '/decrypt/:name',
    body: cipherItem.extend(batchOf(cipherItem)),
    handle: (call, body) => {
      const key = requireKey(call);
      return answerItems(body, (item) => decryptItem(call, key, item));
    },
  }),
];
