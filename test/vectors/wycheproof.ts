/** Reads the Wycheproof files of ../shared/vectors (Apache-2.0, C2SP; not part of this repository). */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const FOLDER = resolve(import.meta.dirname, '../../../shared/vectors/wycheproof');

/** Fields are hex strings unless their schema says otherwise; which there are depends on the file. */
export interface Vector {
  readonly tcId: number;
  readonly comment: string;
  readonly flags: readonly string[];
  readonly result: 'valid' | 'invalid' | 'acceptable';
  readonly [field: string]: unknown;
}

export interface Group {
  readonly tests: readonly Vector[];
  readonly [field: string]: unknown;
}

export const vectorsPresent = existsSync(FOLDER);

export function readGroups(file: string): Group[] {
  return (JSON.parse(readFileSync(join(FOLDER, `${file}.json`), 'utf8')) as { testGroups: Group[] })
    .testGroups;
}

/** A hex field as bytes. */
export function hex(from: Group | Vector, field: string): Buffer {
  const value = from[field];
  if (typeof value !== 'string') throw new Error(`no field ${field}`);
  return Buffer.from(value, 'hex');
}

/** A big number in hex, without leading zeroes, as PKCS#11 wants it. */
export function bigNumber(from: object, field: string): Buffer {
  const value = (from as Record<string, unknown>)[field];
  if (typeof value !== 'string') throw new Error(`no field ${field}`);
  const digits = value.replace(/^(00)+/, '');
  return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex');
}
