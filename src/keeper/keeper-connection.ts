/**
 * One connection to a keeper's control socket: numbers requests, matches replies, enforces deadlines, and
 * passes everything else to its listener in order of arrival. It knows no message's body, and does not
 * reconnect: keeper-client.ts does.
 */
import { connect, type Socket } from 'node:net';
import { readCredentials } from '../access/peer-credentials.ts';
import { codeOfStatus, SidekeyError } from '../errors.ts';
import { LIMITS, MESSAGES, type MessageName } from '../wire/tables.ts';
import { FrameDecoder, encodeFrame, encodeHeader, type Frame, type OutgoingFrame } from './frame-decoder.ts';

const PENDING_MAX = 4096;
const READ_BYTES = 65536;
const JOINED_MAX = 16_384;

interface Pending {
  readonly message: MessageName;
  readonly resolve: (body: Buffer) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export interface ConnectionListener {
  /** A routed request or an event. */
  frame(frame: Frame): void;
  /** Called once, if it was ever open; by then every pending request has been rejected. */
  closed(reason: string): void;
}

/** Converts a status of the keeper to an error. */
export function refusalOf(message: MessageName, status: number): SidekeyError {
  const code = codeOfStatus(status);
  return new SidekeyError(code ?? 'internal', `the keeper refused ${message}: ${code ?? status}`);
}

/** The keeper of the first release named no version; it spoke 1. */
function otherVersion(body: Buffer): string {
  const theirs = body.length === 4 ? body.readUInt32LE(0) : 1;
  const { versionOldest, version } = LIMITS;
  return `the keeper speaks version ${theirs} of the frame, this agent ${versionOldest} to ${version}: restart the older of the two`;
}

/** Joins short frames: a separate write costs more than copying. */
function joinShort(frames: Buffer[]): Buffer[] {
  if (frames.length < 2 || frames.reduce((sum, { length }) => sum + length, 0) > JOINED_MAX) return frames;
  const joined = Buffer.concat(frames);
  for (const bytes of frames) bytes.fill(0);
  return [joined];
}

export class KeeperConnection {
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder();
  readonly #pending = new Map<bigint, Pending>();
  readonly #listener: ConnectionListener;
  #nextId = 1n;
  /**
   * Frames of this turn of the event loop: sent together, with one system call and one wake-up of the keeper.
   */
  #unsent: Buffer[] = [];
  #gatherers: (() => void)[] = [];
  #willFlush = false;
  #reason = 'the keeper closed the connection';
  #isOpened = false;
  #isClosed = false;

  /**
   * Rejects with keeper_absent if nobody listens at `path`, socket_refused if a process of another user does.
   */
  static open(path: string, listener: ConnectionListener): Promise<KeeperConnection> {
    return new Promise((resolve, reject) => {
      const connection = new KeeperConnection(path, listener, () => resolve(connection), reject);
    });
  }

