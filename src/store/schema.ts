/**
 * The tables, as a list of migrations: entry n upgrades a store from version n to n + 1. Entries are never
 * edited.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE token (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    label TEXT NOT NULL,
    serial TEXT NOT NULL UNIQUE,
    slot INTEGER NOT NULL UNIQUE,
    provider TEXT NOT NULL,
    so_pin TEXT,
    user_pin TEXT,
    so_failures INTEGER NOT NULL,
    user_failures INTEGER NOT NULL,
    token_key BLOB,
    created_at INTEGER NOT NULL
  ) STRICT;

  -- AUTOINCREMENT: a handle is never used again, even after the last object is gone.
  CREATE TABLE object (
    handle INTEGER PRIMARY KEY AUTOINCREMENT,
    token_id INTEGER NOT NULL REFERENCES token (id) ON DELETE CASCADE,
    unique_id TEXT NOT NULL UNIQUE,
    attributes BLOB NOT NULL,
    blob BLOB,
    created_at INTEGER NOT NULL,
    class INTEGER NOT NULL,
    key_type INTEGER,
    label BLOB NOT NULL,
    key_id BLOB,
    private INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX object_by_label ON object (token_id, label, handle);
  CREATE INDEX object_by_id ON object (token_id, key_id, handle);
  CREATE INDEX object_by_class ON object (token_id, class, handle);
  CREATE INDEX object_by_token ON object (token_id, handle);
  `,
  `
  -- Who was logged in when the service was stopped: taken up, and emptied, by the next start.
  CREATE TABLE login (
    boot TEXT NOT NULL,
    process TEXT NOT NULL,
    serial TEXT NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (process, serial)
  ) STRICT;
  `,
  `
  -- A token key may lie under several KEKs; the first by position is preferred, and is the token's provider.
  CREATE TABLE token_kek (
    token_id INTEGER NOT NULL REFERENCES token (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    provider TEXT NOT NULL,
    wrapped BLOB,
    sealed BLOB,
    PRIMARY KEY (token_id, provider)
  ) STRICT;
  INSERT INTO token_kek SELECT id, 0, provider, token_key, NULL FROM token;
  ALTER TABLE token DROP COLUMN token_key;
  `,
  `
  -- Logins are written as they happen, with the connection that they were last seen on. NULL: by an agent before, as it was stopped.
  ALTER TABLE login ADD COLUMN uid INTEGER;
  ALTER TABLE login ADD COLUMN keeper TEXT;
  ALTER TABLE login ADD COLUMN client TEXT;
  `,
];
