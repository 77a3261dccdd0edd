/**
 * A connection whose requests are read here, one after the other. Plain ones to hot routes are answered here; others go through a tunnel to
 * node:http, and the connection stays. With a request whose end is not known from its head, or whose head comes slowly, node:http gets
 * the connection and every byte that was not answered, for good.
 */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Peer } from '../../access/peer.ts';
import { SidekeyError } from '../../errors.ts';
import { SpareBuffer } from '../spare-buffer.ts';
import { HeadReader } from './head-reader.ts';
import { JSON_TYPE } from './hot-requests.ts';
import { bytesOf, drop, type Answered, type HotCall, type HotRoutes } from './hot-routes.ts';
import type { SecretBody } from '../route.ts';
import { HttpTunnel, type TunnelOwner } from './http-tunnel.ts';

export interface DoorDeps {
  readonly hot: HotRoutes;
  readonly find: (socket: Socket) => Peer | null;
  /** Holds a request to what its process may take; throws 429. Answers what gives the place back. */
  readonly hold: (peer: Peer, bytes: number) => () => void;
  /** Gets a connection that is not for us. */
  readonly handOver: (socket: Socket) => void;
  /** Gives node:http a tunnel for a connection that stays here. */
  readonly connect: (tunnel: HttpTunnel, socket: Socket) => void;
  /** When a request breaks off in the middle. */
  readonly brokeOff: (socket: Socket) => void;
  readonly left: (connection: DoorConnection) => void;
  readonly isListening: () => boolean;
  /** The Date header's value. */
  readonly date: () => string;
  readonly limits: {
    readonly hotHeadBytes: number;
    readonly hotBodyBytes: number;
    readonly keepAliveTimeoutMs: number;
    readonly handlerTimeoutMs: number;
    readonly idleSocketTimeoutMs: number;
  };
}

interface Request {
  /** null: for node:http. */
  readonly call: HotCall | null;
  readonly from: number;
  readonly to: number;
}

/** Being answered. */
interface Busy {
  readonly call: HotCall;
  readonly leave: () => void;
}

/** Passed to node:http. */
interface Passed {
  /** Bytes that have not come yet. */
  left: number;
  isAnswered: boolean;
  /** Bytes that the connection had moved at `#since`, in both directions. */
  moved: number;
}

/** node:http ends an idle connection so much later than it says, for requests that are on their way. */
const KEEP_ALIVE_GRACE_MS = 1000;
/** A longer body is not copied to stand behind its head. */
const JOINED_MAX = 16_384;
/** A request in more pieces is not worth joining. */
const PIECES_MAX = 16;

const joined = new SpareBuffer();

function copied(pieces: readonly Buffer[], memory: Buffer): Buffer {
  let at = 0;
  for (const piece of pieces) at += piece.copy(memory, at);
  return memory.subarray(0, at);
}

export class DoorConnection {
  readonly #socket: Socket;
  readonly #deps: DoorDeps;
  readonly #peer: Peer | null;
  readonly #heads: HeadReader;
  /** Read, and not answered. */
  #pieces: Buffer[] = [];
  #heldBytes = 0;
  /** How often something of it came. */
  #reads = 0;
  /** How many bytes the request has that is being read, as far as is known. */
  #needed = 0;
  #busy: Busy | null = null;
  #passed: Passed | null = null;
  /** Kept for the next request that needs it. */
  #tunnel: HttpTunnel | null = null;
  #isDraining = false;
  #served = 0;
  /** When it last began to wait for the client, or to work for it. */
  #since = performance.now();

