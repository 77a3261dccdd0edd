/** A real API on a temporary Unix socket, with the token double behind it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Test } from 'tap';
import { Client } from 'undici';
import type { Peer } from '../../src/access/peer.ts';
import { EventRing } from '../../src/events/event-ring.ts';
import { Metrics } from '../../src/metrics/metrics.ts';
import { createApi, type Api, type ApiDeps } from '../../src/api/server.ts';
import { createTokenDouble, type TokenDouble } from './token-double.ts';

export const OWN_PEER: Peer = {
  ...{ pid: process.pid, startTime: '1', uid: process.getuid?.() ?? 0, gid: 0 },
  ...{ groups: [], executable: null, unit: null },
};

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly text: string;
  /** The body, parsed; null when there is none. */
  readonly body: unknown;
  /** `data` of the envelope; an empty object when there is none. */
  readonly data: Record<string, unknown>;
  readonly errors: unknown;
}

export interface Running {
  readonly api: Api;
  readonly path: string;
  readonly tokens: TokenDouble;
  /** Lines that were logged. */
  readonly logs: Record<string, unknown>[];
  /** `body` is sent as JSON unless it is text or bytes. */
  request(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
}

/** tap's own folders are too deep for the 107 bytes that the path of a Unix socket may have. */
export async function makeSocketPath(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sidekey-api-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'api.sock');
}

export function createApiDeps(overrides: Partial<ApiDeps> = {}) {
  const tokens = createTokenDouble();
  const logs: Record<string, unknown>[] = [];
  const logger = pino({ level: 'trace' }, { write: (line: string) => logs.push(JSON.parse(line)) });
  const deps: ApiDeps = {
    tokens,
    peerOf: (_socket: Socket) => OWN_PEER,
    status: async () => ({ ok: true, boot: 7n }),
    health: () => ({ initialized: true, sealed: false }),
    mayAdminister: ({ uid }) => uid === OWN_PEER.uid || uid === 0,
    mayReadMetrics: ({ uid }) => uid === OWN_PEER.uid || uid === 0,
    metrics: new Metrics(),
    events: new EventRing({ max: 4, run: 'run', now: () => 0 }),
    providers: async () => [],
    usage: async (from, to) => ({ from, to, currency: '', usage: [], calls: [], providers: [] }),
    explainAccess: ({ pid, token }) =>
      pid === OWN_PEER.pid
        ? {
            allowed: true,
            rule: 'tokens[0].allow[0]',
            considered: [],
            token: token ?? 'main',
            peer: OWN_PEER,
          }
        : null,
    now: () => Date.parse('2026-03-31T12:00:00Z'),
    defaultToken: () => 'main',
    logger,
    version: '1.2.3',
    ...overrides,
  };
  return { deps, tokens, logs };
}

/** null: no body, or one that is not JSON and not meant to be. */
function parse(text: string, type: unknown): unknown {
  return text === '' || String(type).startsWith('text/plain') ? null : JSON.parse(text);
}

function fieldOf(body: unknown, name: string): unknown {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : undefined;
}

export async function startApi(t: Test, overrides: Partial<ApiDeps> = {}): Promise<Running> {
  const { deps, tokens, logs } = createApiDeps(overrides);
  const api = createApi(deps);
  const path = await makeSocketPath(t);
  await api.listen(path, 0o600);
  const client = new Client('http://localhost', { socketPath: path });
  t.teardown(async () => {
    await client.destroy();
    await api.close();
  });
  const request: Running['request'] = async (method, url, body, headers = {}) => {
    const isRaw = body === undefined || typeof body === 'string' || Buffer.isBuffer(body);
    const answer = await client.request({
      method: method as 'GET',
      path: url,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      body: isRaw ? ((body as string | Buffer | undefined) ?? null) : JSON.stringify(body),
    });
    const text = await answer.body.text();
    const parsed = parse(text, answer.headers['content-type']);
    const data = (fieldOf(parsed, 'data') ?? {}) as Record<string, unknown>;
    const status = answer.statusCode;
    return { status, headers: answer.headers, text, body: parsed, data, errors: fieldOf(parsed, 'errors') };
  };
  return { api, path, tokens, logs, request };
}

export function base64(text: string | Buffer): string {
  return Buffer.from(text).toString('base64');
}

/** Everything that the server sends until it ends the connection. */
export async function readAll(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => (text += chunk.toString()));
  // A server that ends a connection before it has read everything resets it.
  socket.on('error', () => {});
  await new Promise((done) => socket.once('close', done));
  return text;
}

export async function sendBytes(path: string, bytes: string | Buffer): Promise<string> {
  const socket = connect(path);
  socket.write(bytes);
  return readAll(socket);
}
