/** Opens the database file: sets its mode and pragmas, and applies missing migrations. */
import { chmodSync, closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { SidekeyError } from '../errors.ts';
import { MIGRATIONS } from './schema.ts';

function migrate(db: DatabaseSync): void {
  db.exec(
    'CREATE TABLE IF NOT EXISTS migration (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT',
  );
  const found = db.prepare('SELECT coalesce(max(version), 0) AS version FROM migration').get();
  const version = Number(found?.['version'] ?? 0);
  if (version > MIGRATIONS.length)
    throw new SidekeyError(
      'store_failed',
      `the store has version ${version}, but this release supports only up to ${MIGRATIONS.length}`,
    );
  MIGRATIONS.slice(version).forEach((sql, i) => {
    const record = `INSERT INTO migration VALUES (${version + i + 1}, unixepoch())`;
    db.exec(`BEGIN IMMEDIATE; ${sql}; ${record}; COMMIT`);
  });
}

/** Creates the file with its mode before SQLite does: SQLite gives its journals the same mode. */
function prepareFile(path: string): void {
  if (path === ':memory:') return;
  closeSync(openSync(path, 'a', 0o600));
  chmodSync(path, 0o600);
}

export function openDatabase(path: string): DatabaseSync {
  prepareFile(path);
  const db = new DatabaseSync(path, { enableForeignKeyConstraints: true, timeout: 5000, defensive: true });
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF');
  migrate(db);
  return db;
}
