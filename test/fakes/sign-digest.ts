/** Signs a digest that was made elsewhere, as key services do and node:crypto cannot: by openssl's own program. */
import { spawnSync } from 'node:child_process';
import type { KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface DigestScheme {
  readonly scheme: 'rsa-pkcs1' | 'rsa-pss' | 'ecdsa';
  /** As openssl names it. */
  readonly hash: string;
  readonly saltBytes?: number | 'max';
}

function optionsOf({ scheme, hash, saltBytes }: DigestScheme): string[] {
  const digest = ['-pkeyopt', `digest:${hash}`];
  if (scheme === 'ecdsa') return digest;
  if (scheme === 'rsa-pkcs1') return ['-pkeyopt', 'rsa_padding_mode:pkcs1', ...digest];
  const salt = ['-pkeyopt', `rsa_pss_saltlen:${saltBytes ?? 'digest'}`];
  return ['-pkeyopt', 'rsa_padding_mode:pss', ...salt, ...digest, '-pkeyopt', `rsa_mgf1_md:${hash}`];
}

/** ECDSA: DER. Throws when openssl refuses, as for a digest of another length than the hash's. */
export function signDigest(key: KeyObject, scheme: DigestScheme, digest: Buffer): Buffer {
  const dir = mkdtempSync(join(tmpdir(), 'sign-'));
  try {
    const [keyFile, digestFile] = [join(dir, 'key'), join(dir, 'digest')];
    writeFileSync(keyFile, key.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
    writeFileSync(digestFile, digest);
    const args = ['pkeyutl', '-sign', '-inkey', keyFile, '-in', digestFile, ...optionsOf(scheme)];
    const { status, stdout, stderr } = spawnSync('openssl', args);
    if (status !== 0) throw new Error(`openssl: ${stderr.toString()}`);
    return stdout;
  } finally {
    rmSync(dir, { recursive: true });
  }
}
