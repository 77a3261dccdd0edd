/**
 * Base64 from bytes to bytes, for data keys: Buffer's own codec goes through a string, which nobody can wipe. Standard alphabet
 * with padding (RFC 4648, 4) and the URL alphabet without (5).
 */

const STANDARD = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', 'latin1');
const URL_SAFE = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_', 'latin1');
const PAD = 0x3d;
const NONE = 0xff;

export type Alphabet = 'standard' | 'url';

/** Both alphabets in one table: what a service writes is read, whichever it chose. */
const SEXTETS = Buffer.alloc(256, NONE);
for (const alphabet of [STANDARD, URL_SAFE]) alphabet.forEach((byte, sextet) => (SEXTETS[byte] = sextet));

/** In a Buffer of its own: the caller wipes it. */
export function encodeBase64(bytes: Buffer, alphabet: Alphabet): Buffer {
  const table = alphabet === 'standard' ? STANDARD : URL_SAFE;
  const digits = Math.ceil((bytes.length * 8) / 6);
  const text = Buffer.alloc(alphabet === 'standard' ? Math.ceil(digits / 4) * 4 : digits, PAD);
  for (let i = 0; i < digits; i++) {
    const at = Math.floor((i * 6) / 8);
    const pair = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
    text[i] = table[(pair >> (10 - ((i * 6) % 8))) & 0x3f] ?? 0;
  }
  return text;
}

/** In a Buffer of its own, which the caller wipes; null when it is no base64. */
export function decodeBase64(text: Buffer): Buffer | null {
  let digits = text.length;
  while (digits > 0 && text.length - digits < 2 && text[digits - 1] === PAD) digits--;
  if (digits % 4 === 1) return null;
  const bytes = Buffer.alloc(Math.floor((digits * 6) / 8));
  for (let i = 0, bits = 0, held = 0, at = 0; i < digits; i++) {
    const sextet = SEXTETS[text[i] ?? 0] ?? NONE;
    if (sextet === NONE) {
      bytes.fill(0);
      return null;
    }
    held = ((held << 6) | sextet) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes[at++] = (held >> bits) & 0xff;
  }
  return bytes;
}
