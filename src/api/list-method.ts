/**
 * Vault's clients (hvac, curl -X LIST) use the method LIST, which Node's HTTP parser rejects. Here the bytes
 * `LIST ` at the start of a request become `LINK `, a method that the parser knows and nobody else uses. Only
 * the first request of a chunk is examined: pipelining LIST behind another request gets 400.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';

const FROM = Buffer.from('LIST ');
const TO = 'LINK ';

/**
 * The state of a connection: between requests (null), in a header, or in a message whose body may still be
 * arriving.
 */
type State = IncomingMessage | 'header' | null;

/**
 * Call before the server listens. Returns a function to call with each connection that is handed to
 * node:http.
 */
export function acceptListMethod(server: Server): (socket: Duplex) => void {
  const states = new WeakMap<Duplex, State>();
  server.prependListener('request', (request: IncomingMessage) => states.set(request.socket, request));
  return (socket) => {
    states.set(socket, null);
    // Before all other listeners: the parser's own gets the same Buffer, already changed.
    socket.prependListener('data', (chunk: Buffer) => rewriteChunk(states, socket, chunk));
    // The parser reads directly from the handle until somebody reads from the socket.
    socket.on('data', ignore);
  };
}

function ignore(): void {}

function rewriteChunk(states: WeakMap<Duplex, State>, socket: Duplex, chunk: Buffer): void {
  const state = states.get(socket) ?? null;
  const isBetweenRequests = state === null || (state !== 'header' && state.complete);
  if (!isBetweenRequests) return;
  states.set(socket, 'header');
  if (chunk.subarray(0, FROM.length).equals(FROM)) chunk.write(TO, 'latin1');
}
