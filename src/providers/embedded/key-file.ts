/**
 * The file of an embedded key-encryption key. Unprotected it is the 32 bytes themselves. Under a passphrase:
 *
 *     "SKKEK" | u8 version 1 | u8 log2 of scrypt's N | u8 r | 16 bytes salt | 12 bytes nonce | 32 bytes | 16 bytes tag
 *
 * AES-256-GCM under scrypt(passphrase, salt, N, r, p = 1); everything before the nonce is its associated data.
 */
import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';

export const KEK_BYTES = 32;
const MAGIC = Buffer.from('SKKEK\x01', 'latin1');
const LOG_N = 17;
const LOG_N_MAX = 20;
const R = 8;
const SALT = MAGIC.length + 2;
const NONCE = SALT + 16;
const BODY = NONCE + 12;
const TAG = BODY + KEK_BYTES;
const PROTECTED_BYTES = TAG + 16;

function deriveKey(passphrase: Buffer, salt: Buffer, logN: number, r: number): Promise<Buffer> {
  const [N, maxmem] = [2 ** logN, 2 ** logN * r * 128 * 2];
  return new Promise((resolve, reject) => {
    scrypt(passphrase, salt, 32, { N, r, p: 1, maxmem }, (error, key) =>
      error ? reject(error) : resolve(key),
    );
  });
}

function isProtected(file: Buffer): boolean {
  return file.length === PROTECTED_BYTES && file.subarray(0, MAGIC.length).equals(MAGIC);
}

/** The bytes of a protected file. `kek` stays the caller's. */
export async function protectKey(kek: Buffer, passphrase: Buffer, logN: number = LOG_N): Promise<Buffer> {
  const head = Buffer.concat([MAGIC, Buffer.from([logN, R]), randomBytes(16)]);
  const nonce = randomBytes(12);
  const key = await deriveKey(passphrase, head.subarray(SALT), logN, R);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(head);
  const body = Buffer.concat([cipher.update(kek), cipher.final()]);
  key.fill(0);
  return Buffer.concat([head, nonce, body, cipher.getAuthTag()]);
}

async function openProtected(file: Buffer, passphrase: Buffer): Promise<Buffer> {
  const [logN = 0, r = 0] = file.subarray(MAGIC.length, SALT);
  if (logN < 10 || logN > LOG_N_MAX || r !== R)
    throw new SidekeyError('provider_refused', 'the key file has unsupported scrypt parameters');
  const key = await deriveKey(passphrase, file.subarray(SALT, NONCE), logN, r);
  const decipher = createDecipheriv('aes-256-gcm', key, file.subarray(NONCE, BODY));
  decipher.setAAD(file.subarray(0, NONCE)).setAuthTag(file.subarray(TAG));
  const kek = decipher.update(file.subarray(BODY, TAG));
  try {
    decipher.final();
    return kek;
  } catch {
    kek.fill(0);
    throw new SidekeyError(
      'provider_refused',
      'the key file cannot be decrypted: wrong passphrase, or damaged file',
    );
  } finally {
    key.fill(0);
  }
}

/** The key, in a Buffer of its own that the caller wipes. Rejects with provider_refused. */
export async function openKeyFile(file: Buffer, passphrase: Buffer | null): Promise<Buffer> {
  if (!isProtected(file)) {
    if (file.length !== KEK_BYTES)
      throw new SidekeyError('provider_refused', `a file of ${file.length} bytes is not a key file`);
    if (passphrase)
      throw new SidekeyError(
        'provider_refused',
        'a passphrase is configured, and the key file is not protected',
      );
    return Buffer.from(file);
  }
  if (!passphrase)
    throw new SidekeyError('provider_refused', 'the key file is encrypted, but no passphrase is configured');
  return openProtected(file, passphrase);
}
