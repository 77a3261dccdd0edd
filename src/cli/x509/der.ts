/** Writes DER (X.690), as far as certificates and requests need it. */

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const NULL = 0x05;
const OBJECT_IDENTIFIER = 0x06;
const UTF8_STRING = 0x0c;
const PRINTABLE_STRING = 0x13;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const SET = 0x31;
const CONTEXT = 0x80;
const CONSTRUCTED = 0x20;

function lengthOf(bytes: number): Buffer {
  if (bytes < 0x80) return Buffer.from([bytes]);
  const hex = bytes.toString(16);
  const digits = Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex');
  return Buffer.concat([Buffer.from([0x80 | digits.length]), digits]);
}

function element(tag: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content]);
}

export const sequence = (...parts: Buffer[]): Buffer => element(SEQUENCE, Buffer.concat(parts));
/** Sets of one element only: several would have to be sorted. */
export const setOf = (part: Buffer): Buffer => element(SET, part);
export const octets = (bytes: Buffer): Buffer => element(OCTET_STRING, bytes);
export const bits = (bytes: Buffer, unused = 0): Buffer =>
  element(BIT_STRING, Buffer.concat([Buffer.from([unused]), bytes]));
export const utf8 = (text: string): Buffer => element(UTF8_STRING, Buffer.from(text, 'utf8'));
export const printable = (text: string): Buffer => element(PRINTABLE_STRING, Buffer.from(text, 'latin1'));
export const nothing = (): Buffer => element(NULL, Buffer.alloc(0));
/** BOOLEAN TRUE; FALSE, as the default, is omitted. */
export const yes = (): Buffer => Buffer.from([0x01, 0x01, 0xff]);

/** A non-negative integer, big-endian. */
export function integer(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Buffer.alloc(1) : bytes.subarray(first);
  return element(INTEGER, (digits[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.alloc(1), digits]) : digits);
}

export const smallInteger = (value: number): Buffer => integer(Buffer.from([value]));

/** `[number]`, around whole elements or (primitive) in place of a tag. */
export function tagged(number: number, content: Buffer, form: 'constructed' | 'primitive'): Buffer {
  return element(CONTEXT | number | (form === 'constructed' ? CONSTRUCTED : 0), content);
}

function base128(value: number): number[] {
  const digits = [value & 0x7f];
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) digits.unshift((rest & 0x7f) | 0x80);
  return digits;
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return element(OBJECT_IDENTIFIER, Buffer.from([first * 40 + second, ...rest].flatMap(base128)));
}

/** UTCTime until 2049, then GeneralizedTime (RFC 5280, 4.1.2.5). */
export function time(at: Date): Buffer {
  const text = at.toISOString().replace(/[-:T]|\.\d+/g, '');
  const isShort = at.getUTCFullYear() < 2050;
  return element(
    isShort ? UTC_TIME : GENERALIZED_TIME,
    Buffer.from(isShort ? text.slice(2) : text, 'latin1'),
  );
}
