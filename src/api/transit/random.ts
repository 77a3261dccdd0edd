/** random: bytes from the kernel, or from the token's key service. */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { integer, text } from './field.ts';
import { Refusal } from '../fault.ts';
import { API_LIMITS } from '../limits.ts';
import type { Reply } from '../route.ts';
import { admit, defineTransitRoute, type TransitCall, type TransitRoute } from './call.ts';

const body = z.object({ bytes: integer, format: z.enum(['', 'base64', 'hex']).nullish(), source: text });
const DEFAULT_BYTES = 32;

type Take = (call: TransitCall, size: number) => Buffer | Promise<Buffer>;

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

/**
 * The sources, and how many bytes each gives at most. `seal`: the token's key service; `all`: its bytes XORed
 * with the kernel's.
 */
const SOURCES: Readonly<Record<string, { readonly max: number; readonly take: Take }>> = {
  platform: { max: API_LIMITS.randomBytes, take: (_call, size) => randomBytes(size) },
  seal: { max: API_LIMITS.serviceRandomBytes, take: fromService },
  all: {
    max: API_LIMITS.serviceRandomBytes,
    take: async (call, size) => mix(await fromService(call, size), randomBytes(size)),
  },
};

function fromService({ tokens, peer, token }: TransitCall, size: number): Promise<Buffer> {
  return tokens.serviceRandom(peer, token, size);
}

/** XORs into the first, which is then as good as the better of both. Wipes the second. */
function mix(bytes: Buffer, others: Buffer): Buffer {
  for (const [at, other] of others.entries()) bytes[at] = (bytes[at] ?? 0) ^ other;
  others.fill(0);
  return bytes;
}

function reply(bytes: Buffer, format: 'base64' | 'hex'): Reply {
  const text = bytes.toString(format);
  bytes.fill(0);
  return { data: { random_bytes: text } };
}

function random(call: TransitCall, request: z.output<typeof body>): Reply | Promise<Reply> {
  admit(call);
  const path = readPath(call);
  const name = path.source ?? (request.source || 'platform');
  const source = Object.hasOwn(SOURCES, name) ? SOURCES[name] : undefined;
  if (source === undefined) throw new Refusal(400, 'field "source": expected platform, seal or all');
  const size = path.bytes ?? request.bytes ?? DEFAULT_BYTES;
  if (size < 1 || size > source.max) throw new Refusal(400, `field "bytes": expected 1 to ${source.max}`);
  const taken = source.take(call, size);
  const format = request.format || 'base64';
  return Buffer.isBuffer(taken) ? reply(taken, format) : taken.then((bytes) => reply(bytes, format));
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
