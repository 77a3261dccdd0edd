/**
 * The door before node:http. Its parser, streams and answers take a third of a short request's time, so connections begin here; requests
 * other than plain ones to hot routes are passed on to node:http. One timer keeps the deadlines of all.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { DoorConnection, type DoorDeps } from './door-connection.ts';
import { HttpTunnel } from './http-tunnel.ts';

export interface Door {
  /** Ends those that are idle. */
  close(): void;
  /** Ends all. */
  destroy(): void;
}

type Deps = Omit<DoorDeps, 'left' | 'isListening' | 'date' | 'limits'> & {
  readonly limits: DoorDeps['limits'] & { readonly timeoutCheckMs: number };
};

/** Takes node:http's own listener for connections away, and answers it: before anybody else listens for them. */
export function withdrawHttp(server: Server): (socket: Duplex) => void {
  const [http, ...others] = server.listeners('connection') as ((socket: Duplex) => void)[];
  if (http === undefined || others.length > 0) throw new Error('node:http listens in another way');
  server.removeListener('connection', http);
  return (socket) => http.call(server, socket);
}

/** After those who may refuse a connection. */
export function openDoor(server: Server, deps: Deps): Door {
  const connections = new Set<DoorConnection>();
  const tickMs = deps.limits.timeoutCheckMs;
  const doorDeps: DoorDeps = {
    ...deps,
    date: dateOfSecond(),
    isListening: () => server.listening,
    left: (connection) => void connections.delete(connection),
  };
  server.prependListener('request', ({ socket }: { socket: Duplex }, response) => {
    if (socket instanceof HttpTunnel) socket.follow(response);
  });
  server.on('connection', (socket: Socket) => {
    if (!socket.destroyed) connections.add(new DoorConnection(socket, doorDeps));
  });
  const check = (): void => {
    const now = performance.now();
    for (const connection of connections) connection.check(now, tickMs);
  };
  const timer = setInterval(check, tickMs).unref();
  server.once('close', () => clearInterval(timer));
  return {
    close: () => {
      for (const connection of connections) connection.close();
    },
    destroy: () => {
      clearInterval(timer);
      for (const connection of connections) connection.destroy();
    },
  };
}

/** RFC 9110, 5.6.7; written once a second. */
function dateOfSecond(): () => string {
  let second = -1;
  let text = '';
  return () => {
    const now = Math.floor(Date.now() / 1000);
    if (now !== second) text = new Date(now * 1000).toUTCString();
    second = now;
    return text;
  };
}
