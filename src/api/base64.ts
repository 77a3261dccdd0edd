/** Base64 of the standard alphabet, strictly: padded, canonical, nothing else in it (Node's decoder skips what it does not know). */
import { Refusal } from './fault.ts';

/** 400 "illegal base64 data" for anything that encoding would not have produced. */
export function decodeBase64(text: string, alphabet: 'base64' | 'base64url' = 'base64'): Buffer {
  const bytes = Buffer.from(text, alphabet);
  if (bytes.toString(alphabet) !== text) throw new Refusal(400, 'illegal base64 data');
  return bytes;
}
