/** Strict base64 in the standard alphabet: padded, canonical, nothing else. */
import { Refusal } from './fault.ts';

const PAD = '=';
/** The alphabet is the standard one unless another is named. */
const STRICT = { lastChunkHandling: 'strict' } as const;

/** The number of bytes that `text` encodes, if it is valid base64. */
function lengthOf(text: string): number {
  const pads = text.endsWith(PAD) ? (text.at(-2) === PAD ? 2 : 1) : 0;
  return (text.length / 4) * 3 - pads;
}

/** Whether `text` is base64 of as many bytes, which it then has. */
function fills(bytes: Buffer, text: string): boolean {
  try {
    // It skips white space, and then writes fewer bytes.
    return bytes.setFromBase64(text, STRICT).written === bytes.length;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

/** null for anything that an encoder would not have produced. */
export function readBase64(text: string): Buffer | null {
  if (text.length % 4 !== 0) return null;
  const bytes = Buffer.allocUnsafe(lengthOf(text));
  return fills(bytes, text) ? bytes : null;
}

/** Writes the bytes from `at` on. Where they end; null as of readBase64, or because there is no room. */
export function writeDecoded(text: string, into: Buffer, at: number): number | null {
  const end = at + lengthOf(text);
  if (text.length % 4 !== 0 || end > into.length) return null;
  return fills(into.subarray(at, end), text) ? end : null;
}

/** 400 "illegal base64 data" for anything that an encoder would not have produced. */
export function decodeBase64(text: string, alphabet: 'base64' | 'base64url' = 'base64'): Buffer {
  const bytes = alphabet === 'base64' ? readBase64(text) : readUrl(text);
  if (bytes === null) throw new Refusal(400, 'illegal base64 data');
  return bytes;
}

function readUrl(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : null;
}
