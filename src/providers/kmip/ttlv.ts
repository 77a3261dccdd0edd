/**
 * TTLV, KMIP's encoding (KMIP 1.4, 9.1; 2.1, 11): tag of 3 bytes, type, length of 4, value padded to 8. Lengths, depth and count are bounded
 * before anything is allocated, every padding byte and every length is checked: what decodes encodes to the same bytes.
 */

export const MESSAGE_MAX = 1024 * 1024;
const DEPTH_MAX = 16;
const ITEMS_MAX = 8192;
const HEAD = 8;

const TTLV_TYPES = {
  structure: 1,
  integer: 2,
  longInteger: 3,
  bigInteger: 4,
  enumeration: 5,
  boolean: 6,
  text: 7,
  bytes: 8,
  dateTime: 9,
  interval: 10,
  dateTimeExtended: 11,
} as const;

/** A big integer stays the two's complement bytes that it is on the wire. `bytes` of a decoded item is a view of the message. */
export type TtlvItem =
  | { readonly tag: number; readonly type: 'structure'; readonly value: readonly TtlvItem[] }
  | { readonly tag: number; readonly type: 'integer' | 'enumeration' | 'interval'; readonly value: number }
  | {
      readonly tag: number;
      readonly type: 'longInteger' | 'dateTime' | 'dateTimeExtended';
      readonly value: bigint;
    }
  | { readonly tag: number; readonly type: 'boolean'; readonly value: boolean }
  | { readonly tag: number; readonly type: 'text'; readonly value: string }
  | { readonly tag: number; readonly type: 'bytes' | 'bigInteger'; readonly value: Buffer };

