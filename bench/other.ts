/** What ../shared/bench/p11bench.c says of the rows that both measure: an outsider's word on ours. */
import { must, type Subject } from './subjects.ts';

/** Its names, with the sizes that tell its lines apart. */
const ROWS: Readonly<Record<string, string>> = {
  'AES-256-GCM encrypt 16': 'gcm-16',
  'AES-256-GCM encrypt 1024': 'gcm-1k',
  'AES-256-GCM encrypt 16384': 'gcm-16k',
  'AES-256-GCM encrypt 1048576': 'gcm-1m',
  'AES-256-CBC-PAD 1024': 'cbc-pad-1k',
  'HMAC-SHA256 sign 256': 'hmac-256',
  'SHA-256 digest 1024': 'sha256-1k',
  'random 32': 'random-32',
  'ECDSA P-256 sign 32': 'ecdsa-p256',
  'RSA-2048 sign 32': 'rsa2048-pkcs',
  'open+close session 0': 'session',
  'find by label 0': 'find-label',
};
const LINE = /^(\S.*?\S) +(\d+) B +p50 +([\d.]+) us/;

/** Of one row: medians in nanoseconds. */
export interface Other {
  readonly row: string;
  readonly p50: number;
}

export function measureOther(p11bench: string, subject: Subject, seconds: number): Other[] {
  const text = must(p11bench, [...(subject.module ?? []), String(seconds)], subject.env);
  return text.split('\n').flatMap((line) => {
    const [, name, size, micros] = LINE.exec(line) ?? [];
    const row = ROWS[`${name} ${size}`];
    return row === undefined ? [] : [{ row, p50: Number(micros) * 1000 }];
  });
}
