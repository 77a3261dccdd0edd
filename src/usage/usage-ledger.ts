/**
 * How often each key was used by whom, per day, and the calls to key services that this took: counted in
 * memory, written periodically to its own SQLite file, so that counting neither waits for nor harms the key
 * store. A crash may lose the last minute.
 */
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { ProviderCall } from '../metrics/observed-provider.ts';
import type { OperationSeen, PeerKind } from '../metrics/operation-seen.ts';

export interface UsageRow {
  /** YYYY-MM-DD, UTC. */
  readonly day: string;
  readonly peer: PeerKind;
  readonly uid: number;
  readonly token: string;
  readonly key: string;
  readonly operation: string;
  readonly times: number;
  readonly bytes: number;
}

export interface CallRow {
  readonly day: string;
  readonly provider: string;
  readonly call: string;
  readonly times: number;
}

/**
 * At most this many different rows wait in memory; then they are written at once or, while the disk is full,
 * not counted.
 */
const WAITING_MAX = 10_000;
const ROWS_MAX = 100_000;
const KEPT_DAYS = 400;
const DAY_MS = 86_400_000;

const TABLES = `
  PRAGMA journal_mode = WAL;
  CREATE TABLE IF NOT EXISTS usage (
    day TEXT NOT NULL, peer TEXT NOT NULL, uid INTEGER NOT NULL, token TEXT NOT NULL, key TEXT NOT NULL,
    operation TEXT NOT NULL, times INTEGER NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (day, peer, uid, token, key, operation)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS call (
    day TEXT NOT NULL, provider TEXT NOT NULL, call TEXT NOT NULL, times INTEGER NOT NULL,
    PRIMARY KEY (day, provider, call)
  ) STRICT, WITHOUT ROWID;
`;

const ADD_USAGE = `INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
  SET times = times + excluded.times, bytes = bytes + excluded.bytes`;
const ADD_CALL = `INSERT INTO call VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET times = times + excluded.times`;

type Place = Omit<UsageRow, 'times' | 'bytes'>;
type Mutable<Row> = { -readonly [Name in keyof Row]: Row[Name] };

function isAt(row: Mutable<UsageRow> | null, place: Place): row is Mutable<UsageRow> {
  if (row === null || row.day !== place.day || row.peer !== place.peer || row.uid !== place.uid) return false;
  return row.token === place.token && row.key === place.key && row.operation === place.operation;
}

export class UsageLedger {
  readonly #database: DatabaseSync;
  readonly #now: () => number;
  readonly #usage = new Map<string, Mutable<UsageRow>>();
  readonly #calls = new Map<string, Mutable<CallRow>>();
  /** The row of the last use: the next use is usually of the same kind. */
  #last: Mutable<UsageRow> | null = null;
  /** The last flush failed. */
  #isStuck = false;

  /** `path` may be ":memory:". */
  constructor(path: string, now: () => number) {
    this.#now = now;
    if (path !== ':memory:') closeSync(openSync(path, 'a', 0o600));
    this.#database = new DatabaseSync(path);
    this.#database.exec(TABLES);
  }

  /** The day of the last use, cached as every use needs it. */
  #day = { number: -1, text: '' };

  #today(daysAgo = 0): string {
    const number = Math.floor(this.#now() / DAY_MS) - daysAgo;
    if (number !== this.#day.number)
      this.#day = { number, text: new Date(number * DAY_MS).toISOString().slice(0, 10) };
    return this.#day.text;
  }

  /** Only successful uses are counted. */
  operated({ peer, uid, token, key, operation, result, times, bytes }: OperationSeen): void {
    if (result !== 'ok') return;
    const place = { day: this.#today(), peer, uid, token, key, operation };
    const row = isAt(this.#last, place) ? this.#last : this.#rowAt(place);
    if (row === null) return;
    row.times += times;
    row.bytes += bytes;
  }

  /** null: there is no room for another. */
  #rowAt(place: Place): Mutable<UsageRow> | null {
    const { day, peer, uid, token, key, operation } = place;
    const name = JSON.stringify([day, peer, uid, token, key, operation]);
    const known = this.#usage.get(name);
    if (known === undefined && !this.#hasRoom()) return null;
    const row = known ?? { ...place, times: 0, bytes: 0 };
    this.#usage.set(name, row);
    this.#last = row;
    return row;
  }

  /** A full disk neither delays nor fails the use of a key; the next regular flush reports it. */
  #hasRoom(): boolean {
    if (this.#usage.size < WAITING_MAX) return true;
    if (this.#isStuck) return false;
    try {
      this.flush();
      return true;
    } catch {
      return false;
    }
  }

  /** Counts answered calls that a key service would bill: not health checks, nor calls that never arrived. */
  called({ provider, call, result }: ProviderCall): void {
    if (call === 'health' || result !== 'ok') return;
    const day = this.#today();
    const place = `${day} ${call} ${provider}`;
    const row = this.#calls.get(place) ?? { day, provider, call, times: 0 };
    row.times += 1;
    this.#calls.set(place, row);
  }

  /**
   * Writes what is waiting, all or nothing, and deletes rows older than 400 days. Throws if the disk refuses.
   */
  flush(): void {
    if (this.#usage.size === 0 && this.#calls.size === 0) return;
    this.#isStuck = true;
    this.#database.exec('BEGIN');
    try {
      const addUsage = this.#database.prepare(ADD_USAGE);
      for (const row of this.#usage.values()) {
        const { day, peer, uid, token, key, operation, times, bytes } = row;
        addUsage.run(day, peer, uid, token, key, operation, times, bytes);
      }
      const addCall = this.#database.prepare(ADD_CALL);
      for (const { day, provider, call, times } of this.#calls.values())
        addCall.run(day, provider, call, times);
      for (const table of ['usage', 'call'])
        this.#database.prepare(`DELETE FROM ${table} WHERE day < ?`).run(this.#today(KEPT_DAYS));
      this.#database.exec('COMMIT');
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
    this.#usage.clear();
    this.#last = null;
    this.#calls.clear();
    this.#isStuck = false;
  }

  /** Both days inclusive. At most 100,000 rows. */
  read(from: string, to: string): { usage: UsageRow[]; calls: CallRow[] } {
    this.flush();
    const select = (table: string) =>
      this.#database
        .prepare(`SELECT * FROM ${table} WHERE day BETWEEN ? AND ? LIMIT ${ROWS_MAX}`)
        .all(from, to)
        .map((row) => ({ ...row }) as unknown);
    return { usage: select('usage') as UsageRow[], calls: select('call') as CallRow[] };
  }

  close(): void {
    this.flush();
    this.#database.close();
  }
}
