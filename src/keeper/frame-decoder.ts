/**
 * Splits a stream of bytes into frames (ARCHITECTURE.md, "Frames"), however it is chunked. Holds at most one
 * header and one body. A length over the limit, an unknown message or a refusal frame has a body throws
 * wire_malformed; the connection must then be closed, as the decoder cannot continue.
 */
import { SidekeyError } from '../errors.ts';
import { LIMITS, MESSAGES, REPLY, messageName, type MessageName } from '../wire/tables.ts';

export interface Frame {
  readonly message: MessageName;
  readonly isReply: boolean;
  readonly status: number;
  readonly id: bigint;
  readonly client: bigint;
  /** Its own memory, not a view of the stream. */
  readonly body: Buffer;
}

interface Header extends Omit<Frame, 'body'> {
  readonly length: number;
}

const WIRE_VERSION_STATUS = 7;

function readHeader(bytes: Buffer): Header {
  const length = bytes.readUInt32LE(0);
  const type = bytes.readUInt16LE(4);
  const status = bytes.readUInt16LE(6);
  const message = messageName(type & ~REPLY);
  const isReply = (type & REPLY) !== 0;
  if (length > LIMITS.bodyMax) throw new SidekeyError('wire_malformed', `a frame of ${length} bytes`);
  if (!message) throw new SidekeyError('wire_malformed', `message ${type} is not in the table`);
  if (!isReply && status !== 0) throw new SidekeyError('wire_malformed', 'a request frame has a status');
  if (status !== 0 && length !== 0 && status !== WIRE_VERSION_STATUS) {
    throw new SidekeyError('wire_malformed', 'a refusal frame has a body');
  }
  return {
    message,
    isReply,
    status,
    id: bytes.readBigUInt64LE(8),
    client: bytes.readBigUInt64LE(16),
    length,
  };
}

const EMPTY = Buffer.alloc(0);

export class FrameDecoder {
  readonly #headerBytes = Buffer.alloc(LIMITS.headerBytes);
  #header: Header | null = null;
  #body = EMPTY;
  #filled = 0;
  #broken = false;

  /** The frames that `chunk` completes, in order. Copies what it keeps of `chunk`. */
  push(chunk: Buffer): Frame[] {
    if (this.#broken) throw new SidekeyError('wire_malformed', 'the stream has already failed');
    try {
      return this.#cut(chunk);
    } catch (error) {
      this.#broken = true;
      this.#body.fill(0);
      throw error;
    }
  }

  /** True between two frames: where a stream may end. */
  get isIdle(): boolean {
    return this.#header === null && this.#filled === 0;
  }

  #cut(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    let at = 0;
    while (at < chunk.length) {
      const target = this.#header ? this.#body : this.#headerBytes;
      const taken = chunk.copy(target, this.#filled, at);
      at += taken;
      this.#filled += taken;
      if (this.#filled < target.length) break;
      this.#complete(frames);
    }
    return frames;
  }

  /** A header is complete (and with it a frame without a body), or a body is. */
  #complete(frames: Frame[]): void {
    this.#filled = 0;
    if (!this.#header) {
      this.#header = readHeader(this.#headerBytes);
      // Fully overwritten before anybody sees it.
      this.#body = Buffer.allocUnsafe(this.#header.length);
      if (this.#header.length > 0) return;
    }
    const { length: _, ...header } = this.#header;
    frames.push({ ...header, body: this.#body });
    this.#header = null;
    this.#body = EMPTY;
  }
}

export interface OutgoingFrame {
  readonly message: MessageName;
  readonly id: bigint;
  readonly isReply?: boolean;
  readonly status?: number;
  readonly client?: bigint;
  readonly body?: Buffer;
  /** For a reply: the module may keep it. */
  readonly mayBeKept?: boolean;
}

const MAY_BE_KEPT = 1;

/** The header alone, in front of `room` for a body. */
export function encodeHeader(frame: OutgoingFrame, room = 0): Buffer {
  const length = frame.body?.length ?? 0;
  if (length > LIMITS.bodyMax)
    throw new SidekeyError('data_len_range', `${frame.message} of ${length} bytes`);
  const bytes = Buffer.allocUnsafe(LIMITS.headerBytes + room).fill(0, 0, LIMITS.headerBytes);
  bytes.writeUInt32LE(length, 0);
  bytes.writeUInt16LE(MESSAGES[frame.message].number | (frame.isReply ? REPLY : 0), 4);
  bytes.writeUInt16LE(frame.status ?? 0, 6);
  bytes.writeBigUInt64LE(frame.id, 8);
  bytes.writeBigUInt64LE(frame.client ?? 0n, 16);
  if (frame.mayBeKept === true) bytes.writeUInt8(MAY_BE_KEPT, 24);
  return bytes;
}

/** Header and body in one new Buffer: wipe it after sending. */
export function encodeFrame(frame: OutgoingFrame): Buffer {
  const bytes = encodeHeader(frame, frame.body?.length);
  frame.body?.copy(bytes, LIMITS.headerBytes);
  return bytes;
}