/** The bytes are no TTLV, or more of it than is allowed. */
export class TtlvError extends Error {
  override readonly name = 'TtlvError';
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const TYPE_NAMES = new Map<number, TtlvItem['type']>(
  Object.entries(TTLV_TYPES).map(([name, number]) => [number, name as TtlvItem['type']]),
);
/** Types whose length is always the same. */
const FIXED: Partial<Record<TtlvItem['type'], number>> = {
  integer: 4,
  enumeration: 4,
  interval: 4,
  longInteger: 8,
  boolean: 8,
  dateTime: 8,
  dateTimeExtended: 8,
};

function padded(length: number): number {
  return Math.ceil(length / 8) * 8;
}

function lengthOf(item: TtlvItem): number {
  if (item.type === 'structure') return item.value.reduce((sum, child) => sum + sizeOf(child), 0);
  if (item.type === 'text') return Buffer.byteLength(item.value);
  if (item.type === 'bytes' || item.type === 'bigInteger') return item.value.length;
  return FIXED[item.type] ?? 0;
}

function sizeOf(item: TtlvItem): number {
  return HEAD + padded(lengthOf(item));
}

function isLong(item: TtlvItem): item is Extract<TtlvItem, { value: bigint }> {
  return typeof item.value === 'bigint';
}

function writeValue(item: TtlvItem, to: Buffer, at: number): void {
  if (item.type === 'structure') item.value.reduce((next, child) => write(child, to, next), at);
  else if (item.type === 'integer') to.writeInt32BE(item.value, at);
  else if (item.type === 'enumeration' || item.type === 'interval') to.writeUInt32BE(item.value, at);
  else if (item.type === 'boolean') to.writeBigUInt64BE(item.value ? 1n : 0n, at);
  else if (item.type === 'text') to.write(item.value, at, 'utf8');
  else if (item.type === 'bytes' || item.type === 'bigInteger') item.value.copy(to, at);
  else if (isLong(item)) to.writeBigInt64BE(item.value, at);
}

function write(item: TtlvItem, to: Buffer, at: number): number {
  to.writeUIntBE(item.tag, at, 3);
  to.writeUInt8(TTLV_TYPES[item.type], at + 3);
  to.writeUInt32BE(lengthOf(item), at + 4);
  writeValue(item, to, at + HEAD);
  return at + sizeOf(item);
}

/** In a Buffer of its own, which the caller wipes when it holds a key. */
export function encodeTtlv(item: TtlvItem): Buffer {
  const size = sizeOf(item);
  if (size > MESSAGE_MAX) throw new TtlvError(`a message of ${size} bytes is too long`);
  const bytes = Buffer.alloc(size);
  write(item, bytes, 0);
  return bytes;
}

/** Bytes of the message that begins here, or null when there are too few to say. */
export function messageLength(bytes: Buffer): number | null {
  if (bytes.length < HEAD) return null;
  if (bytes[3] !== TTLV_TYPES.structure) throw new TtlvError('a message is a structure');
  const length = bytes.readUInt32BE(4);
  if (length > MESSAGE_MAX - HEAD || length % 8 !== 0) throw new TtlvError(`a message of ${length} bytes`);
  return HEAD + length;
}

class Decoder {
  readonly #bytes: Buffer;
  #items = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** The item at `at`, which must end by `end`. */
  item(at: number, end: number, depth: number): { item: TtlvItem; next: number } {
    if (++this.#items > ITEMS_MAX) throw new TtlvError('too many items');
    if (end - at < HEAD) throw new TtlvError('an item is cut short');
    const type = TYPE_NAMES.get(this.#bytes.readUInt8(at + 3));
    if (!type) throw new TtlvError('an item of unknown type');
    const length = this.#bytes.readUInt32BE(at + 4);
    const next = at + HEAD + padded(length);
    if (next > end) throw new TtlvError('an item is longer than what holds it');
    this.#check(type, at + HEAD, length);
    return { item: this.#value(type, at, length, depth), next };
  }

  #check(type: TtlvItem['type'], at: number, length: number): void {
    const fixed = FIXED[type];
    if (fixed !== undefined && length !== fixed) throw new TtlvError(`${type} of ${length} bytes`);
    const inEights = type === 'structure' || type === 'bigInteger';
    if (inEights && length % 8 !== 0) throw new TtlvError(`${type} of ${length} bytes`);
    for (let i = at + length; i < at + padded(length); i++)
      if (this.#bytes[i] !== 0) throw new TtlvError('padding that is not zero');
  }

  #value(type: TtlvItem['type'], head: number, length: number, depth: number): TtlvItem {
    const [bytes, at, tag] = [this.#bytes, head + HEAD, this.#bytes.readUIntBE(head, 3)];
    if (type === 'structure') return { tag, type, value: this.#children(at, at + length, depth + 1) };
    if (type === 'integer') return { tag, type, value: bytes.readInt32BE(at) };
    if (type === 'enumeration' || type === 'interval') return { tag, type, value: bytes.readUInt32BE(at) };
    if (type === 'boolean') return { tag, type, value: this.#boolean(at) };
    if (type === 'text') return { tag, type, value: this.#text(at, length) };
    if (type === 'bytes' || type === 'bigInteger')
      return { tag, type, value: bytes.subarray(at, at + length) };
    return { tag, type, value: bytes.readBigInt64BE(at) };
  }

  #children(at: number, end: number, depth: number): TtlvItem[] {
    if (depth > DEPTH_MAX) throw new TtlvError('structures are nested too deep');
    const children: TtlvItem[] = [];
    while (at < end) {
      const { item, next } = this.item(at, end, depth);
      children.push(item);
      at = next;
    }
    return children;
  }

  #boolean(at: number): boolean {
    const value = this.#bytes.readBigUInt64BE(at);
    if (value > 1n) throw new TtlvError('a boolean is 0 or 1');
    return value === 1n;
  }

  #text(at: number, length: number): string {
    try {
      return UTF8.decode(this.#bytes.subarray(at, at + length));
    } catch (cause) {
      throw new TtlvError('a text is not UTF-8', { cause });
    }
  }
}

/** One item that takes all of the bytes. Throws TtlvError. */
export function decodeTtlv(bytes: Buffer): TtlvItem {
  if (bytes.length > MESSAGE_MAX) throw new TtlvError(`a message of ${bytes.length} bytes is too long`);
  const { item, next } = new Decoder(bytes).item(0, bytes.length, 0);
  if (next !== bytes.length) throw new TtlvError('bytes after the message');
  return item;
}
