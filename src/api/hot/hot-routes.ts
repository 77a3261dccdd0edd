/**
 * Operations with keys, whose requests are taken before fastify: its hooks, parsers and reply take as long as all the rest of a short
 * request. The rows are the same ones. Here they are found by their path, answered and counted, by whichever way a request came.
 */
import { randomUUID } from 'node:crypto';
import type { Peer } from '../../access/peer.ts';
import type { CounterRow, HistogramRow } from '../../metrics/metric-rows.ts';
import type { Metrics } from '../../metrics/metrics.ts';
import { faultOf, Refusal } from '../fault.ts';
import type { FaultLog } from '../fault-log.ts';
import { FORM_TYPE, parseBody } from '../request-body.ts';
import { secretBody, writeBody, type Reply, type Route, type SecretBody } from '../route.ts';

/** The first segment below the mount. */
const HOT = ['encrypt', 'decrypt', 'rewrap', 'hmac', 'sign', 'verify', 'datakey', 'random'];
const PLAIN_PATH = /^\/v1(?:\/[\w.~-]+)+$/;
/** Others go to fastify. Vault's client for Go names none. */
export const PLAIN_TYPES: readonly (string | undefined)[] = [undefined, 'application/json', FORM_TYPE];

interface HotRoute {
  readonly route: Route;
  /** Of the segments of a path; null: not a parameter. */
  readonly params: readonly (string | null)[];
  readonly seconds: HistogramRow;
  /** By method and status. */
  readonly requests: Map<string, CounterRow>;
}

/** A request whose path is a hot one's. */
export interface HotCall {
  readonly hot: HotRoute;
  readonly method: string;
  readonly isForm: boolean;
  readonly params: Readonly<Record<string, string>>;
  readonly startedAt: number;
}

export interface Answered {
  readonly status: number;
  /** JSON. */
  readonly body: string | SecretBody;
}

export class HotRoutes {
  readonly #table: ReadonlyMap<string, HotRoute>;
  readonly #pathMax: number;
  readonly #log: FaultLog;
  readonly #metrics: Metrics;

  constructor(
    routes: readonly Route[],
    deps: { readonly pathMax: number; readonly log: FaultLog; readonly metrics: Metrics },
  ) {
    this.#table = hotTable(routes, deps.metrics);
    this.#pathMax = deps.pathMax;
    this.#log = deps.log;
    this.#metrics = deps.metrics;
  }

  /** null: the path is none of these, or not in its plainest form. */
  find(method: string, path: string, contentType: string | undefined): HotCall | null {
    if (path.length > this.#pathMax || !PLAIN_PATH.test(path)) return null;
    const segments = path.split('/');
    const hot = this.#table.get(`${segments[3]} ${segments.length}`);
    if (hot === undefined) return null;
    const isForm = contentType === FORM_TYPE;
    return { hot, method, isForm, params: paramsOf(hot, segments), startedAt: performance.now() };
  }

  /** Never rejects. `inTime` bounds how long the handler is waited for. The body is read before this returns. */
  async answer(
    call: HotCall,
    peer: Peer | null,
    body: Buffer,
    inTime: (reply: Promise<Reply>) => Promise<Reply>,
  ): Promise<Answered> {
    const id = randomUUID();
    try {
      if (peer === null) throw new Refusal(403, 'permission denied');
      const { route } = call.hot;
      const asked = { peer, params: call.params, query: {} };
      const reply = route.handlePlain?.(asked, body) ?? route.handle(asked, parseBody(body, call.isForm));
      return answeredBy(id, reply instanceof Promise ? await inTime(reply) : reply);
    } catch (error) {
      return this.refuse(call, peer, error, id);
    }
  }

  refuse(call: HotCall, peer: Peer | null, error: unknown, id: string = randomUUID()): Answered {
    this.#log.fault({ id, method: call.method, routeOptions: { url: call.hot.route.path } }, peer, error);
    const { status, errors } = faultOf(error);
    return { status, body: JSON.stringify({ errors }) };
  }

  count({ hot, method, startedAt }: HotCall, status: number): void {
    const key = `${method} ${status}`;
    let row = hot.requests.get(key);
    if (row === undefined) {
      const labels = { method, route: hot.route.path, status: String(status) };
      row = this.#metrics.counterRow('sidekey_http_requests_total', labels);
      hot.requests.set(key, row);
    }
    row.add(1);
    hot.seconds.observe((performance.now() - startedAt) / 1000);
  }
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

function paramsOf({ params }: HotRoute, segments: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (let index = 0; index < params.length; index++) {
    const name = params[index] ?? null;
    if (name !== null) found[name] = segments[index] ?? '';
  }
  return found;
}

function answeredBy(id: string, reply: Reply): Answered {
  if ('empty' in reply) throw new Error('no hot route answers so');
  const body = 'secret' in reply ? secretBody(id, reply) : writeBody(id, reply);
  return { status: reply.status ?? 200, body };
}

/** The length of a body. Head and tail have letters of one byte. */
export function bytesOf(body: Answered['body']): number {
  if (typeof body === 'string') return Buffer.byteLength(body);
  return body.head.length + body.secret.length + body.tail.length;
}

/** Of an answer that nobody gets. */
export function drop({ body }: Answered): void {
  if (typeof body !== 'string') body.wipe();
}
