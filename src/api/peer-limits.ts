/**
 * Limits per process: connections, concurrent requests, bytes of their bodies, requests per second; and per
 * uid, a share of all connections. Whoever exceeds a limit is refused, and affects nobody else.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { LRUCache } from 'lru-cache';
import type { Peer } from '../access/peer.ts';
import { processOf } from '../access/places.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Clock } from '../tokens/ports.ts';
import { Refusal } from './fault.ts';
import type { ApiLimits } from './limits.ts';

export type PeerBounds = Pick<
  ApiLimits,
  'peerConnections' | 'uidConnections' | 'peerInFlight' | 'peerBodyBytes' | 'peerRate' | 'bodyBytes'
>;

type Bound = 'connections' | 'in_flight' | 'rate';

/**
 * Counters of one process. Kept for a while after its last connection, so that reconnecting does not reset
 * its rate.
 */
interface Taken {
  connections: number;
  inFlight: number;
  bytes: number;
  /** Token bucket, refilled at peerRate per second. */
  tokens: number;
  filledAt: number;
}

const PROCESSES_MAX = 8192;
const TOO_MANY = 429;

export class PeerLimits {
  readonly #bounds: PeerBounds;
  readonly #now: () => number;
  readonly #refused: (bound: Bound) => void;
  readonly #processes = new LRUCache<string, Taken>({ max: PROCESSES_MAX });
  /** Of each connection's peer: it is asked for with each request. */
  readonly #ofPeers = new WeakMap<Peer, Taken>();
  readonly #uids = new Map<number, number>();

  /** `now`: monotonic milliseconds. */
  constructor(bounds: PeerBounds, now: () => number, refused: (bound: Bound) => void) {
    this.#bounds = bounds;
    this.#now = now;
    this.#refused = refused;
  }

  #taken(peer: Peer): Taken {
    const known = this.#ofPeers.get(peer);
    if (known !== undefined) return known;
    const taken = this.#ofProcess(peer);
    this.#ofPeers.set(peer, taken);
    return taken;
  }

  #ofProcess(peer: Peer): Taken {
    const known = this.#processes.get(processOf(peer));
    if (known !== undefined) return known;
    const fresh = {
      connections: 0,
      inFlight: 0,
      bytes: 0,
      tokens: this.#bounds.peerRate,
      filledAt: this.#now(),
    };
    this.#processes.set(processOf(peer), fresh);
    return fresh;
  }

  /** Returns a function that frees the place; null: there is none for this peer. */
  connect(peer: Peer): (() => void) | null {
    const taken = this.#taken(peer);
    const ofUid = this.#uids.get(peer.uid) ?? 0;
    if (taken.connections >= this.#bounds.peerConnections || ofUid >= this.#bounds.uidConnections) {
      this.#refused('connections');
      return null;
    }
    taken.connections += 1;
    this.#uids.set(peer.uid, ofUid + 1);
    return () => {
      taken.connections -= 1;
      const left = (this.#uids.get(peer.uid) ?? 1) - 1;
      if (left === 0) this.#uids.delete(peer.uid);
      else this.#uids.set(peer.uid, left);
    };
  }

  /** Returns a function that frees the place; throws 429. `bytes` null: the length is not announced. */
  begin(peer: Peer, bytes: number | null): () => void {
    const taken = this.#taken(peer);
    const { peerInFlight, peerBodyBytes, bodyBytes } = this.#bounds;
    const size = Math.min(bytes ?? bodyBytes, bodyBytes);
    if (!this.#takeToken(taken)) return this.#refuse('rate');
    if (taken.inFlight >= peerInFlight || taken.bytes + size > peerBodyBytes)
      return this.#refuse('in_flight');
    taken.inFlight += 1;
    taken.bytes += size;
    return () => {
      taken.inFlight -= 1;
      taken.bytes -= size;
    };
  }

  #takeToken(taken: Taken): boolean {
    const now = this.#now();
    const { peerRate } = this.#bounds;
    taken.tokens = Math.min(peerRate, taken.tokens + ((now - taken.filledAt) * peerRate) / 1000);
    taken.filledAt = now;
    if (taken.tokens < 1) return false;
    taken.tokens -= 1;
    return true;
  }

  #refuse(bound: Bound): never {
    this.#refused(bound);
    throw new Refusal(TOO_MANY, 'too many requests of this process');
  }
}

function announcedBytes({ headers }: Pick<FastifyRequest, 'headers'>): number | null {
  if (headers['transfer-encoding'] !== undefined) return null;
  return Number(headers['content-length'] ?? 0);
}

export interface Holding {
  /** Applies the limits to a request; throws 429. */
  readonly hold: (request: IncomingMessage, response: ServerResponse) => void;
  /**
   * The same for a request of this many bytes that is not one of node:http's. Returns a function that frees
   * its place.
   */
  readonly begin: (peer: Peer, bytes: number) => () => void;
}

/** Call before the server listens, and after trackPeers. A hook applies the limits to fastify's requests. */
export function limitPeers(
  app: FastifyInstance,
  peerOf: (socket: Socket) => Peer | null,
  options: {
    readonly bounds: PeerBounds;
    readonly metrics: Metrics;
    readonly clock: Pick<Clock, 'monotonic'>;
  },
): Holding {
  const { bounds, metrics, clock } = options;
  const refused = (bound: Bound): void => metrics.count('sidekey_http_refused_total', { bound });
  const limits = new PeerLimits(bounds, () => clock.monotonic(), refused);
  const server: Server = app.server;
  server.on('connection', (socket: Socket) => {
    const peer = peerOf(socket);
    if (peer === null) return;
    const leave = limits.connect(peer);
    if (leave === null) socket.destroy();
    else socket.once('close', leave);
  });
  const hold = (request: IncomingMessage, response: ServerResponse): void => {
    const peer = peerOf(request.socket);
    // Freed when the answer or the connection ends, so also if the client goes away.
    if (peer !== null) response.once('close', limits.begin(peer, announcedBytes(request)));
  };
  app.addHook('onRequest', async (request, reply) => hold(request.raw, reply.raw));
  return { hold, begin: (peer, bytes) => limits.begin(peer, bytes) };
}
