/** A TLS server that demands a client's certificate and answers KMIP requests as a test's script says: with bytes, broken bytes, or not at all. */
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { makeCertificates, type Certificates } from './certificates.ts';

/** Called with each chunk that arrived: one chunk is one TLS record, hence one write of the client. */
export type KmipScript = (socket: TLSSocket, request: Buffer) => void;

export class FakeKmip {
  readonly certificates: Certificates;
  readonly sockets = new Set<TLSSocket>();
  most = 0;
  readonly #server: Server;

  private constructor(certificates: Certificates, script: KmipScript) {
    this.certificates = certificates;
    const { ca, server } = certificates;
    const identity = { cert: readFileSync(server.certificate), key: readFileSync(server.key) };
    const options = { ca: readFileSync(ca), ...identity, requestCert: true, rejectUnauthorized: true };
    this.#server = createServer(options, (socket) => this.#serve(socket, script));
    this.#server.on('tlsClientError', () => undefined);
  }

  static async start(dir: string, script: KmipScript): Promise<FakeKmip> {
    const fake = new FakeKmip(makeCertificates(dir), script);
    await new Promise<void>((resolve) => fake.#server.listen(0, '127.0.0.1', resolve));
    return fake;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: TLSSocket, script: KmipScript): void {
    this.sockets.add(socket);
    this.most = Math.max(this.most, this.sockets.size);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.on('data', (request: Buffer) => script(socket, request));
  }
}
