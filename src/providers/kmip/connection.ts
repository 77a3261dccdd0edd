/**
 * One TLS connection to a KMIP server: one request at a time, each in one write, each with its deadline. Whatever goes wrong ends the connection: after a
 * late or broken answer nobody knows what the next bytes belong to.
 */
import { connect, type TLSSocket } from 'node:tls';
import { KmipTransportError, toTransportError } from './fault.ts';
import type { TlsIdentity } from './tls-files.ts';
import { MESSAGE_MAX, messageLength } from './ttlv.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
  /** The name in the server's certificate, where it is not the host. */
  readonly serverName: string | null;
}

interface Waiter {
  readonly resolve: (message: Buffer) => void;
  readonly reject: (error: KmipTransportError) => void;
}

export class KmipConnection {
  readonly stamp: string;
  readonly #socket: TLSSocket;
  #received: Buffer = Buffer.alloc(0);
  #waiter: Waiter | null = null;
  #ended = false;

  constructor(socket: TLSSocket, stamp: string) {
    this.stamp = stamp;
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', (error) => this.#end(toTransportError(error, 'the connection failed')));
    socket.on('close', () => this.#end(new KmipTransportError('the server closed the connection')));
  }

  get isOpen(): boolean {
    return !this.#ended;
  }

  /** Writes, wipes `request`, and gives the whole answer, which the caller wipes. Rejects with KmipTransportError. */
  exchange(request: Buffer, timeoutMs: number): Promise<Buffer> {
    if (this.#ended || this.#waiter) {
      request.fill(0);
      return Promise.reject(new KmipTransportError('the connection is not free'));
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#end(new KmipTransportError(`no answer within ${Math.round(timeoutMs)} ms`));
      }, timeoutMs);
      const settled =
        <T>(settle: (value: T) => void) =>
        (value: T) => {
          clearTimeout(timer);
          this.#waiter = null;
          settle(value);
        };
      this.#waiter = { resolve: settled(resolve), reject: settled(reject) };
      this.#socket.ref();
      this.#socket.write(request, () => request.fill(0));
    });
  }

  close(): void {
    this.#end(new KmipTransportError('the connection was closed'));
  }

  /** An idle connection keeps no process alive. */
  rest(): void {
    this.#socket.unref();
  }

  #take(chunk: Buffer): void {
    const before = this.#received;
    this.#received = Buffer.concat([before, chunk]);
    before.fill(0);
    chunk.fill(0);
    try {
      this.#deliver();
    } catch (error) {
      this.#end(toTransportError(error, 'the response is not valid KMIP'));
    }
  }

  #deliver(): void {
    if (!this.#waiter) throw new KmipTransportError('the server sent data without a request');
    if (this.#received.length > MESSAGE_MAX) throw new KmipTransportError('the answer is too long');
    const length = messageLength(this.#received);
    if (length === null || this.#received.length < length) return;
    if (this.#received.length > length) throw new KmipTransportError('the server sent more than one answer');
    const message = this.#received;
    this.#received = Buffer.alloc(0);
    this.#waiter.resolve(message);
  }

  #end(why: KmipTransportError): void {
    this.#ended = true;
    this.#received.fill(0);
    this.#received = Buffer.alloc(0);
    this.#socket.destroy();
    this.#waiter?.reject(why);
  }
}

/** Rejects with KmipTransportError, by its deadline. The identity's key is wiped. */
export function openConnection(
  address: Address,
  identity: TlsIdentity,
  stamp: string,
  timeoutMs: number,
): Promise<KmipConnection> {
  const { host, port, serverName } = address;
  const doing = `cannot connect to ${host}:${port}`;
  return new Promise((resolve, reject) => {
    const { ca, cert, key } = identity;
    let socket: TLSSocket;
    try {
      const name = serverName === null ? {} : { servername: serverName };
      socket = connect({ host, port, ca, cert, key, minVersion: 'TLSv1.2', ...name });
    } catch (error) {
      return reject(toTransportError(error, doing));
    } finally {
      key.fill(0);
    }
    const fail = (error: unknown) => {
      clearTimeout(timer);
      socket.destroy();
      reject(toTransportError(error, doing));
    };
    const timer = setTimeout(() => fail(new Error(`not within ${Math.round(timeoutMs)} ms`)), timeoutMs);
    socket.once('error', fail);
    socket.once('close', () => fail(new Error('it was closed')));
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error').removeAllListeners('close');
      resolve(new KmipConnection(socket, stamp));
    });
  });
}
