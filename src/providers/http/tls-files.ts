/** Certificates and the key of a TLS client, as files that may be replaced while the agent runs. */
import { readFileSync, statSync } from 'node:fs';
import { SidekeyError } from '../../errors.ts';
import { readPrivateFile } from '../private-file.ts';

export interface TlsPaths {
  /** Authorities that are trusted instead of the system's. */
  readonly ca: string | null;
  readonly certificate: string | null;
  readonly key: string | null;
}

export interface TlsMaterial {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

export const NO_TLS_FILES: TlsPaths = { ca: null, certificate: null, key: null };

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SidekeyError('provider_unreachable', `cannot read ${path}: ${reason}`, { cause });
  }
}

/** Changes whenever one of the files does. */
export function fingerprintFiles(paths: readonly (string | null)[]): string {
  const marks = paths.map((path) => {
    const seen = path === null ? undefined : statSync(path, { throwIfNoEntry: false });
    return seen ? [seen.dev, seen.ino, seen.size, seen.mtimeMs] : null;
  });
  return JSON.stringify(marks);
}

/** Throws provider_unreachable when a file is missing, provider_refused when others can read the key. */
export function readTlsFiles({ ca, certificate, key }: TlsPaths): TlsMaterial {
  return {
    ...(ca === null ? {} : { ca: read(ca) }),
    ...(certificate === null ? {} : { cert: read(certificate) }),
    ...(key === null ? {} : { key: readPrivateFile(key, process.geteuid?.() ?? 0) }),
  };
}
