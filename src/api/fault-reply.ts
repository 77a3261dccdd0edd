/** How a failure is reported: one log line with peer and request ID, and one answer in the dialect's form. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { posix } from 'node:path';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Peer } from '../access/peer.ts';
import { faultOf, faultOfStatus, Refusal, type Fault } from './fault.ts';
import type { FaultLog } from './fault-log.ts';

export function sendFault(reply: FastifyReply, error: unknown): FastifyReply {
  const { status, errors } = faultOf(error);
  return reply
    .code(status)
    .type('application/json')
    .header('cache-control', 'no-store')
    .send(JSON.stringify({ errors }));
}

const PARSER_STATUS: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/** For a connection without a fastify request. The answer ends it. */
export function answerBare(socket: Socket, { status, errors }: Fault): void {
  const body = JSON.stringify({ errors });
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\n`;
  socket.end(`${head}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`, () =>
    socket.destroySoon(),
  );
}

/**
 * What Node's parser rejects never becomes a request: it is answered on the raw connection, which then ends.
 */
export function answerBrokenRequest(log: FaultLog, error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  log.brokeOff(error.code);
  answerBare(socket, faultOfStatus(PARSER_STATUS[error.code ?? ''] ?? 400));
}

/**
 * The path without `//`, `.` and `..`, to which Vault redirects (an address that ends in `/` is enough);
 * null: nothing to remove.
 */
function plainTarget(url: string): string | null {
  const [path = ''] = url.split('?', 1);
  const plain = posix.normalize(path);
  return path.startsWith('/') && plain !== path ? plain + url.slice(path.length) : null;
}

export function handleFaults(
  app: FastifyInstance,
  log: FaultLog,
  peerOf: (request: FastifyRequest) => Peer,
): void {
  const peerOrNull = (request: FastifyRequest) => {
    try {
      return peerOf(request);
    } catch {
      return null;
    }
  };
  app.setErrorHandler((error, request, reply) => {
    log.fault(request, peerOrNull(request), error);
    return sendFault(reply, error);
  });
  app.setNotFoundHandler((request, reply) => {
    const plain = plainTarget(request.url);
    if (plain === null) throw new Refusal(404, 'no handler for route');
    return reply.code(307).header('location', plain).header('cache-control', 'no-store').send();
  });
}
