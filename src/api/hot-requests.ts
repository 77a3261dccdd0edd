/**
 * Operations with keys, taken before fastify, whose hooks, parsers and reply take as long as all the rest of a short request. The rows
 * are the same ones, and only requests in their plainest form are taken: whatever is unusual (escapes and queries in the path,
 * other content types, chunked or longer bodies, wrapping) goes on to fastify, so that each refusal has one place.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Peer } from '../access/peer.ts';
import type { CounterRow, HistogramRow } from '../metrics/metric-rows.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { faultOf, Refusal } from './fault.ts';
import { logFault } from './fault-reply.ts';
import type { ApiLimits } from './limits.ts';
import { answerInTime, writeBody, type Route } from './route.ts';

/** The first segment below the mount. */
const HOT = ['encrypt', 'decrypt', 'rewrap', 'hmac', 'sign', 'verify', 'datakey', 'random'];
const PLAIN_PATH = /^\/v1(?:\/[\w.~-]+)+$/;
const PLAIN_TYPES: readonly (string | undefined)[] = [
  'application/json',
  'application/x-www-form-urlencoded',
];
const METHODS: readonly (string | undefined)[] = ['POST', 'PUT'];
const JSON_TYPE = 'application/json; charset=utf-8';

export interface HotDeps {
  /** Holds a request to what its process may take; throws 429. */
  readonly hold: (request: IncomingMessage, response: ServerResponse) => void;
  readonly find: (socket: Socket) => Peer | null;
  readonly limits: ApiLimits;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

interface HotRoute {
  readonly route: Route;
  /** Of the segments of a path; null: not a parameter. */
  readonly params: readonly (string | null)[];
  readonly seconds: HistogramRow;
  /** By method and status. */
  readonly requests: Map<string, CounterRow>;
}

interface Asking {
  readonly hot: HotRoute;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly params: Readonly<Record<string, string>>;
  readonly startedAt: number;
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
export function hotRequests(
  routes: readonly Route[],
  deps: HotDeps,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const table = hotTable(routes, deps.metrics);
  return (request, response) => {
    if (!isPlain(request, deps.limits)) return false;
    const segments = (request.url ?? '').split('/');
    const hot = table.get(`${segments[3]} ${segments.length}`);
    if (hot === undefined) return false;
    const asking = { hot, request, response, params: paramsOf(hot, segments), startedAt: performance.now() };
    response.once('close', () => count(deps.metrics, asking));
    begin(deps, asking);
    return true;
  };
}

function hotTable(routes: readonly Route[], metrics: Metrics): Map<string, HotRoute> {
  const table = new Map<string, HotRoute>();
  for (const route of routes) {
    const segments = route.path.split('/');
    if (!HOT.includes(segments[3] ?? '') || !route.methods.includes('POST')) continue;
    const params = segments.map((segment) => (segment.startsWith(':') ? segment.slice(1) : null));
    // Nothing but the number of segments tells routes of one name apart here.
    const key = `${segments[3]} ${segments.length}`;
    if (table.has(key) || params.slice(4).includes(null))
      throw new Error(`${route.path} needs fastify's router`);
    const seconds = metrics.histogramRow('sidekey_http_request_seconds', { route: route.path });
    table.set(key, { route, params, seconds, requests: new Map() });
  }
  return table;
}

function isPlain({ method, url = '', headers }: IncomingMessage, limits: ApiLimits): boolean {
  if (!METHODS.includes(method) || url.length > limits.pathSegmentBytes || !PLAIN_PATH.test(url))
    return false;
  if (!PLAIN_TYPES.includes(headers['content-type']) || headers['expect'] !== undefined) return false;
  if (headers['transfer-encoding'] !== undefined || headers['x-vault-wrap-ttl'] !== undefined) return false;
  return Number(headers['content-length'] ?? 0) <= limits.bodyBytes;
}

function paramsOf({ params }: HotRoute, segments: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [index, name] of params.entries()) if (name !== null) found[name] = segments[index] ?? '';
  return found;
}

function begin(deps: HotDeps, asking: Asking): void {
  const { request, response } = asking;
  try {
    deps.hold(request, response);
  } catch (error) {
    // The body is not waited for.
    response.setHeader('connection', 'close');
    refuse(deps, asking, randomUUID(), error);
    return;
  }
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => void serve(deps, asking, chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
}

/** Never rejects. */
async function serve(deps: HotDeps, asking: Asking, body: Buffer = Buffer.alloc(0)): Promise<void> {
  const id = randomUUID();
  try {
    const peer = deps.find(asking.request.socket);
    if (peer === null) throw new Refusal(403, 'permission denied');
    const given = parseJson(body);
    const answer = asking.hot.route.handle({ peer, params: asking.params, query: {} }, given);
    const reply =
      answer instanceof Promise ? await answerInTime(answer, deps.limits.handlerTimeoutMs) : answer;
    if ('secret' in reply || 'empty' in reply) throw new Error('no hot route answers so');
    send(asking, reply.status ?? 200, writeBody(id, reply));
  } catch (error) {
    refuse(deps, asking, id, error);
  }
}

/** The parser's own error would quote the body. */
export function parseJson(body: Buffer): unknown {
  try {
    return body.length === 0 ? {} : JSON.parse(body.toString('utf8'));
  } catch {
    throw new Refusal(400, 'failed to parse JSON input');
  }
}

function refuse(deps: HotDeps, asking: Asking, id: string, error: unknown): void {
  const { hot, request } = asking;
  const asked = { id, method: request.method ?? '', routeOptions: { url: hot.route.path } };
  logFault(deps.logger, asked, deps.find(request.socket), error);
  const { status, errors } = faultOf(error);
  send(asking, status, JSON.stringify({ errors }));
}

function send({ request, response }: Asking, status: number, body: string): void {
  if (response.destroyed) return;
  const length = Buffer.byteLength(body);
  const headers = ['cache-control', 'no-store', 'content-type', JSON_TYPE, 'content-length', String(length)];
  if (!request.socket.server?.listening) headers.push('connection', 'close');
  response.writeHead(status, headers);
  // Of one byte each, the letters need not be encoded.
  response.end(body, length === body.length ? 'latin1' : 'utf8');
}

function count(metrics: Metrics, { hot, request, response, startedAt }: Asking): void {
  const key = `${request.method} ${response.statusCode}`;
  const known = hot.requests.get(key);
  const labels = { method: request.method ?? '', route: hot.route.path, status: String(response.statusCode) };
  const row = known ?? metrics.counterRow('sidekey_http_requests_total', labels);
  if (known === undefined) hot.requests.set(key, row);
  row.add(1);
  hot.seconds.observe((performance.now() - startedAt) / 1000);
}
