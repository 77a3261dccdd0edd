/**
 * /v1/sidekey/events: a WebSocket with one JSON text per event, for administrators. `?after=ID` resumes; if
 * events were lost, the first message is {"type":"gap"}. Messages from the client are ignored. A client that
 * does not keep up is disconnected, and may resume.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Peer } from '../../access/peer.ts';
import { Places } from '../../access/places.ts';
import type { EventRing } from '../../events/event-ring.ts';
import { faultOf, Refusal } from '../fault.ts';
import { answerBare } from '../fault-reply.ts';
import type { ApiLimits } from '../limits.ts';

export interface EventSocketDeps {
  readonly events: EventRing;
  readonly mayAdminister: (peer: Peer) => boolean;
}

const EVENTS_PATH = '/v1/sidekey/events';
const MESSAGE_MAX_BYTES = 1024;
/** Close codes of RFC 6455, 7.4.1. */
const GOING_AWAY = 1001;
const TRY_AGAIN_LATER = 1013;

function urlOf(request: IncomingMessage): URL | null {
  return URL.parse(request.url ?? '', 'http://localhost');
}

/** For http.Server's shouldUpgradeCallback: any other path is handled as an ordinary request. */
export function isEventsRequest(request: IncomingMessage): boolean {
  return urlOf(request)?.pathname === EVENTS_PATH;
}

type Limits = Pick<ApiLimits, 'eventConnections' | 'eventBacklogBytes' | 'eventPingMs'>;

/** Returns a function that closes every connection. */
export function serveEvents(
  server: Server,
  deps: EventSocketDeps,
  peerOf: (request: IncomingMessage) => Peer,
  limits: Limits,
): () => void {
  const sockets = new WebSocketServer({
    ...{ noServer: true, clientTracking: true, perMessageDeflate: false },
    maxPayload: MESSAGE_MAX_BYTES,
  });
  const places = new Places(limits.eventConnections);
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    try {
      const peer = peerOf(request);
      if (!deps.mayAdminister(peer)) throw new Refusal(403, 'permission denied');
      const leave = places.take(peer);
      if (leave === null) throw new Refusal(503, 'too busy');
      socket.once('close', leave);
      sockets.handleUpgrade(request, socket, head, (client) => follow(client, request, deps, limits));
    } catch (error) {
      answerBare(socket, faultOf(error));
    }
  });
  return () => {
    for (const client of sockets.clients) client.close(GOING_AWAY);
    for (const client of sockets.clients) client.terminate();
  };
}

function follow(
  client: WebSocket,
  request: IncomingMessage,
  { events }: EventSocketDeps,
  limits: Limits,
): void {
  const send = (message: object): void => {
    if (client.bufferedAmount > limits.eventBacklogBytes) return client.close(TRY_AGAIN_LATER);
    client.send(JSON.stringify(message));
  };
  const { gap, events: missed } = events.after(urlOf(request)?.searchParams.get('after') ?? null);
  if (gap) send({ type: 'gap' });
  for (const event of missed) send(event);
  const unsubscribe = events.subscribe(send);
  const stopPinging = keepAlive(client, limits.eventPingMs);
  client.on('error', () => client.terminate());
  client.once('close', () => {
    unsubscribe();
    stopPinging();
  });
}

/** A peer that does not answer pings is gone or stopped: frees its place. */
function keepAlive(client: WebSocket, everyMs: number): () => void {
  let isAlive = true;
  client.on('pong', () => (isAlive = true));
  const timer = setInterval(() => {
    if (!isAlive) return client.terminate();
    isAlive = false;
    client.ping();
  }, everyMs);
  return () => clearInterval(timer);
}
