/**
 * The HTTP API on a Unix socket: the Transit dialect for the keys shared with PKCS#11, health, and
 * /v1/sidekey. Peers are identified by the kernel; tokens and headers of Vault's clients are accepted and
 * ignored.
 */
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Peer } from '../access/peer.ts';
import { SYSTEM_CLOCK } from '../clock.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { authRoutes } from './auth-routes.ts';
import { trackPeers } from './connection-peer.ts';
import { isEventsRequest, serveEvents, type EventSocketDeps } from './sidekey/event-socket.ts';
import { Refusal } from './fault.ts';
import { FaultLog } from './fault-log.ts';
import { answerBrokenRequest, handleFaults, sendFault } from './fault-reply.ts';
import { openDoor, withdrawHttp, type Door } from './hot/door.ts';
import { hotRequests, serveFirst } from './hot/hot-requests.ts';
import { HotRoutes } from './hot/hot-routes.ts';
import { API_LIMITS, type ApiLimits } from './limits.ts';
import { limitPeers } from './peer-limits.ts';
import { acceptListMethod } from './list-method.ts';
import { mountRoutes } from './mount-routes.ts';
import { describeApi } from './openapi.ts';
import { defineRoute, noBody, registerRoutes, type Route } from './route.ts';
import { isFormType, parseBody } from './request-body.ts';
import { sidekeyRoutes, type SidekeyDeps } from './sidekey/sidekey-routes.ts';
import { clearStaleSocket, listenOnPath } from './socket-path.ts';
import { registerStreams } from './sidekey/stream-routes.ts';
import { sysRoutes, type SysDeps } from './sys-routes.ts';
import type { TransitDeps } from './transit/call.ts';
import { CERTIFICATE_ROUTES } from './transit/certificate.ts';
import { CIPHER_ROUTES } from './transit/cipher.ts';
import { DATAKEY_ROUTES } from './transit/datakey.ts';
import { EXPORT_ROUTES } from './transit/export.ts';
import { parseGoDuration } from './transit/go-duration.ts';
import { HASH_ROUTES } from './transit/hash.ts';
import { HMAC_ROUTES } from './transit/hmac.ts';
import { IMPORT_ROUTES } from './transit/import.ts';
import { KEY_POLICY_ROUTES } from './transit/key-policy.ts';
import { KEY_ROUTES } from './transit/keys.ts';
import { RANDOM_ROUTES } from './transit/random.ts';
import { SIGN_ROUTES } from './transit/sign.ts';

export interface ApiDeps extends TransitDeps, SidekeyDeps, SysDeps, EventSocketDeps {
  /**
   * The process at the other end, from the kernel. Called once per connection, at accept; throws if it cannot
   * be read.
   */
  readonly peerOf: (socket: Socket) => Peer;
  readonly logger: Logger;
  /** For tests: overrides API_LIMITS. */
  readonly limits?: Partial<ApiLimits>;
}

export interface Api {
  /**
   * Replaces a dead socket and sets the mode exactly. Rejects with already_running if somebody answers at the
   * path, or socket_refused if something else is there or the mode cannot be set; the API is then closed for
   * good.
   */
  listen(path: string, mode: number): Promise<void>;
  /** Completes within limits.closeMs, whatever clients do. */
  close(): Promise<void>;
}

const TRANSIT_ROUTES = [
  ...[...KEY_ROUTES, ...KEY_POLICY_ROUTES, ...CERTIFICATE_ROUTES],
  ...[...IMPORT_ROUTES, ...EXPORT_ROUTES],
  ...[...CIPHER_ROUTES, ...DATAKEY_ROUTES, ...SIGN_ROUTES, ...HMAC_ROUTES],
  ...[...HASH_ROUTES, ...RANDOM_ROUTES],
];

function createApp(limits: ApiLimits, log: FaultLog): FastifyInstance {
  return fastify({
    logger: false,
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    connectionTimeout: limits.idleSocketTimeoutMs,
    http: {
      maxHeaderSize: limits.headerBytes,
      connectionsCheckingInterval: limits.timeoutCheckMs,
      shouldUpgradeCallback: isEventsRequest,
    },
    routerOptions: { maxParamLength: limits.pathSegmentBytes, ignoreTrailingSlash: true },
    genReqId: () => randomUUID(),
    clientErrorHandler: (error, socket) => answerBrokenRequest(log, error, socket),
    frameworkErrors: (error, request, reply) => {
      log.fault(request, null, error);
      return sendFault(reply, error);
    },
  });
}

function readBody(
  request: FastifyRequest,
  body: Buffer,
  done: (error: Error | null, body?: unknown) => void,
): void {
  try {
    done(null, parseBody(body, isFormType(request.headers['content-type'])));
  } catch (error) {
    done(error as Refusal);
  }
}

