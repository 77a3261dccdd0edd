/**
 * The only place where bytes of a frame are parsed in TypeScript: the counterpart of
 * native-shim/wire/buffer.h. Numbers are little-endian; a byte string is a u32 length and the bytes. A reader
 * throws wire_malformed at the first fault.
 */
import { SidekeyError } from '../errors.ts';

/** In place of the length of a byte string that is not there. */
export const ABSENT = 0xffffffff;

/** Reads a body. Byte strings are views into it, not copies. */
export class WireReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  #take(length: number): number {
    if (length > this.left) throw new SidekeyError('wire_malformed', 'a frame ends before its last field');
    const at = this.#at;
    this.#at += length;
    return at;
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#take(1));
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  u64(): bigint {
    return this.#bytes.readBigUInt64LE(this.#take(8));
  }

  /** A u64 that must be a safe integer: handles, slots, sizes, PKCS#11 constants. */
  number(): number {
    const value = Number(this.u64());
    if (!Number.isSafeInteger(value))
      throw new SidekeyError('arguments_bad', 'a number in a frame is too large');
    return value;
  }

  /** A byte string of at most `max` bytes; null if absent. */
  optionalBytes(max: number): Buffer | null {
    const length = this.u32();
    if (length === ABSENT) return null;
    if (length > max)
      throw new SidekeyError('wire_malformed', `a byte string of ${length} bytes exceeds ${max}`);
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  bytes(max: number): Buffer {
    return this.optionalBytes(max) ?? Buffer.alloc(0);
  }

  text(max: number): string {
    return this.bytes(max).toString('utf8');
  }

  /** Call this last: anything left over is a fault. */
  end(): void {
    if (this.left > 0)
      throw new SidekeyError('wire_malformed', `${this.left} bytes after the last field of a frame`);
  }
}

/** Builds a body. */
export class WireWriter {
  #bytes: Buffer;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** Grows by copying, and wipes the smaller buffer, since a body may hold a secret. */
  #room(length: number): number {
    const at = this.#length;
    if (at + length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, at + length));
      this.#bytes.copy(larger, 0, 0, at);
      this.#bytes.fill(0);
      this.#bytes = larger;
    }
    this.#length += length;
    return at;
  }

  u8(value: number): this {
    this.#bytes.writeUInt8(value, this.#room(1));
    return this;
  }

  u32(value: number): this {
    const at = this.#room(4);
    this.#bytes.writeUInt32LE(value, at);
    return this;
  }

  u64(value: bigint | number): this {
    const at = this.#room(8);
    if (typeof value === 'bigint') this.#bytes.writeBigUInt64LE(value, at);
    else this.#writeNumber(value, at);
    return this;
  }

  /** A safe integer, without creating a BigInt. */
  #writeNumber(value: number, at: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError('a u64 that is no safe integer');
    this.#bytes.writeUInt32LE(value % 2 ** 32, at);
    this.#bytes.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
  }

  bytes(value: Uint8Array | null): this {
    if (value === null) return this.u32(ABSENT);
    this.u32(value.length);
    return this.raw(value);
  }

  text(value: string): this {
    return this.bytes(Buffer.from(value, 'utf8'));
  }

  raw(value: Uint8Array): this {
    const at = this.#room(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** Copies `length` bytes that were written `back` bytes ago. */
  again(back: number, length: number): this {
    const at = this.#room(length);
    this.#bytes.copyWithin(at, at - back, at - back + length);
    return this;
  }

  /** The bytes written so far: a view, to be used before the next write. */
  done(): Buffer {
    return this.#length === this.#bytes.length ? this.#bytes : this.#bytes.subarray(0, this.#length);
  }
}