  private constructor(
    path: string,
    listener: ConnectionListener,
    opened: () => void,
    failed: (error: Error) => void,
  ) {
    this.#listener = listener;
    // One buffer for everything that arrives, wiped after each read: PINs pass through it.
    const onread = {
      buffer: Buffer.alloc(READ_BYTES),
      callback: (length: number, buffer: Uint8Array) =>
        this.#read(Buffer.from(buffer.buffer, buffer.byteOffset, length)),
    };
    this.#socket = connect({ path, onread });
    this.#socket.once('connect', () => {
      const stranger = this.#strangerAt(path);
      if (stranger !== null) {
        failed(stranger);
        this.#socket.destroy();
        return;
      }
      this.#isOpened = true;
      opened();
    });
    this.#socket.on('error', (cause) => {
      this.#reason = cause.message;
      failed(new SidekeyError('keeper_absent', `no keeper at ${path}: ${cause.message}`, { cause }));
    });
    this.#socket.once('close', () => this.#closed());
  }

  /** Keys are sent to this peer: if it is neither root nor this uid, somebody has replaced the socket. */
  #strangerAt(path: string): SidekeyError | null {
    const { uid } = readCredentials(this.#socket);
    if (uid === 0 || uid === process.geteuid?.()) return null;
    return new SidekeyError(
      'socket_refused',
      `the process at ${path} has uid ${uid}: it is not a keeper of ours`,
    );
  }

  /**
   * Sends a request. Wipes `body` after sending. Rejects with the keeper's status, keeper_absent or deadline.
   */
  request(message: MessageName, body: Buffer, deadlineMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      try {
        if (this.#isClosed) throw new SidekeyError('keeper_absent', this.#reason);
        if (this.#pending.size >= PENDING_MAX)
          throw new SidekeyError('busy', `${PENDING_MAX} requests are already waiting`);
        this.#sendRequest({ message, id, body });
      } catch (error) {
        body.fill(0);
        throw error;
      }
      const timer = setTimeout(() => this.#expire(id), deadlineMs);
      this.#pending.set(id, { message, resolve, reject, timer });
    });
  }

  reply(request: Frame, status: number, body: Buffer, mayBeKept = false): void {
    if (this.#isClosed) return;
    const { message, id, client } = request;
    this.#send(encodeFrame({ message, id, client, isReply: true, status, body, mayBeKept }));
  }

  /** The pid of the listener, from the kernel; null: it has already hung up. */
  get peerPid(): number | null {
    return this.#socket.destroyed ? null : readCredentials(this.#socket).pid;
  }

  close(reason: string): void {
    this.#reason = reason;
    this.#socket.destroy();
  }

  /**
   * Calls `gather` once, at the end of this turn of the event loop (or, from within a `gather`, of the next): the requests it makes are
   * sent with the rest.
   */
  beforeFlush(gather: () => void): void {
    this.#gatherers.push(gather);
    this.#flushSoon();
  }

  /** A long body is sent as it is: whatever was sent is wiped then. */
  #sendRequest(frame: OutgoingFrame & { readonly body: Buffer }): void {
    if (frame.body.length > JOINED_MAX) {
      this.#send(encodeHeader(frame));
      this.#send(frame.body);
    } else {
      this.#send(encodeFrame(frame));
      frame.body.fill(0);
    }
  }

  #send(bytes: Buffer): void {
    this.#unsent.push(bytes);
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#willFlush) return;
    this.#willFlush = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    const gatherers = this.#gatherers;
    this.#gatherers = [];
    for (const gather of gatherers) gather();
    this.#willFlush = false;
    // One that has more already waits for the next turn.
    if (this.#gatherers.length > 0) this.#flushSoon();
    const frames = joinShort(this.#unsent);
    this.#unsent = [];
    // Corking and uncorking costs as much as a write.
    if (frames.length > 1) this.#socket.cork();
    for (const bytes of frames) this.#socket.write(bytes, () => bytes.fill(0));
    if (frames.length > 1) this.#socket.uncork();
  }

  #read(chunk: Buffer): boolean {
    try {
      for (const frame of this.#decoder.push(chunk)) this.#dispatch(frame);
    } catch (error) {
      this.close(error instanceof Error ? error.message : String(error));
    }
    chunk.fill(0);
    return true;
  }

  #dispatch(frame: Frame): void {
    if (frame.isReply) this.#settle(frame);
    else if (MESSAGES[frame.message].to === 'agent') this.#listener.frame(frame);
    else throw new SidekeyError('wire_malformed', `${frame.message} is not for the agent`);
  }

  /** A reply to an unknown request arrived after its deadline; one of another message is a fault. */
  #settle(frame: Frame): void {
    const pending = this.#take(frame.id);
    if (!pending) {
      frame.body.fill(0);
      return;
    }
    const code = codeOfStatus(frame.status);
    if (pending.message !== frame.message) {
      pending.reject(
        new SidekeyError('wire_malformed', `${pending.message} was answered by ${frame.message}`),
      );
      throw new SidekeyError('wire_malformed', 'the reply belongs to another message');
    }
    if (frame.status === 0) pending.resolve(frame.body);
    else if (code === 'wire_version') pending.reject(new SidekeyError(code, otherVersion(frame.body)));
    else pending.reject(refusalOf(frame.message, frame.status));
  }

  #take(id: bigint): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending) clearTimeout(pending.timer);
    this.#pending.delete(id);
    return pending;
  }

  #expire(id: bigint): void {
    const pending = this.#take(id);
    pending?.reject(new SidekeyError('deadline', `the keeper did not answer ${pending.message} in time`));
  }

  #closed(): void {
    this.#isClosed = true;
    for (const id of [...this.#pending.keys()])
      this.#take(id)?.reject(new SidekeyError('keeper_absent', this.#reason));
    if (this.#isOpened) this.#listener.closed(this.#reason);
  }
}
