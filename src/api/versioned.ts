/** `vault:v1:<body>`: how the Transit dialect writes ciphertexts, signatures and HMACs. Keys have one version so far. */
import { Refusal } from './fault.ts';

export const LATEST_VERSION = 1;
const PREFIX = 'vault:v';

/** `body` is text already encoded in base64 (or base64url, for jws). */
export function formatVersioned(body: string): string {
  return `${PREFIX}${LATEST_VERSION}:${body}`;
}

/** The text after the version. `what` is the word for it in the error: ciphertext, signature, HMAC. */
export function parseVersioned(text: string, what: string): string {
  if (!text.startsWith(PREFIX)) throw new Refusal(400, `invalid ${what}: no prefix`);
  const colon = text.indexOf(':', PREFIX.length);
  if (colon < 0) throw new Refusal(400, `invalid ${what}: wrong number of fields`);
  const version = text.slice(PREFIX.length, colon);
  if (!/^\d{1,9}$/.test(version))
    throw new Refusal(400, `invalid ${what}: version number could not be decoded`);
  if (Number(version) > LATEST_VERSION) throw new Refusal(400, `invalid ${what}: version is too new`);
  if (Number(version) < LATEST_VERSION)
    throw new Refusal(400, 'ciphertext or signature version is disallowed by policy (too old)');
  return text.slice(colon + 1);
}

/** A `key_version` of a request: absent or 0 is the latest. */
export function checkVersion(version: number | undefined): void {
  if (version === undefined || version === 0 || version === LATEST_VERSION) return;
  throw new Refusal(400, 'requested key_version is not one of this key');
}
