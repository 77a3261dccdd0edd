/**
 * The process at the other end of a connection: read from the kernel once, at accept, and kept for the
 * connection's life.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import type { Peer } from '../access/peer.ts';
import { Refusal } from './fault.ts';

export interface PeerTracking {
  readonly peerOf: (request: IncomingMessage) => Peer;
  readonly find: (socket: Socket) => Peer | null;
  /** A stream that stands for a connection has its peer. */
  readonly share: (stream: Duplex, socket: Socket) => void;
}

/**
 * Connections whose peer cannot be read are closed without an answer. Call this before the server listens.
 */
export function trackPeers(
  server: Server,
  readPeerOf: (socket: Socket) => Peer,
  logger: Logger,
): PeerTracking {
  const peers = new WeakMap<Duplex, Peer>();
  server.prependListener('connection', (socket: Socket) => {
    try {
      peers.set(socket, readPeerOf(socket));
    } catch (error) {
      logger.warn({ err: error }, 'refused a connection: its peer cannot be read');
      socket.destroy();
    }
  });
  const find = (socket: Socket): Peer | null => peers.get(socket) ?? null;
  const peerOf = (request: IncomingMessage): Peer => {
    const peer = find(request.socket);
    if (peer === null) throw new Refusal(403, 'permission denied');
    return peer;
  };
  const share = (stream: Duplex, socket: Socket): void => {
    const peer = find(socket);
    if (peer !== null) peers.set(stream, peer);
  };
  return { peerOf, find, share };
}