/** Clients request wrapping because the plain answer must not travel: never answer plainly instead. */
function refuseWrapping(request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void {
  const ttl = request.headers['x-vault-wrap-ttl'];
  if (ttl === undefined || ttl === '' || parseGoDuration(String(ttl)) === 0) done();
  else done(new Refusal(400, 'response wrapping is not supported'));
}

/** No request gets round `bodyBytes`. */
function limitsOf(deps: ApiDeps): ApiLimits {
  const limits: ApiLimits = { ...API_LIMITS, ...deps.limits };
  return { ...limits, hotBodyBytes: Math.min(limits.hotBodyBytes, limits.bodyBytes) };
}

export function createApi(deps: ApiDeps): Api {
  const limits = limitsOf(deps);
  const log = new FaultLog(deps.logger, SYSTEM_CLOCK);
  const app = createApp(limits, log);
  app.server.maxConnections = limits.connections;
  app.server.headersTimeout = limits.headersTimeoutMs;
  const toHttp = withdrawHttp(app.server);
  const { peerOf: peerOfMessage, find, share } = trackPeers(app.server, deps.peerOf, deps.logger);
  const { metrics } = deps;
  const { hold, begin } = limitPeers(app, find, { bounds: limits, metrics, clock: SYSTEM_CLOCK });
  const admit = acceptListMethod(app.server);
  const transit = TRANSIT_ROUTES.map((make) => make(deps));
  const hot = new HotRoutes(transit, { pathMax: limits.pathSegmentBytes, log, metrics });
  const peerOf = (request: FastifyRequest) => peerOfMessage(request.raw);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, readBody);
  app.addHook('onRequest', refuseWrapping);
  // The last answer on a connection announces its end: closing the API would otherwise wait for a client that
  // keeps it open.
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (!app.server.listening) reply.header('connection', 'close');
    done(null, payload);
  });
  countRequests(app, deps.metrics);
  handleFaults(app, log, peerOf);
  const endEvents = serveEvents(app.server, deps, peerOfMessage, limits);
  const routes = [
    ...sysRoutes(deps),
    ...mountRoutes(deps),
    ...authRoutes(),
    ...sidekeyRoutes(deps),
    ...transit,
  ];
  const description: Route = defineRoute({
    ...{ methods: ['GET'], path: '/openapi.json', summary: 'This description', form: 'plain' },
    body: noBody,
    handle: () => ({ plain: describeApi([...routes, description], deps.version) }),
  });
  serveFirst(app.server, hotRequests({ hot, hold, find, limits }));
  const enter = (stream: Duplex): void => {
    toHttp(stream);
    admit(stream);
  };
  const door = openDoor(app.server, {
    ...{ hot, find, limits, hold: begin },
    handOver: enter,
    connect: (tunnel, socket) => {
      share(tunnel, socket);
      enter(tunnel);
    },
    brokeOff: (socket) => answerBrokenRequest(log, new Error('the client ended in a request'), socket),
  });
  registerRoutes(app, [...routes, description], peerOf, limits.handlerTimeoutMs);
  registerStreams(app, deps, peerOf);
  return {
    listen: (path, mode) => listen(app, door, limits, path, mode),
    close: () => {
      endEvents();
      return close(app, door, limits);
    },
  };
}

/** Labelled by the route's row, never by the requested path: clients must not create labels. */
function countRequests(app: FastifyInstance, metrics: Metrics): void {
  app.addHook('onResponse', ({ method, routeOptions }, reply, done) => {
    const route = routeOptions.url ?? '';
    const labels = { method: method === 'LINK' ? 'LIST' : method, route, status: String(reply.statusCode) };
    metrics.count('sidekey_http_requests_total', labels);
    metrics.observe('sidekey_http_request_seconds', { route }, reply.elapsedTime / 1000);
    done();
  });
}

/** Bypasses fastify's listen, which cannot control a socket's mode at the moment of its creation. */
async function listen(
  app: FastifyInstance,
  door: Door,
  limits: ApiLimits,
  path: string,
  mode: number,
): Promise<void> {
  await app.ready();
  try {
    await clearStaleSocket(path, limits.probeMs);
    await listenOnPath(app.server, path, mode);
  } catch (error) {
    await close(app, door, limits);
    throw error;
  }
}

async function close(app: FastifyInstance, door: Door, limits: ApiLimits): Promise<void> {
  const destroy = (): void => {
    app.server.closeAllConnections();
    door.destroy();
  };
  const bound = setTimeout(destroy, limits.closeMs);
  try {
    const closed = app.server.listening && new Promise((done) => app.server.close(done));
    door.close();
    await closed;
    await app.close();
  } finally {
    clearTimeout(bound);
  }
}
