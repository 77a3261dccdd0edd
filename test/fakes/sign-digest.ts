/** Signs and verifies a digest that was made elsewhere, as key services do and node:crypto cannot: by openssl's own program. */
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

function openssl(verb: string, key: KeyObject, scheme: DigestScheme, files: Record<string, Buffer>) {
  const dir = mkdtempSync(join(tmpdir(), 'sign-'));
  try {
    const pem = key.export({ format: 'pem', type: 'pkcs8' });
    const args = Object.entries({ inkey: pem, ...files }).flatMap(([name, content]) => {
      writeFileSync(join(dir, name), content, { mode: 0o600 });
      return [`-${name}`, join(dir, name)];
    });
    return spawnSync('openssl', ['pkeyutl', verb, ...args, ...optionsOf(scheme)]);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** ECDSA: DER. Throws when openssl refuses, as for a digest of another length than the hash's. */
export function signDigest(key: KeyObject, scheme: DigestScheme, digest: Buffer): Buffer {
  const { status, stdout, stderr } = openssl('-sign', key, scheme, { in: digest });
  if (status !== 0) throw new Error(`openssl: ${stderr.toString()}`);
  return stdout;
}

/** By the private key as well: openssl takes its public half. */
export function verifyDigest(
  key: KeyObject,
  scheme: DigestScheme,
  digest: Buffer,
  signature: Buffer,
): boolean {
  return openssl('-verify', key, scheme, { in: digest, sigfile: signature }).status === 0;
}
