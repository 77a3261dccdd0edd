/**
 * Streams (docs/streams.md): a header with a fresh key wrapped by a named key, then segments in the STREAM
 * construction (Hoang, Reyhanitabar, Rogaway, Vizar 2015), as in age: AES-256-GCM, with the segment's number
 * and a last-segment flag as nonce. No segment can be omitted, repeated, moved or cut off unnoticed. Memory
 * holds one segment of input, however long the stream is.
 */
import { SidekeyError } from '../../errors.ts';
import type { StreamKey } from '../../tokens/service.ts';
import { Refusal } from '../fault.ts';

const MAGIC = Buffer.from('sidekey\x01', 'latin1');
const WRAPPED_BYTES = 12 + 32 + 16;
/** Magic, key version, segment size: what the wrapped key is bound to. */
const BOUND_BYTES = MAGIC.length + 8;
export const HEADER_BYTES = BOUND_BYTES + WRAPPED_BYTES;

/** Ciphertext with its tag: the size of one message to the keeper. */
const SEGMENT_BYTES = 65_536;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
/** 256 TiB, far below what one AES-GCM key can encrypt. */
const SEGMENTS_MAX = 2 ** 32;

export function boundHeader(version: number): Buffer {
  const header = Buffer.alloc(BOUND_BYTES);
  MAGIC.copy(header);
  header.writeUInt32BE(version, MAGIC.length);
  header.writeUInt32BE(SEGMENT_BYTES, MAGIC.length + 4);
  return header;
}

function refuseStream(): never {
  throw new Refusal(400, 'invalid stream: unable to decrypt');
}

export interface StreamHeader {
  readonly version: number;
  readonly wrapped: Buffer;
}

export function parseHeader(bytes: Buffer): StreamHeader {
  if (bytes.length < HEADER_BYTES) refuseStream();
  const version = bytes.readUInt32BE(MAGIC.length);
  if (!bytes.subarray(0, BOUND_BYTES).equals(boundHeader(version))) refuseStream();
  return { version, wrapped: bytes.subarray(BOUND_BYTES, HEADER_BYTES) };
}

function nonceOf(number: number, isLast: boolean): Buffer {
  if (number >= SEGMENTS_MAX) throw new Refusal(400, 'the stream is too long');
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeUInt32BE(number, NONCE_BYTES - 5);
  nonce.writeUInt8(isLast ? 1 : 0, NONCE_BYTES - 1);
  return nonce;
}

interface Segment {
  readonly number: number;
  readonly data: Buffer;
  readonly isLast: boolean;
}

/** Reads a source in pieces of the size asked for, and never reads ahead. */
export class SegmentReader {
  readonly #source: AsyncIterator<Buffer>;
  #held: Buffer[] = [];
  #heldBytes = 0;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** At most `size` bytes; fewer only at the end of the source. */
  async take(size: number): Promise<Buffer> {
    while (this.#heldBytes < size && (await this.#pull()));
    const all = this.#held.length === 1 ? (this.#held[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#held);
    const rest = all.subarray(size);
    this.#held = rest.length === 0 ? [] : [rest];
    this.#heldBytes = rest.length;
    return all.subarray(0, size);
  }

  /** Reads up to the end, or until it has read `bytes`, and wipes it all. */
  async discard(bytes: number): Promise<void> {
    for (const held of this.#held.splice(0)) held.fill(0);
    this.#heldBytes = 0;
    for (let left = bytes; left > 0;) {
      const { done, value } = await this.#source.next();
      if (done === true) return;
      left -= value.length;
      value.fill(0);
    }
  }

  async #pull(): Promise<boolean> {
    const { done, value } = await this.#source.next();
    if (done === true) return false;
    this.#held.push(value);
    this.#heldBytes += value.length;
    return true;
  }

  /** An empty source has one empty segment; no other segment is empty. */
  async *segments(size: number): AsyncGenerator<Segment> {
    let data = await this.take(size);
    for (let number = 0; ; number++) {
      const next = data.length < size ? null : await this.take(size);
      const isLast = next === null || next.length === 0;
      yield { number, data, isLast };
      if (isLast) return;
      data = next;
    }
  }
}

export async function* sealStream(key: StreamKey, source: SegmentReader): AsyncGenerator<Buffer> {
  yield Buffer.concat([boundHeader(key.version), key.wrapped]);
  for await (const { number, data, isLast } of source.segments(SEGMENT_BYTES - TAG_BYTES))
    yield await key.operate('encrypt', nonceOf(number, isLast), data);
}

/**
 * Yields each segment's plaintext once its tag is verified. Before an error, the output is authentic but
 * incomplete.
 */
export async function* openStream(key: StreamKey, source: SegmentReader): AsyncGenerator<Buffer> {
  for await (const { number, data, isLast } of source.segments(SEGMENT_BYTES)) {
    if (data.length < TAG_BYTES || (data.length === TAG_BYTES && number > 0)) refuseStream();
    yield await key.operate('decrypt', nonceOf(number, isLast), data).catch(refuseBadTag);
  }
}

function refuseBadTag(error: unknown): never {
  if (error instanceof SidekeyError && error.code.startsWith('encrypted_data')) refuseStream();
  throw error;
}
