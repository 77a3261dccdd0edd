/**
 * The store on node:sqlite. One file of mode 0600, write-ahead log with full sync: changes are on disk when
 * they return, except new objects, whose commit leaves that to durable(). It knows nothing of PKCS#11 beyond
 * the columns that find needs.
 */
import { closeSync, openSync } from 'node:fs';
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { DiskSync, syncFile } from '../disk-sync.ts';
import { SidekeyError } from '../errors.ts';
import type {
  KekRow,
  LoginQuery,
  LoginRow,
  NewObjectRow,
  ObjectIndex,
  ObjectQuery,
  ObjectRow,
  TokenChange,
  TokenRow,
  TokenStore,
} from '../tokens/store-port.ts';
import { openDatabase } from './database.ts';
import { TOKEN_COLUMNS, toKekRow, toLoginRow, toNumeral, toObjectRow, toTokenRow } from './rows.ts';

const LOGIN_TERMS: readonly (readonly [keyof LoginQuery, string])[] = [
  ['process', 'process = ?'],
  ['serial', 'serial = ?'],
  ['role', 'role = ?'],
  ['except', 'process <> ?'],
];

function indexValues(index: ObjectIndex): SQLInputValue[] {
  return [index.objectClass, index.keyType, index.label, index.id, index.private ? 1 : 0];
}

/** Runs one call of the store; SQLite errors become store_failed. */
function guard<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof SidekeyError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SidekeyError('store_failed', `the store could not ${what}: ${reason}`, { cause });
  }
}

export class SqliteStore implements TokenStore {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  /** Idle statements of searches: as many as there are sets of columns to search by. */
  readonly #idle = new Map<string, StatementSync>();
  readonly #log: string;
  #logFd: number | null = null;
  readonly #disk = new DiskSync(() => this.#syncLog());

  readonly #sync: (fd: number) => Promise<void>;
  #isLogDoubtful = false;

  constructor(path: string, sync: (fd: number) => Promise<void> = syncFile) {
    this.#sync = sync;
    this.#db = guard(`open ${path}`, () => openDatabase(path));
    this.#log = path === ':memory:' ? '' : `${path}-wal`;
  }

  /**
   * What SQLite does at the end of a transaction with synchronous = FULL, but off the event loop. The log
   * stays the same file as long as the store is open; SQLite's locks are not on it, so closing it here
   * releases none.
   */
  async #syncLog(): Promise<void> {
    if (this.#log === '') return;
    if (this.#isLogDoubtful) this.#moveLog();
    this.#logFd ??= openSync(this.#log, 'r');
    try {
      await this.#sync(this.#logFd);
    } catch (error) {
      this.#isLogDoubtful = true;
      throw error;
    }
  }

  /**
   * After a failed sync the kernel may have dropped pages of the log that it could not write, and reports
   * success the next time. SQLite would stop reading there after a crash, and lose everything behind. So all
   * of the log is copied to the database and synced there before anything else counts as durable.
   */
  #moveLog(): void {
    const [row] = this.#db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').all();
    if (Number(row?.['busy']) !== 0) throw new Error('the log could not be moved to the database');
    this.#isLogDoubtful = false;
  }

  async durable(): Promise<void> {
    try {
      await this.#disk.durable();
    } catch (cause) {
      throw new SidekeyError('store_failed', 'the store could not wait for the disk', { cause });
    }
  }

