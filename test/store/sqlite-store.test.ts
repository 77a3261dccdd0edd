// The store alone: what is kept, what is refused, what survives.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'tap';
import { MIGRATIONS } from '../../src/store/schema.ts';
import { SqliteStore } from '../../src/store/sqlite-store.ts';

const NOTHING = { soPin: null, userPin: null, soFailures: 0, userFailures: 0 };
const TOKEN = { ...NOTHING, name: 'a', label: 'a', serial: '01', slot: 0, provider: 'p', createdAt: 1 };

function objectOf(tokenId: number, uniqueId: string, label = 'l') {
  const index = { objectClass: 4, keyType: 31, label: Buffer.from(label), id: Buffer.of(1), private: true };
  return { tokenId, uniqueId, attributes: Buffer.of(1, 2), blob: null, createdAt: 2, index };
}

test('a file that is no store, and one of a later version, are refused by code', (t) => {
  const folder = t.testdir({ junk: 'x'.repeat(5000) });
  t.throws(() => new SqliteStore(join(folder, 'junk')), { code: 'store_failed' });
  t.throws(() => new SqliteStore(join(folder, 'no/such/folder')), { code: 'store_failed' });
  const path = join(folder, 'later.db');
  new SqliteStore(path).close();
  const db = new DatabaseSync(path);
  db.exec('INSERT INTO migration VALUES (999, 0)');
  db.close();
  t.throws(() => new SqliteStore(path), { code: 'store_failed' });
  t.end();
});

test('file and journal are the owner’s alone, even when the file was open to all', (t) => {
  const path = join(t.testdir(), 'store.db');
  writeFileSync(path, '');
  chmodSync(path, 0o666);
  const store = new SqliteStore(path);
  store.addToken(TOKEN);
  for (const file of [path, `${path}-wal`]) t.equal(statSync(file).mode & 0o777, 0o600, file);
  store.close();
  t.end();
});

test('a store from before there were several KEKs keeps its token key', (t) => {
  const path = join(t.testdir(), 'store.db');
  const db = new DatabaseSync(path);
  db.exec('CREATE TABLE migration (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT');
  for (const sql of MIGRATIONS.slice(0, 2)) db.exec(sql);
  db.exec(`INSERT INTO migration VALUES (2, 0);
    INSERT INTO token VALUES (1, 'a', 'a', '01', 0, 'p', NULL, NULL, 0, 0, x'0102', 1);
    INSERT INTO token VALUES (2, 'b', 'b', '02', 1, 'q', NULL, NULL, 0, 0, NULL, 1);`);
  db.close();
  const store = new SqliteStore(path);
  const keks = store.tokens().map((token) => token.keks);
  t.same(keks[0], [{ provider: 'p', wrapped: Buffer.of(1, 2), sealed: null }]);
  t.same(keks[1], [{ provider: 'q', wrapped: null, sealed: null }]);
  store.close();
  t.end();
});

test('the KEKs of a token keep their order, and C_InitToken leaves which they are', (t) => {
  const store = new SqliteStore(':memory:');
  const { id } = store.addToken(TOKEN);
  const [p, q] = ['p', 'q'].map((provider) => ({ provider, wrapped: Buffer.of(1), sealed: Buffer.of(2) }));
  if (!p || !q) throw new Error('two');
  store.setKeks(id, [q, p]);
  t.match(store.tokens()[0], { provider: 'q', keks: [q, p] });
  t.throws(() => store.setKeks(id, [p, p]), { code: 'store_failed' });
  t.match(store.tokens()[0], { keks: [q, p] }, 'half a change is none');
  store.resetToken(id, { serial: '02' });
  const none = { wrapped: null, sealed: null };
  t.same(store.tokens()[0]?.keks, [
    { provider: 'q', ...none },
    { provider: 'p', ...none },
  ]);
  store.close();
  t.end();
});

test('half a pair is never kept, and two tokens never share a name', (t) => {
  const store = new SqliteStore(':memory:');
  const { id } = store.addToken(TOKEN);
  t.throws(() => store.addToken({ ...TOKEN, serial: '02', slot: 1 }), { code: 'store_failed' });
  t.throws(() => store.addObjects([objectOf(id, 'x'), objectOf(id, 'x')]), { code: 'store_failed' });
  t.throws(() => store.addObjects([objectOf(99, 'y')]), { code: 'store_failed' }, 'no such token');
  t.equal(store.countObjects(id), 0);
  store.close();
  t.end();
});

