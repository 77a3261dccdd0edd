/**
 * Kubernetes KMS v2: gRPC on its own Unix socket. Each connection has its own gRPC server, which knows the
 * peer that the kernel named at accept, so that access rules apply as everywhere. Status uses no key; it is
 * polled constantly.
 */
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import {
  Server,
  ServerCredentials,
  status,
  type handleUnaryCall,
  type ServiceError,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { Peer } from '../access/peer.ts';
import { Places } from '../access/places.ts';
import { faultOf } from '../api/fault.ts';
import { clearStaleSocket, listenOnPath } from '../api/socket-path.ts';
import { SidekeyError } from '../errors.ts';
import type { KmsKey } from './kms-key.ts';
import {
  KMS_SERVICE,
  type DecryptRequest,
  type DecryptResponse,
  type EncryptRequest,
  type EncryptResponse,
  type StatusResponse,
} from './kms-messages.ts';

export interface KmsServerOptions {
  readonly key: KmsKey;
  /** Whether any key can be used. */
  readonly isReady: () => boolean;
  readonly peerOf: (socket: Socket) => Peer;
  readonly logger: Logger;
}

export interface KmsServer {
  /** Rejects like Api.listen. */
  listen(path: string, mode: number): Promise<void>;
  close(): Promise<void>;
}

const API_VERSION = 'v2';
const CONNECTIONS_MAX = 16;
const MESSAGE_MAX_BYTES = 256 * 1024;
const PROBE_MS = 1000;
const LIMITS = {
  'grpc.max_receive_message_length': MESSAGE_MAX_BYTES,
  'grpc.max_concurrent_streams': 128,
};

const CODES: Readonly<Record<number, status>> = {
  400: status.INVALID_ARGUMENT,
  403: status.PERMISSION_DENIED,
  404: status.NOT_FOUND,
  502: status.FAILED_PRECONDITION,
  503: status.UNAVAILABLE,
};

/** The same texts as over HTTP: nothing internal is quoted. */
function toServiceError(error: unknown): Partial<ServiceError> {
  const fault = faultOf(error);
  return { code: CODES[fault.status] ?? status.INTERNAL, details: fault.errors[0] ?? 'refused' };
}

/** A unary call, answered by `work`. */
function unary<Asked, Answer>(
  logger: Logger,
  work: (asked: Asked) => Promise<Answer> | Answer,
): handleUnaryCall<Asked, Answer> {
  return (call, done) => {
    const answering = (async () => work(call.request))();
    answering.then(
      (answer) => done(null, answer),
      (error: unknown) => {
        const code = error instanceof SidekeyError ? error.code : 'internal';
        if (code === 'internal') logger.error({ err: error }, 'KMS call failed');
        else logger.info({ code, call: call.getPath() }, 'KMS call refused');
        done(toServiceError(error));
      },
    );
  };
}

/** If healthz is not "ok", the API server shows it as the reason. */
async function answerStatus({ key, isReady }: KmsServerOptions, peer: Peer): Promise<StatusResponse> {
  if (!isReady()) return { version: API_VERSION, healthz: 'the keeper is absent', key_id: '' };
  try {
    return { version: API_VERSION, healthz: 'ok', key_id: await key.currentId(peer) };
  } catch (error) {
    return { version: API_VERSION, healthz: faultOf(error).errors[0] ?? 'refused', key_id: '' };
  }
}

function handlersFor(options: KmsServerOptions, peer: Peer): UntypedServiceImplementation {
  const { key, logger } = options;
  return {
    Status: unary(logger, () => answerStatus(options, peer)),
    Encrypt: unary<EncryptRequest, EncryptResponse>(logger, async ({ plaintext }) => {
      const { ciphertext, keyId } = await key.encrypt(peer, plaintext).finally(() => plaintext.fill(0));
      return { ciphertext, key_id: keyId };
    }),
    Decrypt: unary<DecryptRequest, DecryptResponse>(logger, async ({ ciphertext, key_id }) => ({
      plaintext: await key.decrypt(peer, ciphertext, key_id),
    })),
  };
}

function serveConnection(options: KmsServerOptions, places: Places, socket: Socket): void {
  const peer = options.peerOf(socket);
  const leave = places.take(peer);
  if (leave === null) {
    options.logger.warn({ uid: peer.uid }, 'refused a KMS connection: its process or uid has too many');
    socket.destroy();
    return;
  }
  socket.once('close', leave);
  const server = new Server(LIMITS);
  server.addService(KMS_SERVICE, handlersFor(options, peer));
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  socket.once('close', () => {
    injector.destroy();
    server.forceShutdown();
  });
  injector.injectConnection(socket);
}

export function createKmsServer(options: KmsServerOptions): KmsServer {
  const sockets = new Set<Socket>();
  const places = new Places(CONNECTIONS_MAX);
  const server: NetServer = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    try {
      serveConnection(options, places, socket);
    } catch (error) {
      options.logger.warn({ err: error }, 'refused a KMS connection: its peer cannot be read');
      socket.destroy();
    }
  });
  server.maxConnections = CONNECTIONS_MAX;
  return {
    async listen(path, mode) {
      await clearStaleSocket(path, PROBE_MS);
      await listenOnPath(server, path, mode);
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      if (server.listening) await new Promise((done) => server.close(done));
    },
  };
}
