/** How an agent attaches to a keeper: agrees on a version, and reads the keeper's mechanisms. */
import { SidekeyError } from '../errors.ts';
import { CKK } from '../tokens/cryptoki.ts';
import type { MechanismRow } from '../tokens/ports.ts';
import { LIMITS } from '../wire/tables.ts';
import { readAttached, readBody, readMechanismTable, writeAttach, type Attached } from './bodies.ts';
import type { KeeperConnection } from './keeper-connection.ts';
import { OperationFrames } from './operation-frames.ts';

/** Key types that come in pairs. */
const PAIRS: readonly number[] = [
  ...[CKK.RSA, CKK.DSA, CKK.DH, CKK.X9_42_DH, CKK.EC, CKK.EC_EDWARDS, CKK.EC_MONTGOMERY],
  ...[CKK.ML_KEM, CKK.ML_DSA, CKK.SLH_DSA],
];

export interface Attachment extends Attached {
  readonly connection: KeeperConnection;
  readonly mechanisms: readonly MechanismRow[];
  /** null: the keeper is of the previous release. */
  readonly frames: OperationFrames | null;
  /** CKM_ of short operations, which use secret keys. */
  readonly short: ReadonlySet<number>;
}

/** Tries our latest version, then the previous one: the keeper may be of the previous release. */
async function greet(connection: KeeperConnection, version: number = LIMITS.version): Promise<Attached> {
  const hello = writeAttach(version, 'sidekey agent').done();
  try {
    return readBody(await connection.request('attach', hello, LIMITS.deadlineMs), readAttached);
  } catch (error) {
    const isOther = error instanceof SidekeyError && error.code === 'wire_version';
    if (!isOther || version <= LIMITS.versionOldest) throw error;
    return greet(connection, version - 1);
  }
}

/** Attaches to the keeper and reads its capabilities. */
export async function introduce(connection: KeeperConnection, path: string): Promise<Attachment> {
  const attached = await greet(connection);
  const table = await connection.request('mechanism_table', Buffer.alloc(0), LIMITS.deadlineMs);
  const mechanisms = readBody(table, readMechanismTable);
  const frames = attached.version < 2 ? null : new OperationFrames(connection, path);
  const short = mechanisms.filter(({ keyType }) => keyType !== null && !PAIRS.includes(keyType));
  return { ...attached, connection, mechanisms, frames, short: new Set(short.map(({ type }) => type)) };
}
