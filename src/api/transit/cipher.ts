/** encrypt/:name, decrypt/:name and rewrap/:name. */
import { z } from 'zod';
import type { NamedKey } from '../../tokens/service.ts';
import { decodeBase64 } from '../base64.ts';
import type { Reply } from '../route.ts';
import { answerItems, batchAnswer, batchOf } from './batch.ts';
import { answerJobs } from './key-jobs.ts';
import { decryptFrom, decryptJob, encryptJob, encryptTo, isEnvelope, showPlaintext } from './key-cipher.ts';
import { integer, text } from './field.ts';
import { Refusal } from '../fault.ts';
import { defineTransitRoute, requireKey, type TransitCall, type TransitRoute } from './call.ts';
import { decryptPlain, encryptPlain, UNDECRYPTED } from './plain-cipher.ts';
import { versionToUse } from './versioned.ts';

const terms = { associated_data: text, context: text, nonce: text, reference: text };
const plainItem = z.object({ plaintext: text, key_version: integer, ...terms });
const cipherItem = z.object({ ciphertext: text, ...terms });
const rewrapItem = cipherItem.extend({ key_version: integer });

type PlainItem = z.output<typeof plainItem>;
type CipherItem = z.output<typeof cipherItem>;
const encryptBody = plainItem.extend(batchOf(plainItem));
const decryptBody = cipherItem.extend(batchOf(cipherItem));

const cipherAnswer = z.object({ ciphertext: z.string(), key_version: z.int() });
const plainAnswer = z.object({ plaintext: z.string() });

function encryptionOf(key: NamedKey, item: PlainItem): { version: number; plaintext: Buffer } {
  if (item.plaintext == null) throw new Refusal(400, 'missing plaintext to encrypt');
  return { version: versionToUse(key, item.key_version), plaintext: decodeBase64(item.plaintext) };
}

function encrypt(call: TransitCall, body: z.output<typeof encryptBody>): Promise<Reply> {
  const key = requireKey(call);
  if (isEnvelope(key))
    return answerItems(body, async (item: PlainItem) => {
      const { version, plaintext } = encryptionOf(key, item);
      return encryptTo(call, key, version, item, plaintext);
    });
  return answerJobs(call, key, body, (item: PlainItem) => {
    const { version, plaintext } = encryptionOf(key, item);
    return encryptJob(key, version, item, plaintext);
  });
}

function decrypt(call: TransitCall, body: z.output<typeof decryptBody>): Promise<Reply> {
  const key = requireKey(call);
  if (!isEnvelope(key))
    return answerJobs(call, key, body, (item: CipherItem) => decryptJob(key, item), UNDECRYPTED);
  const work = async (item: CipherItem) => showPlaintext(await decryptFrom(call, key, item));
  return answerItems(body, work, UNDECRYPTED);
}

/** The plaintext never leaves this process, and is wiped. */
async function rewrapItemOf(
  call: TransitCall,
  key: NamedKey,
  item: z.output<typeof rewrapItem>,
): Promise<object> {
  const version = versionToUse(key, item.key_version);
  const plaintext = await decryptFrom(call, key, item);
  try {
    return await encryptTo(call, key, version, item, plaintext);
  } finally {
    plaintext.fill(0);
  }
}

export const CIPHER_ROUTES: readonly TransitRoute[] = [
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: '/encrypt/:name',
    summary: 'Encrypt',
    body: encryptBody,
    answer: batchAnswer(cipherAnswer),
    handle: encrypt,
    handlePlain: encryptPlain,
  }),
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: '/decrypt/:name',
    summary: 'Decrypt',
    body: decryptBody,
    answer: batchAnswer(plainAnswer),
    handle: decrypt,
    handlePlain: decryptPlain,
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
