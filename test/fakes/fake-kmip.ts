/** A TLS server that demands a client's certificate and answers KMIP requests as a test's script says: with bytes, broken bytes, or not at all. */
import { readFileSync } from 'node:fs';
import type { AddressInfo, Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { makeCertificates, type Certificates, type Issued } from './certificates.ts';

/** Called with each chunk that arrived: one chunk is one TLS record, hence one write of the client. */
export type KmipScript = (socket: TLSSocket, request: Buffer) => void;

export class FakeKmip {
  readonly certificates: Certificates;
  readonly sockets = new Set<TLSSocket>();
  most = 0;
  readonly #script: KmipScript;
  #server: Server | null = null;
  readonly #connections = new Set<Socket>();
  #port = 0;

  private constructor(certificates: Certificates, script: KmipScript) {
    this.certificates = certificates;
    this.#script = script;
  }

  /** In a folder where certificates are made, or with those that were made. */
  static async start(from: string | Certificates, script: KmipScript): Promise<FakeKmip> {
    const fake = new FakeKmip(typeof from === 'string' ? makeCertificates(from) : from, script);
    await fake.open();
    return fake;
  }

  /** On the same port as before. */
  async open(server: Issued = this.certificates.server): Promise<void> {
    const identity = { cert: readFileSync(server.certificate), key: readFileSync(server.key) };
    const ca = readFileSync(this.certificates.ca);
    const options = { ca, ...identity, requestCert: true, rejectUnauthorized: true };
    const opened = createServer(options, (socket) => this.#serve(socket, this.#script));
    opened.on('tlsClientError', () => undefined);
    opened.on('connection', (socket: Socket) => {
      this.#connections.add(socket);
      socket.once('close', () => this.#connections.delete(socket));
    });
    await new Promise<void>((done, fail) => opened.once('error', fail).listen(this.#port, '127.0.0.1', done));
    this.#server = opened;
    this.#port = (opened.address() as AddressInfo).port;
  }

  get port(): number {
    return this.#port;
  }

  /** By TCP's RST, beneath TLS. */
  reset(): void {
    for (const socket of this.#connections) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    for (const socket of this.sockets) socket.destroy();
    if (server) await new Promise((resolve) => server.close(resolve));
  }

  #serve(socket: TLSSocket, script: KmipScript): void {
    this.sockets.add(socket);
    this.most = Math.max(this.most, this.sockets.size);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.on('data', (request: Buffer) => script(socket, request));
  }
}
