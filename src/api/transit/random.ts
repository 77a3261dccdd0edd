/** random, from the kernel's generator. The token only says who may ask. */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { integer, text } from './field.ts';
import { Refusal } from '../fault.ts';
import { API_LIMITS } from '../limits.ts';
import type { Reply } from '../route.ts';
import { admit, defineTransitRoute, type TransitCall, type TransitRoute } from './call.ts';

const body = z.object({ bytes: integer, format: z.enum(['', 'base64', 'hex']).nullish(), source: text });
const DEFAULT_BYTES = 32;

/** `random/64`, `random/platform` and `random/platform/64` are all in use. */
function readPath(call: TransitCall): { source?: string; bytes?: number } {
  const { first, second } = call.params;
  if (first === undefined) return {};
  const size = /^\d{1,9}$/.test(first) && second === undefined ? first : second;
  if (size !== undefined && !/^\d{1,9}$/.test(size))
    throw new Refusal(400, 'field "bytes": expected a whole number');
  return {
    ...(size === undefined ? {} : { bytes: Number(size) }),
    ...(size === first ? {} : { source: first }),
  };
}

/** Other sources of Vault (seal, all) cannot be had, so they are not claimed. */
function checkSource(source: string): void {
  if (source !== '' && source !== 'platform')
    throw new Refusal(400, 'field "source": only platform is supported');
}

function random(call: TransitCall, request: z.output<typeof body>): Reply {
  admit(call);
  const path = readPath(call);
  checkSource(path.source ?? request.source ?? '');
  const size = path.bytes ?? request.bytes ?? DEFAULT_BYTES;
  if (size < 1 || size > API_LIMITS.randomBytes)
    throw new Refusal(400, `field "bytes": expected 1 to ${API_LIMITS.randomBytes}`);
  return { data: { random_bytes: randomBytes(size).toString(request.format || 'base64') } };
}

export const RANDOM_ROUTES: readonly TransitRoute[] = ['', '/:first', '/:first/:second'].map((tail) =>
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: `/random${tail}`,
    summary: 'Random bytes',
    body,
    answer: z.object({ random_bytes: z.string() }),
    handle: random,
  }),
);
