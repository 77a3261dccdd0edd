/** datakey/plaintext/:name and datakey/wrapped/:name: fresh random bytes for the caller, encrypted with the key. */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { encryptTo } from './key-cipher.ts';
import { integer, text } from './field.ts';
import { Refusal } from '../fault.ts';
import type { Reply } from '../route.ts';
import { defineTransitRoute, requireKey, type TransitCall, type TransitRoute } from './call.ts';
import { versionToUse } from './versioned.ts';

const body = z.object({
  bits: integer,
  key_version: integer,
  associated_data: text,
  context: text,
  nonce: text,
});
const answer = z.object({
  ciphertext: z.string(),
  key_version: z.int(),
  plaintext: z.string().optional(),
});

const DEFAULT_BITS = 256;
const BITS: readonly number[] = [128, 256, 512];
const FORMS: readonly string[] = ['plaintext', 'wrapped'];

function bitsOf(call: TransitCall, given: number | null | undefined): number {
  const asked = call.params['bits'];
  const bits = asked === undefined ? (given ?? DEFAULT_BITS) : Number(asked);
  if (!BITS.includes(bits)) throw new Refusal(400, 'invalid bit length');
  return bits;
}

async function makeDataKey(call: TransitCall, request: z.output<typeof body>): Promise<Reply> {
  const form = call.params['form'] ?? '';
  if (!FORMS.includes(form)) throw new Refusal(400, 'Invalid path, must be "plaintext" or "wrapped"');
  const key = requireKey(call);
  const version = versionToUse(key, request.key_version);
  const plaintext = randomBytes(bitsOf(call, request.bits) / 8);
  try {
    const encrypted = await encryptTo(call, key, version, request, Buffer.from(plaintext));
    const shown = form === 'plaintext' ? { plaintext: plaintext.toString('base64') } : {};
    return { data: { ...encrypted, ...shown } };
  } finally {
    plaintext.fill(0);
  }
}

export const DATAKEY_ROUTES: readonly TransitRoute[] = ['', '/:bits'].map((bits) =>
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: `/datakey/:form/:name${bits}`,
    summary: 'Make a data key, encrypted with the key and (plaintext) in the clear',
    body,
    answer,
    handle: makeDataKey,
  }),
);