  constructor(socket: Socket, deps: DoorDeps) {
    this.#socket = socket;
    this.#deps = deps;
    this.#peer = deps.find(socket);
    this.#heads = new HeadReader(deps.hot, deps.limits);
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
    socket.on('drain', this.#onDrain);
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#pieces.length === 0 && this.#busy === null) this.#since = performance.now();
    this.#pieces.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#passed !== null) return this.#pass(this.#passed);
    // Of what is pipelined no more is read until its turn comes.
    if (this.#busy !== null || this.#isDraining) this.#socket.pause();
    else if (++this.#reads > PIECES_MAX) this.handOver();
    else if (this.#heldBytes >= this.#needed) this.#next();
  };

  /** As node:http does, which has no use for a client that half-closes. */
  readonly #onEnd = (): void => {
    if (this.#passed !== null) this.#tunnel?.push(null);
    else if (this.#busy === null && this.#heldBytes > 0) this.#deps.brokeOff(this.#socket);
    else this.#socket.end();
  };

  readonly #onError = (): void => void this.#socket.destroy();

  readonly #onClose = (): void => {
    this.#deps.left(this);
    this.#heads.forget();
    this.#keep(null);
    this.#dropTunnel();
    // The status that node:http leaves to an answer that nobody waited for.
    if (this.#busy !== null) this.#finish(this.#busy, 200);
  };

  readonly #onDrain = (): void => {
    if (!this.#isDraining) return;
    this.#isDraining = false;
    this.#goOn();
  };

  #next(): void {
    // A request that is whole is read in this turn, so that the memory in which it is joined is free again.
    const isWhole = this.#heldBytes === this.#needed && this.#pieces.length > 1;
    const memory = isWhole ? joined.take(this.#heldBytes) : null;
    const held = this.#joined(memory);
    if (held === null) return;
    const request = this.#read(held);
    if (request === 'more') return;
    if (request === null) return this.handOver();
    if (request.call === null) return this.#beginPassing(request.to);
    this.#keep(request.to < held.length ? held.subarray(request.to) : null);
    this.#since = performance.now();
    this.#serve(request.call, held.subarray(request.from, request.to));
    // It may have held a plaintext.
    held.fill(0, 0, request.to);
    if (memory !== null) joined.giveBack(memory);
  }

  #joined(memory: Buffer | null = null): Buffer | null {
    if (this.#pieces.length > 1)
      this.#pieces = [
        memory === null ? Buffer.concat(this.#pieces, this.#heldBytes) : copied(this.#pieces, memory),
      ];
    return this.#pieces[0] ?? null;
  }

  #keep(left: Buffer | null): void {
    this.#pieces = left === null ? [] : [left];
    this.#heldBytes = left?.length ?? 0;
    this.#needed = 0;
    this.#reads = 0;
  }

  /** null: not for us. */
  #read(held: Buffer): Request | 'more' | null {
    const head = this.#heads.read(held);
    if (head === null || head === 'more') return head;
    const { call, length: from, bodyBytes } = head;
    this.#needed = from + bodyBytes;
    return call !== null && held.length < this.#needed ? 'more' : { call, from, to: this.#needed };
  }

  #beginPassing(bytes: number): void {
    if (this.#tunnel === null) {
      this.#tunnel = new HttpTunnel(this.#socket, this.#tunnelOwner);
      this.#deps.connect(this.#tunnel, this.#socket);
    }
    this.#passed = { left: bytes, isAnswered: false, moved: 0 };
    this.#pass(this.#passed);
  }

  /** What is held goes into the tunnel, up to the end of the request. */
  #pass(passed: Passed): void {
    const held = this.#joined();
    if (passed.left === 0 || held === null) return void this.#socket.pause();
    const bytes = held.subarray(0, passed.left);
    this.#keep(held.length > bytes.length ? held.subarray(bytes.length) : null);
    passed.left -= bytes.length;
    const hasRoom = this.#tunnel?.push(bytes) === true;
    // node:http may have ended the connection meanwhile.
    if (this.#passed === passed && (!hasRoom || this.#heldBytes > 0)) this.#socket.pause();
    this.#endPassing(passed);
  }

  #endPassing(passed: Passed): void {
    if (this.#passed !== passed || passed.left > 0 || !passed.isAnswered) return;
    this.#passed = null;
    this.#served += 1;
    this.#since = performance.now();
    this.#goOn();
  }

  readonly #tunnelOwner: TunnelOwner = {
    wanted: () => {
      if (this.#passed !== null && this.#passed.left > 0 && this.#socket.isPaused()) this.#socket.resume();
    },
    answered: () => {
      if (this.#passed === null) return;
      this.#passed.isAnswered = true;
      this.#endPassing(this.#passed);
    },
    ended: () => {
      if (this.#passed === null) return;
      this.#passed = null;
      this.#leaveAndEnd();
    },
    dropped: () => {
      this.#tunnel = null;
      if (this.#passed !== null) this.#socket.destroy();
    },
  };

  #dropTunnel(): void {
    this.#passed = null;
    this.#tunnel?.destroy();
  }

  /** The body is read before this returns. */
  #serve(call: HotCall, body: Buffer): void {
    const { hot, hold } = this.#deps;
    try {
      const leave = this.#peer === null ? () => undefined : hold(this.#peer, body.length);
      this.#busy = { call, leave };
    } catch (error) {
      this.#busy = { call, leave: () => undefined };
      this.#answer(this.#busy, hot.refuse(call, this.#peer, error), true);
      return;
    }
    const busy = this.#busy;
    void hot
      .answer(call, this.#peer, body, (reply) => reply)
      .then((answered) => this.#answer(busy, answered, false));
  }

  #answer(busy: Busy, answered: Answered, isLast: boolean): void {
    // The client is gone, or was told that it took too long.
    if (this.#busy !== busy) return drop(answered);
    const ends = isLast || !this.#deps.isListening();
    this.#isDraining = !this.#write(answered, ends) && !ends;
    this.#finish(busy, answered.status);
    if (ends) this.#leaveAndEnd();
    else if (!this.#isDraining) this.#goOn();
  }

  #write({ status, body }: Answered, ends: boolean): boolean {
    const length = bytesOf(body);
    const { date, limits } = this.#deps;
    const keeps = `keep-alive\r\nKeep-Alive: timeout=${Math.floor(limits.keepAliveTimeoutMs / 1000)}`;
    const connection = ends ? 'connection: close' : `Connection: ${keeps}`;
    const head =
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'unknown'}\r\ncache-control: no-store\r\n` +
      `content-type: ${JSON_TYPE}\r\ncontent-length: ${length}\r\nDate: ${date()}\r\n${connection}\r\n\r\n`;
    if (typeof body !== 'string') return this.#writeSecret(head, body);
    // Of one byte each, the letters need not be encoded.
    const encoding = length === body.length ? 'latin1' : 'utf8';
    if (length <= JOINED_MAX) return this.#socket.write(head + body, encoding);
    this.#socket.cork();
    this.#socket.write(head, 'latin1');
    const hasRoom = this.#socket.write(body, encoding);
    this.#socket.uncork();
    return hasRoom;
  }

  #writeSecret(httpHead: string, { head, secret, tail, wipe }: SecretBody): boolean {
    this.#socket.cork();
    this.#socket.write(httpHead + head, 'latin1');
    this.#socket.write(secret, wipe);
    const hasRoom = this.#socket.write(tail, 'latin1');
    this.#socket.uncork();
    return hasRoom;
  }

  #finish({ call, leave }: Busy, status: number): void {
    this.#busy = null;
    this.#served += 1;
    this.#since = performance.now();
    leave();
    this.#deps.hot.count(call, status);
  }

  #goOn(): void {
    if (this.#socket.isPaused()) this.#socket.resume();
    this.#next();
  }

  #leaveAndEnd(): void {
    this.#deps.left(this);
    this.#socket.off('data', this.#onData);
    this.#keep(null);
    this.#socket.resume();
    this.#socket.destroySoon();
  }

  /** Only between answers. */
  handOver(): void {
    const socket = this.#socket;
    this.#deps.left(this);
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.off('error', this.#onError);
    socket.off('close', this.#onClose);
    socket.off('drain', this.#onDrain);
    const held = this.#joined();
    if (held !== null) socket.unshift(held);
    this.#keep(null);
    this.#heads.forget();
    this.#dropTunnel();
    this.#deps.handOver(socket);
    if (socket.isPaused()) socket.resume();
  }

  /** Called now and then: keeps the deadlines. `tickMs` is how often. */
  check(now: number, tickMs: number): void {
    const { keepAliveTimeoutMs, handlerTimeoutMs, idleSocketTimeoutMs } = this.#deps.limits;
    const forMs = now - this.#since;
    if (this.#busy !== null) {
      if (forMs > handlerTimeoutMs) this.#giveUp(this.#busy);
    } else if (this.#passed !== null) {
      if (!this.#hasMoved(this.#passed, now) && forMs > idleSocketTimeoutMs) this.#socket.destroy();
    } else if (this.#isDraining) {
      if (forMs > idleSocketTimeoutMs) this.#socket.destroy();
    } else if (this.#heldBytes > 0 || this.#served === 0) {
      // A request, or the first byte, that takes its time: node:http's clocks are for that.
      if (forMs > tickMs) this.handOver();
    } else if (forMs > keepAliveTimeoutMs + KEEP_ALIVE_GRACE_MS) this.#socket.destroy();
  }

  /** node:http knows when a request takes too long, but not whether bytes still move. */
  #hasMoved(passed: Passed, now: number): boolean {
    const moved = this.#socket.bytesRead + this.#socket.bytesWritten;
    if (moved === passed.moved) return false;
    passed.moved = moved;
    this.#since = now;
    return true;
  }

  /** When the API closes: what is answered is finished, and nothing more is waited for. */
  close(): void {
    if (this.#busy !== null || this.#passed !== null || this.#isDraining) return;
    if (this.#heldBytes > 0 || this.#served === 0) this.handOver();
    else this.#socket.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #giveUp(busy: Busy): void {
    const error = new SidekeyError(
      'deadline',
      `a handler took over ${this.#deps.limits.handlerTimeoutMs} ms`,
    );
    this.#answer(busy, this.#deps.hot.refuse(busy.call, this.#peer, error), false);
  }
}
