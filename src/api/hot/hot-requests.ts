/**
 * Hot routes on connections that node:http has: what the door (door.ts) handed over. Only requests in their plainest form are
 * taken: whatever is unusual (escapes and queries in the path, other content types, chunked or longer bodies, wrapping) goes on to
 * fastify, so that each refusal has one place.
 */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Peer } from '../../access/peer.ts';
import type { ApiLimits } from '../limits.ts';
import { answerInTime, type SecretBody } from '../route.ts';
import { bytesOf, drop, PLAIN_TYPES, type Answered, type HotCall, type HotRoutes } from './hot-routes.ts';

const METHODS: readonly (string | undefined)[] = ['POST', 'PUT'];
export const JSON_TYPE = 'application/json; charset=utf-8';

export interface HotDeps {
  readonly hot: HotRoutes;
  /** Holds a request to what its process may take; throws 429. */
  readonly hold: (request: IncomingMessage, response: ServerResponse) => void;
  readonly find: (socket: Socket) => Peer | null;
  readonly limits: ApiLimits;
}

interface Asking {
  readonly call: HotCall;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** `take` sees each request first; those that it does not take go on to who listens already. */
export function serveFirst(server: Server, take: (...asked: Parameters<RequestListener>) => boolean): void {
  const [next, ...others] = server
    .listeners('request')
    .filter((each) => each.length > 1) as RequestListener[];
  if (next === undefined || others.length > 0) throw new Error('fastify listens in another way');
  server.removeListener('request', next);
  server.on('request', (request, response) => void (take(request, response) || next(request, response)));
}

/** Answers whether it took the request. */
export function hotRequests(deps: HotDeps): (request: IncomingMessage, response: ServerResponse) => boolean {
  return (request, response) => {
    if (!isPlain(request, deps.limits)) return false;
    const call = deps.hot.find(request.method ?? '', request.url ?? '', request.headers['content-type']);
    if (call === null) return false;
    response.once('close', () => deps.hot.count(call, response.statusCode));
    begin(deps, { call, request, response });
    return true;
  };
}

function isPlain({ method, headers }: IncomingMessage, limits: ApiLimits): boolean {
  if (!METHODS.includes(method) || !PLAIN_TYPES.includes(headers['content-type'])) return false;
  if (headers['expect'] !== undefined || headers['transfer-encoding'] !== undefined) return false;
  return (
    headers['x-vault-wrap-ttl'] === undefined && Number(headers['content-length'] ?? 0) <= limits.bodyBytes
  );
}

function begin(deps: HotDeps, asking: Asking): void {
  const { call, request, response } = asking;
  try {
    deps.hold(request, response);
  } catch (error) {
    // The body is not waited for.
    response.setHeader('connection', 'close');
    send(asking, deps.hot.refuse(call, deps.find(request.socket), error));
    return;
  }
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => void serve(deps, asking, Buffer.concat(chunks)));
}

/** Never rejects. */
async function serve(deps: HotDeps, asking: Asking, body: Buffer): Promise<void> {
  const peer = deps.find(asking.request.socket);
  const answered = await deps.hot.answer(asking.call, peer, body, (reply) =>
    answerInTime(reply, deps.limits.handlerTimeoutMs),
  );
  send(asking, answered);
}

function send({ request, response }: Asking, answered: Answered): void {
  if (response.destroyed) return drop(answered);
  const { status, body } = answered;
  const length = bytesOf(body);
  const headers = ['cache-control', 'no-store', 'content-type', JSON_TYPE, 'content-length', String(length)];
  if (!request.socket.server?.listening) headers.push('connection', 'close');
  response.writeHead(status, headers);
  if (typeof body !== 'string') return endWithSecret(response, body);
  // Of one byte each, the letters need not be encoded.
  response.end(body, length === body.length ? 'latin1' : 'utf8');
}

function endWithSecret(response: ServerResponse, { head, secret, tail, wipe }: SecretBody): void {
  response.write(head, 'latin1');
  response.write(secret, wipe);
  response.end(tail, 'latin1');
}
