/** Base64 of the standard alphabet, strictly: padded, canonical, nothing else in it (Node's decoder skips what it does not know). */
import { Refusal } from './fault.ts';

const PAD = '=';
/** The last letter before one and before two pads: those whose unused bits are zero. */
const LAST = ['', 'AEIMQUYcgkosw048', 'AQgw'] as const;

/** What Node's decoder takes and this alphabet has not: the other alphabet's letters, and those of which it looks at the low byte alone. */
const FOREIGN = /[-_\u0080-\uffff]/;

/**
 * Whether `bytes`, which Node made of `text`, is all that it says, without encoding it again: what the decoder skips shortens them, foreign
 * letters are looked for, and the last letter must have no bits to spare.
 */
function isWhole(text: string, bytes: Buffer): boolean {
  const pads = text.endsWith(PAD) ? (text.at(-2) === PAD ? 2 : 1) : 0;
  if (text.length % 4 !== 0 || bytes.length !== (text.length / 4) * 3 - pads) return false;
  if (FOREIGN.test(text)) return false;
  return pads === 0 || LAST[pads].includes(text.charAt(text.length - 1 - pads));
}

/** null for anything that encoding would not have produced. */
export function readBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64');
  return isWhole(text, bytes) ? bytes : null;
}

/** 400 "illegal base64 data" for anything that encoding would not have produced. */
export function decodeBase64(text: string, alphabet: 'base64' | 'base64url' = 'base64'): Buffer {
  const bytes = alphabet === 'base64' ? readBase64(text) : readUrl(text);
  if (bytes === null) throw new Refusal(400, 'illegal base64 data');
  return bytes;
}

function readUrl(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : null;
}
