/**
 * ECDSA signatures: PKCS#11 concatenates r and s (3.1, 2.3.1); key services and Transit's asn1 use DER (RFC
 * 3279, 2.2.3).
 */

const SEQUENCE = 0x30;
const INTEGER = 0x02;

/** Bytes of r, and of s. */
export function scalarBytes(curveBits: number): number {
  return Math.ceil(curveBits / 8);
}

function element(tag: number, content: Buffer): Buffer {
  const length = content.length < 0x80 ? [content.length] : [0x81, content.length];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

/** The shortest two's complement form of an unsigned number. */
function encodeInteger(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Buffer.from([0]) : bytes.subarray(first);
  const negative = ((digits[0] ?? 0) & 0x80) !== 0;
  return element(INTEGER, negative ? Buffer.concat([Buffer.from([0]), digits]) : digits);
}

export function encodeDer(raw: Buffer): Buffer {
  const half = raw.length / 2;
  const integers = [encodeInteger(raw.subarray(0, half)), encodeInteger(raw.subarray(half))];
  return element(SEQUENCE, Buffer.concat(integers));
}

interface Element {
  readonly content: Buffer;
  readonly rest: Buffer;
}

/** The element at the start of `bytes`, and what follows it. Lengths of two bytes are enough for P-521. */
function readElement(bytes: Buffer, tag: number): Element | null {
  const isLong = bytes[1] === 0x81;
  const length = isLong ? bytes[2] : bytes[1];
  const start = isLong ? 3 : 2;
  if (bytes[0] !== tag || length === undefined || length > 0xff || isLong !== length >= 0x80) return null;
  if (start + length > bytes.length) return null;
  return { content: bytes.subarray(start, start + length), rest: bytes.subarray(start + length) };
}

function readInteger(bytes: Buffer, size: number): Element | null {
  const element = readElement(bytes, INTEGER);
  if (element === null) return null;
  const { content, rest } = element;
  const [first, second] = content;
  if (first === undefined || first >= 0x80) return null;
  if (first === 0 && second !== undefined && second < 0x80) return null;
  const digits = first === 0 ? content.subarray(1) : content;
  if (digits.length > size) return null;
  return { content: Buffer.concat([Buffer.alloc(size - digits.length), digits]), rest };
}

/** Strict DER only: r and s of the curve's size, nothing after them. null: anything else. */
export function decodeDer(der: Buffer, curveBits: number): Buffer | null {
  const size = scalarBytes(curveBits);
  const sequence = readElement(der, SEQUENCE);
  const r = sequence === null ? null : readInteger(sequence.content, size);
  const s = r === null ? null : readInteger(r.rest, size);
  if (sequence === null || r === null || s === null) return null;
  if (sequence.rest.length > 0 || s.rest.length > 0) return null;
  return Buffer.concat([r.content, s.content]);
}
