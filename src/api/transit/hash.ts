/** hash: a digest of the input. No key is used; access to the token decides who may ask. */
import { z } from 'zod';
import { decodeBase64 } from '../base64.ts';
import { text } from './field.ts';
import { Refusal } from '../fault.ts';
import { DEFAULT_HASH, digestOf, findHash } from './hash-algorithm.ts';
import type { Reply } from '../route.ts';
import { admit, defineTransitRoute, type TransitCall, type TransitRoute } from './call.ts';

const body = z.object({
  input: text,
  algorithm: text,
  format: z.enum(['', 'hex', 'base64']).nullish(),
});

function hash(call: TransitCall, request: z.output<typeof body>): Reply {
  admit(call);
  if (request.input == null) throw new Refusal(400, 'missing input');
  const algorithm = findHash(call.params['algorithm'] ?? (request.algorithm || DEFAULT_HASH));
  const sum = digestOf(algorithm, decodeBase64(request.input));
  return { data: { sum: sum.toString(request.format || 'hex') } };
}

export const HASH_ROUTES: readonly TransitRoute[] = ['', '/:algorithm'].map((tail) =>
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: `/hash${tail}`,
    summary: 'Hash',
    body,
    answer: z.object({ sum: z.string() }),
    handle: hash,
  }),
);
