/** Converts rows of the tables in schema.ts to the domain's types. */
import type { SQLOutputValue } from 'node:sqlite';
import type { KekRow, LoginRow, ObjectRow, TokenRow } from '../tokens/store-port.ts';

type Row = Record<string, SQLOutputValue>;

export const TOKEN_COLUMNS: Readonly<Record<Exclude<keyof TokenRow, 'keks'>, string>> = {
  id: 'id',
  name: 'name',
  label: 'label',
  serial: 'serial',
  slot: 'slot',
  provider: 'provider',
  soPin: 'so_pin',
  userPin: 'user_pin',
  soFailures: 'so_failures',
  userFailures: 'user_failures',
  createdAt: 'created_at',
};

function toBuffer(value: SQLOutputValue | undefined): Buffer | null {
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : null;
}

function toText(value: SQLOutputValue | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

export function toKekRow(row: Row): KekRow {
  return {
    provider: String(row['provider']),
    wrapped: toBuffer(row['wrapped']),
    sealed: toBuffer(row['sealed']),
  };
}

export function toTokenRow(row: Row, keks: readonly KekRow[]): TokenRow {
  return {
    id: Number(row['id']),
    name: String(row['name']),
    label: String(row['label']),
    serial: String(row['serial']),
    slot: Number(row['slot']),
    provider: String(row['provider']),
    soPin: toText(row['so_pin']),
    userPin: toText(row['user_pin']),
    soFailures: Number(row['so_failures']),
    userFailures: Number(row['user_failures']),
    keks,
    createdAt: Number(row['created_at']),
  };
}

export function toObjectRow(row: Row): ObjectRow {
  return {
    handle: Number(row['handle']),
    tokenId: Number(row['token_id']),
    uniqueId: String(row['unique_id']),
    attributes: toBuffer(row['attributes']) ?? Buffer.alloc(0),
    blob: toBuffer(row['blob']),
    createdAt: Number(row['created_at']),
  };
}

/** The keeper's numbers are unsigned 64-bit, SQLite's integers are signed. */
export function toNumeral(value: bigint | null): string | null {
  return value === null ? null : String(value);
}

function toBigint(value: SQLOutputValue | undefined): bigint | null {
  return typeof value === 'string' ? BigInt(value) : null;
}

export function toLoginRow(row: Row): LoginRow {
  return {
    boot: String(row['boot']),
    process: String(row['process']),
    uid: typeof row['uid'] === 'number' ? row['uid'] : null,
    keeper: toBigint(row['keeper']),
    client: toBigint(row['client']),
    serial: String(row['serial']),
    role: row['role'] === 'so' ? 'so' : 'user',
  };
}
