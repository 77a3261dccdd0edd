/**
 * PUT /v1/sidekey/stream/encrypt/:key and decrypt/:key: bodies of any length, answered while they are read.
 */
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Peer } from '../../access/peer.ts';
import { Places } from '../../access/places.ts';
import { SidekeyError } from '../../errors.ts';
import type { StreamKey, TokenService } from '../../tokens/service.ts';
import { decodeBase64 } from '../base64.ts';
import { Refusal } from '../fault.ts';
import {
  boundHeader,
  HEADER_BYTES,
  openStream,
  parseHeader,
  sealStream,
  SegmentReader,
} from './stream-format.ts';
import type { TransitDeps } from '../transit/call.ts';

const STREAMS_MAX = 32;
const PARAMETER_MAX = 8192;
/** What a client may have on its way that does not know yet that it is refused. */
const DISCARDED_BYTES = 128 * 1024;
const DISCARD_MS = 1000;

const query = z.object({
  token: z.string().max(64).optional(),
  associated_data: z.string().max(PARAMETER_MAX).optional(),
});

interface StreamCall {
  readonly tokens: TokenService;
  readonly peer: Peer;
  readonly token: string;
  readonly name: string;
  readonly aad: Buffer;
}

interface Running {
  readonly key: StreamKey;
  readonly output: AsyncGenerator<Buffer>;
}

async function beginEncryption(call: StreamCall, source: SegmentReader): Promise<Running> {
  const { tokens, peer, token, name, aad } = call;
  const version = tokens.findNamedKey(peer, token, name)?.latestVersion;
  if (version === undefined) throw new Refusal(400, 'encryption key not found');
  const key = await tokens.makeStreamKey(peer, token, name, {
    version,
    aad: Buffer.concat([boundHeader(version), aad]),
  });
  return { key, output: sealStream(key, source) };
}

/** Another key or version, other associated data, a changed header: all look the same. */
function refuseWrongKey(error: unknown): never {
  const isOfKey = error instanceof SidekeyError && /^(wrapped_key|key_handle)_invalid$/.test(error.code);
  if (isOfKey) throw new Refusal(400, 'invalid stream: unable to decrypt');
  throw error;
}

async function beginDecryption(call: StreamCall, source: SegmentReader): Promise<Running> {
  const { tokens, peer, token, name, aad } = call;
  const named = tokens.findNamedKey(peer, token, name);
  if (named === null) throw new Refusal(400, 'encryption key not found');
  const { version, wrapped } = parseHeader(await source.take(HEADER_BYTES));
  if (version < named.policy.minDecryptionVersion)
    throw new Refusal(400, 'ciphertext or signature version is disallowed by policy (too old)');
  const bound = Buffer.concat([boundHeader(version), aad]);
  const key = await tokens
    .openStreamKey(peer, token, name, { version, aad: bound, wrapped })
    .catch(refuseWrongKey);
  return { key, output: openStream(key, source) };
}

/** An answer whose first piece is ready: until then, a refusal can still set the status. */
async function* flow(first: IteratorResult<Buffer>, output: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  if (first.done !== true) yield first.value;
  yield* output;
}

/** Wipes the key when the answer ends, for whatever reason. */
async function startAnswer({ key, output }: Running, ended: () => void): Promise<Readable> {
  try {
    const first = await output.next();
    const answer = Readable.from(flow(first, output), { objectMode: false });
    answer.once('close', () => {
      key.close();
      ended();
    });
    return answer;
  } catch (error) {
    key.close();
    throw error;
  }
}

function readCall(
  deps: TransitDeps,
  peerOf: (request: FastifyRequest) => Peer,
  request: FastifyRequest,
): StreamCall {
  const parsed = query.safeParse(request.query);
  if (!parsed.success) throw new Refusal(400, 'query: token and associated_data must be text');
  const { token = deps.defaultToken(), associated_data = '' } = parsed.data;
  const { key: name = '' } = request.params as Record<string, string>;
  return { tokens: deps.tokens, peer: peerOf(request), token, name, aad: decodeBase64(associated_data) };
}

/** The client hung up during its stream: nobody reads the answer, and it is not our fault. */
function hungUp({ raw }: FastifyRequest): boolean {
  return raw.destroyed && !raw.complete;
}

/** Whoever still writes when the connection closes never reads why it was refused. */
async function discard(source: SegmentReader): Promise<void> {
  const end = new AbortController();
  const read = source.discard(DISCARDED_BYTES).catch(() => undefined);
  await Promise.race([read, sleep(DISCARD_MS, undefined, { signal: end.signal }).catch(() => undefined)]);
  end.abort();
}

const DIRECTIONS = { encrypt: beginEncryption, decrypt: beginDecryption } as const;

/** In its own context: here a body is a stream, limited only by the request timeout. */
export function registerStreams(
  app: FastifyInstance,
  deps: TransitDeps,
  peerOf: (request: FastifyRequest) => Peer,
): void {
  const places = new Places(STREAMS_MAX);
  const answer = async (
    begin: (call: StreamCall, source: SegmentReader) => Promise<Running>,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    const call = readCall(deps, peerOf, request);
    const source = new SegmentReader(request.raw);
    const ended = places.take(call.peer);
    // The rest of a refused stream's body is not read.
    reply.header('connection', 'close').header('cache-control', 'no-store');
    try {
      if (ended === null) throw new SidekeyError('busy', 'the limit of concurrent streams is reached');
      const output = await startAnswer(await begin(call, source), ended);
      return reply.type('application/octet-stream').send(output);
    } catch (error) {
      await discard(source);
      ended?.();
      throw hungUp(request) ? new Refusal(400, 'the client hung up') : error;
    }
  };
  app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { bodyLimit: Number.MAX_SAFE_INTEGER }, (_request, _payload, done) =>
      done(null),
    );
    for (const [name, begin] of Object.entries(DIRECTIONS))
      scope.route({
        method: ['PUT', 'POST'],
        url: `/v1/sidekey/stream/${name}/:key`,
        bodyLimit: Number.MAX_SAFE_INTEGER,
        handler: (request, reply) => answer(begin, request, reply),
      });
  });
}
