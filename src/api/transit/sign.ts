/** sign/:name and verify/:name. */
import { z } from 'zod';
import type { NamedKey } from '../../tokens/service.ts';
import { decodeBase64 } from '../base64.ts';
import { answerJobs, type KeyJob } from './key-jobs.ts';
import { answerItems, batchAnswer, batchOf } from './batch.ts';
import { flag, integer, text, textOrInteger } from './field.ts';
import { Refusal } from '../fault.ts';
import { DEFAULT_HASH, findHash } from './hash-algorithm.ts';
import type { Reply } from '../route.ts';
import { decodeSignature, encodeSignature, planSignature, type SigningOptions } from './signature-scheme.ts';
import { defineTransitRoute, isVerified, requireKey, type TransitCall, type TransitRoute } from './call.ts';
import { isHmacValid } from './hmac.ts';
import { formatVersioned, parseVersioned, versionToUse } from './versioned.ts';

const signItem = z.object({ input: text, key_version: integer, reference: text });
const verifyItem = z.object({ input: text, signature: text, hmac: text, reference: text });
const optionFields = {
  hash_algorithm: text,
  /** Vault's older name for hash_algorithm. */
  algorithm: text,
  prehashed: flag,
  signature_algorithm: z.enum(['', 'pss', 'pkcs1v15']).nullish(),
  salt_length: textOrInteger,
  marshaling_algorithm: z.enum(['', 'asn1', 'jws']).nullish(),
};
const options = z.object(optionFields);
const signBody = signItem.extend({ ...optionFields, ...batchOf(signItem) });
const verifyBody = verifyItem.extend({ ...optionFields, ...batchOf(verifyItem) });

function hashNameOf(call: TransitCall, body: z.output<typeof options>): string {
  return call.params['hash'] ?? (body.hash_algorithm || body.algorithm || DEFAULT_HASH);
}

function parseSaltLength(text: string): SigningOptions['saltLength'] {
  if (text === 'auto' || text === 'hash') return text;
  if (!/^\d{1,4}$/.test(text))
    throw new Refusal(400, 'field "salt_length": expected auto, hash or a number of bytes');
  return Number(text);
}

function readOptions(call: TransitCall, body: z.output<typeof options>): SigningOptions {
  const hash = hashNameOf(call, body);
  return {
    hash: hash === 'none' ? null : findHash(hash),
    prehashed: body.prehashed ?? false,
    signatureAlgorithm: body.signature_algorithm || 'pss',
    saltLength: parseSaltLength(body.salt_length || 'auto'),
    marshaling: body.marshaling_algorithm || 'asn1',
  };
}

function decodeInput(input: string | null | undefined): Buffer {
  if (input == null) throw new Refusal(400, 'missing input');
  return decodeBase64(input);
}

function signJob(key: NamedKey, chosen: SigningOptions, item: z.output<typeof signItem>): KeyJob {
  const version = versionToUse(key, item.key_version);
  const [plan] = planSignature(key, chosen, decodeInput(item.input));
  if (plan === undefined) throw new Error('a signature without a plan');
  const finish = (raw: Buffer): object => ({
    signature: formatVersioned(version, encodeSignature(key, chosen.marshaling, raw)),
    key_version: version,
  });
  return { use: { operation: 'sign', mechanism: plan.mechanism, version }, data: plan.data, finish };
}

async function isSignatureValid(
  call: TransitCall,
  key: NamedKey,
  chosen: SigningOptions,
  input: Buffer,
  signature: string,
): Promise<boolean> {
  const plans = planSignature(key, chosen, input);
  const { version, body } = parseVersioned(key, signature, 'signature');
  const raw = decodeSignature(key, chosen.marshaling, body);
  for (const { mechanism, data } of plans) {
    if (await isVerified(call, key, { mechanism, version }, data, raw)) return true;
  }
  return false;
}

async function verifyItemWith(
  call: TransitCall,
  key: NamedKey,
  body: z.output<typeof options>,
  { input, signature, hmac }: z.output<typeof verifyItem>,
): Promise<object> {
  const message = decodeInput(input);
  if (signature && hmac) throw new Refusal(400, "provide one of 'signature' or 'hmac'");
  if (hmac) return { valid: await isHmacValid(call, key, hashNameOf(call, body), message, hmac) };
  if (!signature) throw new Refusal(400, "neither a 'signature' nor an 'hmac' were given to verify");
  return { valid: await isSignatureValid(call, key, readOptions(call, body), message, signature) };
}

function sign(call: TransitCall, body: z.output<typeof signBody>): Promise<Reply> {
  const key = requireKey(call, 'signing key not found');
  const chosen = readOptions(call, body);
  const failed = { status: 200, row: { key_version: 0 } };
  return answerJobs(call, key, body, (item) => signJob(key, chosen, item), failed);
}

function verify(call: TransitCall, body: z.output<typeof verifyBody>): Promise<Reply> {
  const key = requireKey(call, 'signature verification key not found');
  const failed = { status: 200, row: { valid: false } };
  return answerItems(body, (item) => verifyItemWith(call, key, body, item), failed);
}

export const SIGN_ROUTES: readonly TransitRoute[] = ['', '/:hash'].flatMap((hash) => [
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: `/sign/:name${hash}`,
    summary: 'Sign',
    body: signBody,
    answer: batchAnswer(z.object({ signature: z.string(), key_version: z.int() })),
    handle: sign,
  }),
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: `/verify/:name${hash}`,
    summary: 'Check a signature or an HMAC',
    body: verifyBody,
    answer: batchAnswer(z.object({ valid: z.boolean() })),
    handle: verify,
  }),
]);
