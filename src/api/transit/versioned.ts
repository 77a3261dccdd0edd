/**
 * `vault:v1:<body>`: the Transit format of ciphertexts, signatures and HMACs, and which key versions may be
 * used.
 */
import type { NamedKey } from '../../tokens/service.ts';
import { Refusal } from '../fault.ts';

const PREFIX = 'vault:v';
const VERSION = /^\d{1,9}$/;

/** `body` is already base64 (or base64url, for jws). */
export function formatVersioned(version: number, body: string): string {
  return `${PREFIX}${version}:${body}`;
}

/**
 * A version that may still decrypt or verify, and the text after it. `what` is for the error: ciphertext,
 * signature, HMAC.
 */
export function parseVersioned(key: NamedKey, text: string, what: string): { version: number; body: string } {
  if (!text.startsWith(PREFIX)) throw new Refusal(400, `invalid ${what}: no prefix`);
  const colon = text.indexOf(':', PREFIX.length);
  if (colon < 0) throw new Refusal(400, `invalid ${what}: wrong number of fields`);
  const digits = text.slice(PREFIX.length, colon);
  if (!VERSION.test(digits)) throw new Refusal(400, `invalid ${what}: version number could not be decoded`);
  const version = Number(digits);
  if (version > key.latestVersion) throw new Refusal(400, `invalid ${what}: version is too new`);
  if (version < key.policy.minDecryptionVersion || !hasVersion(key, version))
    throw new Refusal(400, 'ciphertext or signature version is disallowed by policy (too old)');
  return { version, body: text.slice(colon + 1) };
}

function hasVersion({ versions }: NamedKey, wanted: number): boolean {
  return versions.some(({ version }) => version === wanted);
}

/** The version for new data: `key_version` of the request, or the latest (absent, 0). */
export function versionToUse(key: NamedKey, wanted: number | null | undefined): number {
  if (wanted == null || wanted === 0 || wanted === key.latestVersion) return key.latestVersion;
  if (wanted < 0) throw new Refusal(400, 'requested version for encryption is negative');
  if (wanted > key.latestVersion)
    throw new Refusal(400, 'requested version for encryption is higher than the latest key version');
  if (wanted < key.policy.minEncryptionVersion || !hasVersion(key, wanted))
    throw new Refusal(
      400,
      'requested version for encryption is less than the minimum encryption key version',
    );
  return wanted;
}
