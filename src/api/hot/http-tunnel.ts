/**
 * What node:http takes for a connection: it reads the requests that the door passes on, and its answers go to the real connection. So
 * the door keeps that one, and serves the next request on it.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

export interface TunnelOwner {
  /** node:http takes more bytes. */
  wanted(): void;
  /** An answer was written completely, and the connection goes on. */
  answered(): void;
  /** After what was written, the connection is to end. */
  ended(): void;
  /** node:http has dropped the connection. */
  dropped(): void;
}

export class HttpTunnel extends Duplex {
  readonly #socket: Socket;
  readonly #owner: TunnelOwner;

  constructor(socket: Socket, owner: TunnelOwner) {
    super({ decodeStrings: false });
    this.#socket = socket;
    this.#owner = owner;
  }

  /** Called with each answer, before anything of it is written. */
  follow(response: ServerResponse): void {
    response.once('finish', () => {
      if (!this.writableEnded) this.#owner.answered();
    });
  }

  override _read(): void {
    this.#owner.wanted();
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, done: () => void): void {
    this.#await(this.#socket.write(chunk, encoding), done);
  }

  override _writev(
    chunks: readonly { readonly chunk: Buffer | string; readonly encoding: BufferEncoding }[],
    done: () => void,
  ): void {
    let hasRoom = true;
    this.#socket.cork();
    for (const { chunk, encoding } of chunks) hasRoom = this.#socket.write(chunk, encoding);
    this.#socket.uncork();
    this.#await(hasRoom, done);
  }

  /** If the connection ends instead, the owner destroys the tunnel. */
  #await(hasRoom: boolean, done: () => void): void {
    if (hasRoom) done();
    else this.#socket.once('drain', done);
  }

  override _final(done: () => void): void {
    this.#owner.ended();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#owner.dropped();
    done(error);
  }

  /** As net.Socket's, which node:http and answerBare call. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }
}
