/** encrypt/:name, decrypt/:name and rewrap/:name. */
import { z } from 'zod';
import type { NamedKey } from '../../tokens/service.ts';
import { decodeBase64 } from '../base64.ts';
import { answerItems, batchAnswer, batchOf } from './batch.ts';
import { decryptFrom, encryptTo } from './key-cipher.ts';
import { integer, text } from './field.ts';
import { Refusal } from '../fault.ts';
import { defineTransitRoute, requireKey, type TransitCall, type TransitRoute } from './call.ts';
import { versionToUse } from './versioned.ts';

const terms = { associated_data: text, context: text, nonce: text, reference: text };
const plainItem = z.object({ plaintext: text, key_version: integer, ...terms });
const cipherItem = z.object({ ciphertext: text, ...terms });
const rewrapItem = cipherItem.extend({ key_version: integer });

const cipherAnswer = z.object({ ciphertext: z.string(), key_version: z.int() });
const plainAnswer = z.object({ plaintext: z.string() });

async function encryptItem(
  call: TransitCall,
  key: NamedKey,
  item: z.output<typeof plainItem>,
): Promise<object> {
  if (item.plaintext == null) throw new Refusal(400, 'missing plaintext to encrypt');
  const version = versionToUse(key, item.key_version);
  const ciphertext = await encryptTo(call, key, version, item, decodeBase64(item.plaintext));
  return { ciphertext, key_version: version };
}

async function decryptItem(
  call: TransitCall,
  key: NamedKey,
  item: z.output<typeof cipherItem>,
): Promise<object> {
  const plaintext = await decryptFrom(call, key, item, item.ciphertext);
  return { plaintext: plaintext.toString('base64') };
}

/** The plaintext never leaves this process, and is wiped. */
async function rewrapItemOf(
  call: TransitCall,
  key: NamedKey,
  item: z.output<typeof rewrapItem>,
): Promise<object> {
  const version = versionToUse(key, item.key_version);
  const plaintext = await decryptFrom(call, key, item, item.ciphertext);
  try {
    return { ciphertext: await encryptTo(call, key, version, item, plaintext), key_version: version };
  } finally {
    plaintext.fill(0);
  }
}

export const CIPHER_ROUTES: readonly TransitRoute[] = [
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: '/encrypt/:name',
    summary: 'Encrypt',
    body: plainItem.extend(batchOf(plainItem)),
    answer: batchAnswer(cipherAnswer),
    handle: (call, body) => {
      const key = requireKey(call);
      return answerItems(body, (item) => encryptItem(call, key, item));
    },
  }),
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: '/decrypt/:name',
    summary: 'Decrypt',
    body: cipherItem.extend(batchOf(cipherItem)),
    answer: batchAnswer(plainAnswer),
    handle: (call, body) => {
      const key = requireKey(call);
      return answerItems(body, (item) => decryptItem(call, key, item), {
        status: 400,
        row: { plaintext: '' },
      });
    },
  }),
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: '/rewrap/:name',
    summary: 'Encrypt a ciphertext again, with the latest version of the key',
    body: rewrapItem.extend(batchOf(rewrapItem)),
    answer: batchAnswer(cipherAnswer),
    handle: (call, body) => {
      const key = requireKey(call);
      return answerItems(body, (item) => rewrapItemOf(call, key, item), { status: 200, row: {} });
    },
  }),
];