  /** A transaction that the kernel has when it returns, but not the disk. */
  #transactionUnsynced<T>(work: () => T): T {
    this.#db.exec('PRAGMA synchronous = NORMAL');
    try {
      return this.#transaction(work);
    } finally {
      this.#db.exec('PRAGMA synchronous = FULL');
    }
  }

  /** A transaction whose log durable() will sync. */
  #transactionLater<T>(work: () => T): T {
    try {
      return this.#transactionUnsynced(work);
    } finally {
      this.#disk.wrote();
    }
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  #transaction<T>(work: () => T): T {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#db.exec('COMMIT');
      return result;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  logins(boot: string): LoginRow[] {
    return guard('list logins', () => {
      this.#prepare('DELETE FROM login WHERE boot <> ?').run(boot);
      return this.#prepare('SELECT * FROM login').all().map(toLoginRow);
    });
  }

  putLogin({ boot, process, uid, keeper, client, serial, role }: LoginRow): void {
    const sql =
      'INSERT OR REPLACE INTO login (boot, process, uid, keeper, client, serial, role) VALUES (?, ?, ?, ?, ?, ?, ?)';
    const values = [boot, process, uid, toNumeral(keeper), toNumeral(client), serial, role];
    guard('save a login', () => this.#transactionUnsynced(() => this.#prepare(sql).run(...values)));
  }

  moveLogins(process: string, { uid, keeper, client }: Pick<LoginRow, 'uid' | 'keeper' | 'client'>): void {
    const sql = 'UPDATE login SET uid = ?, keeper = ?, client = ? WHERE process = ?';
    const values = [uid, toNumeral(keeper), toNumeral(client), process];
    guard('move a login', () => this.#transactionUnsynced(() => this.#prepare(sql).run(...values)));
  }

  dropLogins(query: LoginQuery): void {
    const terms = LOGIN_TERMS.filter(([field]) => query[field] !== undefined);
    const sql = `DELETE FROM login WHERE ${terms.map(([, term]) => term).join(' AND ')}`;
    const values = terms.map(([field]) => query[field] ?? '');
    guard('forget a login', () => this.#transactionUnsynced(() => this.#prepare(sql).run(...values)));
  }

  tokens(): TokenRow[] {
    const sql = 'SELECT provider, wrapped, sealed FROM token_kek WHERE token_id = ? ORDER BY position';
    return guard('list tokens', () =>
      this.#prepare('SELECT * FROM token ORDER BY slot')
        .all()
        .map((row) => toTokenRow(row, this.#prepare(sql).all(Number(row['id'])).map(toKekRow))),
    );
  }

  addToken(token: Omit<TokenRow, 'id' | 'keks'>): TokenRow {
    const fields = Object.keys(token) as (keyof typeof token)[];
    const columns = fields.map((field) => TOKEN_COLUMNS[field]);
    const sql = `INSERT INTO token (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`;
    const keks = [{ provider: token.provider, wrapped: null, sealed: null }];
    return guard('add a token', () =>
      this.#transaction(() => {
        const { lastInsertRowid } = this.#prepare(sql).run(...fields.map((field) => token[field]));
        const id = Number(lastInsertRowid);
        this.#setKeks(id, keks);
        return { ...token, keks, id };
      }),
    );
  }

  #setKeks(id: number, keks: readonly KekRow[]): void {
    this.#prepare('DELETE FROM token_kek WHERE token_id = ?').run(id);
    const add = this.#prepare('INSERT INTO token_kek VALUES (?, ?, ?, ?, ?)');
    keks.forEach(({ provider, wrapped, sealed }, i) => void add.run(id, i, provider, wrapped, sealed));
    this.#prepare('UPDATE token SET provider = ? WHERE id = ?').run(keks[0]?.provider ?? '', id);
  }

  setKeks(id: number, keks: readonly KekRow[]): void {
    guard('change the KEKs of a token', () => this.#transaction(() => this.#setKeks(id, keks)));
  }

  #updateToken(id: number, change: TokenChange): void {
    const fields = Object.keys(change) as (keyof TokenChange)[];
    const sets = fields.map((field) => `${TOKEN_COLUMNS[field]} = ?`).join(', ');
    const values = fields.map((field) => change[field] ?? null);
    if (fields.length > 0) this.#prepare(`UPDATE token SET ${sets} WHERE id = ?`).run(...values, id);
  }

  updateToken(id: number, change: TokenChange): void {
    guard('change a token', () => this.#updateToken(id, change));
  }

  resetToken(id: number, change: TokenChange): void {
    guard('initialize a token', () =>
      this.#transaction(() => {
        this.#prepare('DELETE FROM object WHERE token_id = ?').run(id);
        this.#prepare('UPDATE token_kek SET wrapped = NULL, sealed = NULL WHERE token_id = ?').run(id);
        this.#updateToken(id, change);
      }),
    );
  }

  countObjects(tokenId: number): number {
    const sql = 'SELECT count(*) AS n FROM object WHERE token_id = ?';
    return guard('count objects', () => Number(this.#prepare(sql).get(tokenId)?.['n'] ?? 0));
  }

  addObjects(objects: readonly NewObjectRow[]): number[] {
    const statement = this.#prepare(
      `INSERT INTO object (token_id, unique_id, attributes, blob, created_at, class, key_type, label, key_id, private)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    const add = (o: NewObjectRow): number => {
      const { tokenId, uniqueId, attributes, blob, createdAt } = o;
      const values = [tokenId, uniqueId, attributes, blob, createdAt, ...indexValues(o.index)];
      return Number(statement.run(...values).lastInsertRowid);
    };
    return guard('add objects', () => this.#transactionLater(() => objects.map(add)));
  }

  object(handle: number): ObjectRow | null {
    return guard('read an object', () => {
      const row = this.#prepare('SELECT * FROM object WHERE handle = ?').get(handle);
      return row === undefined ? null : toObjectRow(row);
    });
  }

  updateObject(handle: number, attributes: Buffer, blob: Buffer | null, index: ObjectIndex): void {
    const sql = `UPDATE object SET attributes = ?, blob = ?, class = ?, key_type = ?, label = ?, key_id = ?, private = ?
      WHERE handle = ?`;
    guard('change an object', () => this.#prepare(sql).run(attributes, blob, ...indexValues(index), handle));
  }

  removeObject(handle: number): void {
    guard('remove an object', () => this.#prepare('DELETE FROM object WHERE handle = ?').run(handle));
  }

  /**
   * Each query uses one index: that of the most selective column in the query. The unary plus keeps SQLite
   * from choosing another, which it would do arbitrarily without statistics.
   */
  find(tokenId: number, query: ObjectQuery, after: number): Iterable<ObjectRow> {
    const asked: [string, SQLInputValue][] = [];
    if (query.label !== null) asked.push(['label', query.label]);
    if (query.id !== null) asked.push(['key_id', query.id]);
    if (query.objectClass !== null) asked.push(['class', query.objectClass]);
    if (query.keyType !== null) asked.push(['+key_type', query.keyType]);
    const terms = asked.map(([column], i) => ` AND ${i === 0 ? column : `+${column.replace('+', '')}`} = ?`);
    if (!query.withPrivate) terms.push(' AND +private = 0');
    const sql = `SELECT * FROM object WHERE token_id = ? AND handle > ?${terms.join('')} ORDER BY handle`;
    return this.#iterate(sql, [tokenId, after, ...asked.map(([, value]) => value)]);
  }

  /** A caller may stop early, or start another search meanwhile. */
  *#iterate(sql: string, values: readonly SQLInputValue[]): Iterable<ObjectRow> {
    const statement = this.#idle.get(sql) ?? guard('find objects', () => this.#db.prepare(sql));
    this.#idle.delete(sql);
    try {
      for (const row of guard('find objects', () => statement.iterate(...values))) yield toObjectRow(row);
    } finally {
      this.#idle.set(sql, statement);
    }
  }

  close(): void {
    this.#statements.clear();
    this.#idle.clear();
    if (this.#logFd !== null) closeSync(this.#logFd);
    this.#db.close();
  }
}
