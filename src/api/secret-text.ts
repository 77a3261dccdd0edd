/**
 * Key material as text, without ever being a string: strings cannot be wiped. Callers wipe what they pass in.
 */
const ALPHABET = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
const PAD = '='.charCodeAt(0);
const LINE = 64;

/** The base64 letter for six bits. */
function letter(bits: number): number {
  return ALPHABET[bits & 63] ?? PAD;
}

export function encodeBase64(bytes: Buffer): Buffer {
  const text = Buffer.alloc(Math.ceil(bytes.length / 3) * 4, PAD);
  for (let at = 0, to = 0; at < bytes.length; at += 3, to += 4) {
    const [a = 0, b = 0, c = 0] = [bytes[at], bytes[at + 1], bytes[at + 2]];
    text[to] = letter(a >> 2);
    text[to + 1] = letter((a << 4) | (b >> 4));
    if (at + 1 < bytes.length) text[to + 2] = letter((b << 2) | (c >> 6));
    if (at + 2 < bytes.length) text[to + 3] = letter(c);
  }
  return text;
}

/** Joins, and wipes the parts. */
export function joinAndWipe(parts: readonly Buffer[]): Buffer {
  const whole = Buffer.concat(parts);
  for (const part of parts) part.fill(0);
  return whole;
}

/** PEM (RFC 7468) inside a JSON string: line ends are escaped. */
export function encodePem(label: string, der: Buffer): Buffer {
  const base64 = encodeBase64(der);
  const parts = [Buffer.from(`-----BEGIN ${label}-----\\n`)];
  for (let at = 0; at < base64.length; at += LINE)
    parts.push(Buffer.from(base64.subarray(at, at + LINE)), Buffer.from('\\n'));
  base64.fill(0);
  return joinAndWipe([...parts, Buffer.from(`-----END ${label}-----\\n`)]);
}
