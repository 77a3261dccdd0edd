/** ECDSA signatures: PKCS#11 gives r and s side by side (3.1, 2.3.1), Transit's asn1 is DER (RFC 3279, 2.2.3). */
import { Refusal } from './fault.ts';

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

function refuse(): never {
  throw new Refusal(400, 'supplied signature is invalid');
}

/** One element at the start of `bytes`, and what follows it. Lengths of two bytes are the longest that P-521 needs. */
function readElement(bytes: Buffer, tag: number): { content: Buffer; rest: Buffer } {
  const isLong = bytes[1] === 0x81;
  const length = isLong ? bytes[2] : bytes[1];
  const start = isLong ? 3 : 2;
  if (bytes[0] !== tag || length === undefined || length > 0xff || isLong !== length >= 0x80) refuse();
  if (start + length > bytes.length) refuse();
  return { content: bytes.subarray(start, start + length), rest: bytes.subarray(start + length) };
}

function readInteger(bytes: Buffer, size: number): { scalar: Buffer; rest: Buffer } {
  const { content, rest } = readElement(bytes, INTEGER);
  const [first, second] = content;
  if (first === undefined || first >= 0x80) refuse();
  if (first === 0 && second !== undefined && second < 0x80) refuse();
  const digits = first === 0 ? content.subarray(1) : content;
  if (digits.length > size) refuse();
  return { scalar: Buffer.concat([Buffer.alloc(size - digits.length), digits]), rest };
}

/** Strict DER only: r and s of the curve's size, nothing after them. */
export function decodeDer(der: Buffer, curveBits: number): Buffer {
  const size = scalarBytes(curveBits);
  const sequence = readElement(der, SEQUENCE);
  const r = readInteger(sequence.content, size);
  const s = readInteger(r.rest, size);
  if (sequence.rest.length > 0 || s.rest.length > 0) refuse();
  return Buffer.concat([r.scalar, s.scalar]);
}
