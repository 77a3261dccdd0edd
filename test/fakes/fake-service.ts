/**
 * A real HTTP server on loopback that stands in for a key service, and the faults that a test can order of it. It can be stopped
 * and started again on the same port.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

export interface FakeRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** The subject's common name of the client's certificate, when it was verified. */
  readonly clientName: string | null;
}

export interface FakeReply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** What the next requests meet instead of the service. */
export type Fault =
  | { readonly is: 'hang' | 'hang-after-headers' | 'reset' | 'reset-mid-body' }
  | { readonly is: 'reply'; readonly reply: FakeReply }
  | { readonly is: 'delay'; readonly ms: number };

type Upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface FakeServer {
  readonly handle: Handler;
  /** For WebSockets. */
  readonly upgrade?: Upgrade;
}

export type Handler = (request: FakeRequest) => FakeReply | Promise<FakeReply>;

const BIG = { 'content-type': 'application/json', 'content-length': '1000' };

export class FakeService {
  readonly #handler: Handler;
  #tls: ServerOptions | null;
  readonly #host: string;
  readonly #sockets = new Set<Socket>();
  #server: Server | null = null;
  #faults: { fault: Fault; left: number }[] = [];
  #port = 0;
  /** "POST /v1/..." of everything that came in, in order. */
  readonly seen: string[] = [];
  /** Told of every request that was answered, with times of day. */
  onServed: (path: string, fromMs: number, toMs: number) => void = () => undefined;
  /** For WebSockets. */
  onUpgrade: Upgrade | null = null;
  /** The most that were open at once. */
  peakConnections = 0;

  constructor(handler: Handler, tls: ServerOptions | null = null, host = '127.0.0.1') {
    this.#handler = handler;
    this.#host = host;
    this.#tls = tls;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `${this.#tls ? 'https' : 'http'}://${this.#host.includes(':') ? `[${this.#host}]` : this.#host}:${this.#port}`;
  }

  /** Ends every connection; the next ones are made with this certificate. */
  async restart(tls = this.#tls): Promise<void> {
    await this.stop();
    this.#tls = tls;
    await this.start();
  }

  async start(port = this.#port): Promise<void> {
    const listener = (request: IncomingMessage, response: ServerResponse): void =>
      void this.#serve(request, response);
    const server = this.#tls ? createTlsServer(this.#tls, listener) : createServer(listener);
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      this.peakConnections = Math.max(this.peakConnections, this.#sockets.size);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    if (this.onUpgrade) server.on('upgrade', this.onUpgrade);
    await new Promise<void>((done, fail) => server.once('error', fail).listen(port, this.#host, done));
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    for (const socket of this.#sockets) socket.destroy();
    if (server) await new Promise<void>((done) => server.close(() => done()));
  }

  /** For the next `times` requests; 0 ends every fault. */
  fail(fault: Fault, times = Infinity): void {
    if (times === 0) this.#faults = [];
    else this.#faults.push({ fault, left: times });
  }

  heal(): void {
    this.#faults = [];
  }

  #takeFault(): Fault | null {
    const [first] = this.#faults;
    if (!first) return null;
    first.left--;
    if (first.left <= 0) this.#faults.shift();
    return first.fault;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const from = Date.now();
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const url = new URL(request.url ?? '/', this.url);
    this.seen.push(`${request.method} ${url.pathname}`);
    const fault = this.#takeFault();
    if (fault && (await this.#suffer(fault, request, response))) return;
    const reply = await this.#handler({
      method: request.method ?? '',
      url,
      headers: Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, `${value}`])),
      body: Buffer.concat(chunks),
      clientName: nameOf(request.socket),
    });
    send(response, reply);
    this.onServed(url.pathname, from, Date.now());
  }

  /** True when nothing is left to answer. */
  async #suffer(fault: Fault, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    if (fault.is === 'delay') {
      await new Promise((done) => setTimeout(done, fault.ms));
      return false;
    }
    if (fault.is === 'reply') send(response, fault.reply);
    if (fault.is === 'reset') request.socket.destroy();
    if (fault.is === 'hang-after-headers' || fault.is === 'reset-mid-body')
      response.writeHead(200, BIG).write('{"half":');
    if (fault.is === 'reset-mid-body') setTimeout(() => request.socket.destroy(), 20);
    return true;
  }
}

function nameOf(socket: Socket): string | null {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return null;
  const { CN } = socket.getPeerCertificate().subject;
  return typeof CN === 'string' ? CN : null;
}

function send(response: ServerResponse, { status, headers, body }: FakeReply): void {
  const isText = typeof body === 'string';
  const bytes = body === undefined ? '' : isText ? body : JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(bytes);
}
