/** The certificates of a mutual TLS connection, read again for every connection: a renewed file is used from the next one on. */
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { readPrivateFile } from '../private-file.ts';

const CERTIFICATES_MAX = 256 * 1024;

export interface TlsFiles {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
  readonly ownUid: number;
}

export interface TlsIdentity {
  readonly ca: Buffer;
  readonly cert: Buffer;
  /** The caller wipes it. */
  readonly key: Buffer;
}

function readCertificates(path: string): Buffer {
  const { size } = statSync(path);
  if (size > CERTIFICATES_MAX) throw new Error(`${path} has ${size} bytes`);
  return readFileSync(path);
}

/** Throws what the files' readers throw: a file may come later. */
export function readTlsIdentity({ ca, certificate, key, ownUid }: TlsFiles): TlsIdentity {
  const identity = { ca: readCertificates(ca), cert: readCertificates(certificate) };
  return { ...identity, key: readPrivateFile(key, ownUid) };
}

/** When the client's certificate ends, by the time of day; null: there is none that can be read. */
export function certificateEnd({ certificate }: TlsFiles): number | null {
  try {
    return Date.parse(new X509Certificate(readCertificates(certificate)).validTo);
  } catch {
    return null;
  }
}

function stamp(path: string): string {
  const seen = statSync(path, { bigint: true, throwIfNoEntry: false });
  return seen ? `${seen.dev}:${seen.ino}:${seen.size}:${seen.mtimeNs}` : 'none';
}

/** Changes when one of the files does. */
export function stampTlsFiles({ ca, certificate, key }: TlsFiles): string {
  return [ca, certificate, key].map(stamp).join(' ');
}