test('a handle is not used again after the last object is gone and the store was reopened', (t) => {
  const path = join(t.testdir(), 'store.db');
  const store = new SqliteStore(path);
  const { id } = store.addToken(TOKEN);
  const [first = 0] = store.addObjects([objectOf(id, 'x')]);
  store.removeObject(first);
  store.close();
  const again = new SqliteStore(path);
  t.equal(again.object(first), null);
  t.ok((again.addObjects([objectOf(id, 'x')])[0] ?? 0) > first);
  again.resetToken(id, { serial: '03', userPin: 'p' });
  t.equal(again.countObjects(id), 0);
  t.match(again.tokens()[0], { serial: '03', userPin: 'p', soPin: null, name: 'a' });
  again.close();
  t.end();
});

test('what returned is there after kill -9', (t) => {
  const path = join(t.testdir(), 'store.db');
  const store = join(import.meta.dirname, '../../src/store/sqlite-store.ts');
  const script = `
    import { SqliteStore } from ${JSON.stringify(store)};
    const store = new SqliteStore(${JSON.stringify(path)});
    store.addToken(${JSON.stringify(TOKEN)});
    process.kill(process.pid, 'SIGKILL');`;
  const run = () =>
    execFileSync(process.execPath, ['--input-type=module', '-e', script], { env: {}, stdio: 'pipe' });
  let signal: unknown;
  try {
    run();
  } catch (error) {
    signal = (error as { signal?: unknown }).signal;
  }
  t.equal(signal, 'SIGKILL');
  t.match(new SqliteStore(path).tokens(), [{ name: 'a' }]);
  t.end();
});

test('find goes by the index of the most selective column', (t) => {
  const path = join(t.testdir(), 'store.db');
  const store = new SqliteStore(path);
  const { id } = store.addToken(TOKEN);
  store.addObjects([objectOf(id, 'x', 'one'), objectOf(id, 'y', 'two'), objectOf(id, 'z', 'two')]);
  const nothing = { objectClass: null, keyType: null, label: null, id: null, withPrivate: true };
  const find = (query: object, after = 0) =>
    [...store.find(id, { ...nothing, ...query }, after)].map(({ uniqueId }) => uniqueId);
  t.same(find({ label: Buffer.from('two') }), ['y', 'z']);
  t.same(find({ label: Buffer.from('two'), objectClass: 4 }, 2), ['z']);
  t.same(find({ id: Buffer.of(1), keyType: 31 }), ['x', 'y', 'z']);
  t.same(find({ withPrivate: false }), []);
  const db = new DatabaseSync(path);
  const plan = db
    .prepare(
      'EXPLAIN QUERY PLAN SELECT * FROM object WHERE token_id = ? AND handle > ? AND label = ? AND +class = ? ORDER BY handle',
    )
    .all(1, 0, Buffer.from('two'), 4);
  t.match(plan[0]?.['detail'], /USING INDEX object_by_label/);
  t.equal(plan.length, 1, 'and nothing is sorted');
  db.close();
  store.close();
  t.end();
});

test('after a sync that failed, nothing relies on the log that may have been lost', async (t) => {
  const path = join(t.testdir(), 'store.db');
  let fails = true;
  const store = new SqliteStore(path, async () => {
    if (fails) throw new Error('EIO');
  });
  const { id } = store.addToken(TOKEN);
  store.addObjects([objectOf(id, 'lost?')]);
  await t.rejects(store.durable(), { code: 'store_failed' });
  fails = false;
  const [handle = 0] = store.addObjects([objectOf(id, 'next')]);
  await store.durable();
  copyFileSync(path, `${path}.copy`);
  store.close();
  const copy = new SqliteStore(`${path}.copy`);
  t.equal(copy.countObjects(id), 2, 'the database has them without its log');
  t.equal(copy.object(handle)?.uniqueId, 'next');
  copy.close();
});
