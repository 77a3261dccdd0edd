/**
 * Vault's clients (hvac, curl -X LIST) use the method LIST, which Node's HTTP parser refuses before anybody can see it.
 * Here the bytes `LIST ` at the start of a request become `LINK `, a method that the parser knows and nobody else uses.
 * Only the first request of a chunk is looked at: a client that pipelines LIST behind another request gets 400.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';

const FROM = Buffer.from('LIST ');
const TO = 'LINK ';

/** Where a connection stands: between requests (null), in a header, or in a message whose body may still be coming. */
type State = IncomingMessage | 'header' | null;

/** Before the server listens. Answers what is to be called with each connection that node:http has got. */
export function acceptListMethod(server: Server): (socket: Socket) => void {
  const states = new WeakMap<Socket, State>();
  server.prependListener('request', (request: IncomingMessage) => states.set(request.socket, request));
  return (socket) => {
    states.set(socket, null);
    // First of all listeners: the parser's own gets the same Buffer, already changed.
    socket.prependListener('data', (chunk: Buffer) => rewriteChunk(states, socket, chunk));
    // The parser reads straight from the handle until somebody asks the socket itself for data.
    socket.on('data', ignore);
  };
}

function ignore(): void {}

function rewriteChunk(states: WeakMap<Socket, State>, socket: Socket, chunk: Buffer): void {
  const state = states.get(socket) ?? null;
  const isBetweenRequests = state === null || (state !== 'header' && state.complete);
  if (!isBetweenRequests) return;
  states.set(socket, 'header');
  if (chunk.subarray(0, FROM.length).equals(FROM)) chunk.write(TO, 'latin1');
}
