import { execFileSync } from 'node:child_process';
import { appendFileSync, fsyncSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AuditLog } from '../../src/audit/audit-log.ts';
import { parseLine, sha256 } from '../../src/audit/audit-line.ts';
import { syncFile } from '../../src/disk-sync.ts';
import { verifyAuditLog } from '../../src/audit/audit-verify.ts';

const clock = { now: () => Date.UTC(2026, 0, 1) };

function written(t: Test, count = 5): string {
  const path = join(t.testdir(), 'audit.log');
  const log = new AuditLog(path, clock);
  for (let i = 0; i < count; i++) log.record('login', { token: 'demo', uid: i, ok: true });
  log.close();
  return path;
}

const lines = (path: string) => readFileSync(path, 'utf8').split('\n').slice(0, -1);

for (const [what, change] of [
  ['an edited line', (all: string[]) => all.with(1, (all[1] ?? '').replace('"uid":1', '"uid":9'))],
  ['an edited last line', (all: string[]) => all.with(4, (all[4] ?? '').replace('"uid":4', '"uid":9'))],
  ['a removed line', (all: string[]) => all.toSpliced(2, 1)],
  ['a removed first line', (all: string[]) => all.slice(1)],
  ['two lines in another order', (all: string[]) => [all[0], all[2], all[1], all[3], all[4]]],
  ['a line that was put in twice', (all: string[]) => [...all, all[4]]],
  ['a line that is no JSON', (all: string[]) => [...all, 'hello']],
] as const) {
  t.test(`${what} is found`, async (t) => {
    const path = written(t);
    writeFileSync(path, `${change(lines(path)).join('\n')}\n`);
    await t.rejects(verifyAuditLog(path), { code: 'audit_broken' });
  });
}

t.test('an edited line whose own sum was made right again is found by the next one', async (t) => {
  const path = written(t);
  const all = lines(path);
  const head = (all[1] ?? '').replace('"uid":1', '"uid":9').replace(/,"sum":"\w+"}$/, '');
  writeFileSync(path, `${all.with(1, `${head},"sum":"${sha256(head)}"}`).join('\n')}\n`);
  await t.rejects(verifyAuditLog(path), { code: 'audit_broken', message: /line 3/ });
});

t.test('a log as it was written verifies, and goes on after a restart', async (t) => {
  const path = written(t);
  const log = new AuditLog(path, clock);
  log.record('denied', { uid: 7 });
  log.close();
  t.match(await verifyAuditLog(path), { lines: 6, head: sha256(lines(path).at(-1) ?? '') });
  t.match(parseLine(lines(path)[5] ?? ''), { seq: 6, event: 'denied', prev: sha256(lines(path)[4] ?? '') });
  t.equal(statSync(path).mode & 0o777, 0o600);
});

t.test('a line that a crash tore is kept aside and noted in the chain', async (t) => {
  const path = written(t);
  appendFileSync(path, '{"seq":6,"time":"2026');
  new AuditLog(path, clock).close();
  t.match(parseLine(lines(path)[5] ?? ''), { seq: 6, event: 'audit-torn', fields: { bytes: 21 } });
  t.equal((await verifyAuditLog(path)).lines, 6);
  const aside = readdirSync(join(path, '..')).find((name) => name.includes('.torn-')) ?? '';
  t.equal(readFileSync(join(path, '..', aside), 'utf8'), '{"seq":6,"time":"2026');
});

t.test('a log whose last whole line is damaged is not continued', async (t) => {
  const path = written(t);
  writeFileSync(path, `${lines(path).with(4, 'damaged').join('\n')}\n`);
  t.throws(() => new AuditLog(path, clock), { code: 'audit_broken' });
});

t.test('a log that cannot be opened stops the start', async (t) => {
  t.throws(() => new AuditLog(join(t.testdir(), 'no/such/folder'), clock), { code: 'audit_failed' });
});

t.test('fields are bounded, and a label cannot break a line', async (t) => {
  const path = join(t.testdir(), 'audit.log');
  const log = new AuditLog(path, clock);
  log.record('created', { label: `a\nb\u2028c${'x'.repeat(5000)}` });
  log.record('created', Object.fromEntries(Array.from({ length: 99 }, (_, i) => [`f${i}`, i])));
  log.close();
  t.equal((await verifyAuditLog(path)).lines, 2);
  t.ok(lines(path).every((line) => line.length < 2000));
});

t.test('lines that share the wait for the disk stand in the chain in their order', async (t) => {
  const path = join(t.testdir(), 'audit.log');
  const log = new AuditLog(path, clock);
  await Promise.all(
    Array.from({ length: 50 }, async (_, i) => {
      log.record(i % 10 === 0 ? 'denied' : 'login', { uid: i });
      await log.durable();
    }),
  );
  log.close();
  t.equal((await verifyAuditLog(path)).lines, 50);
});

t.test('a line that does not reach the disk is no line: the next one follows the one before', async (t) => {
  const path = join(t.testdir(), 'audit.log');
  let isFull = false;
  const now = (fd: number): void => {
    if (isFull) throw new Error('ENOSPC: what was written found no room');
    fsyncSync(fd);
  };
  const log = new AuditLog(path, clock, { now, later: syncFile });
  log.record('denied', { uid: 1 });
  isFull = true;
  t.throws(() => log.record('denied', { uid: 2 }), { code: 'audit_failed' });
  isFull = false;
  log.record('denied', { uid: 3 });
  log.close();
  t.equal((await verifyAuditLog(path)).lines, 2);
});

// Linux reports a failed write-back once, and keeps no page of it to be written again.
for (const how of ['at once', 'shared'] as const)
  t.test(`what the disk has lost is written again before the next line counts (${how})`, async (t) => {
    const path = join(t.testdir(), 'audit.log');
    let hasFailed = true;
    const lose = (): void => {
      const all = readFileSync(path);
      if (hasFailed) return;
      hasFailed = true;
      writeFileSync(path, all.fill(0, all.indexOf('\n') + 1));
      throw new Error('EIO: i/o error');
    };
    const log = new AuditLog(path, clock, {
      now: (fd) => (lose(), fsyncSync(fd)),
      later: async (fd) => (lose(), syncFile(fd)),
    });
    log.record('denied', { uid: 0 });
    log.record('login', { uid: 1 });
    hasFailed = false;
    if (how === 'at once') t.throws(() => log.record('denied', { uid: 2 }), { code: 'audit_failed' });
    else await t.rejects(log.durable(), { code: 'audit_failed' });
    log.record(how === 'at once' ? 'denied' : 'login', { uid: 3 });
    await log.durable();
    log.close();
    t.equal((await verifyAuditLog(path)).lines, 3);
    t.match(
      lines(path).map((line) => parseLine(line)?.fields),
      [{ uid: 0 }, { uid: 1 }, { uid: 3 }],
    );
  });

t.test(
  'what is written again may break off within a line, and is then written again as a whole',
  async (t) => {
    const path = join(t.testdir(), 'audit.log');
    let isFull = false;
    const later = async (fd: number): Promise<void> => {
      if (isFull) throw new Error('EIO: i/o error');
      await syncFile(fd);
    };
    const log = new AuditLog(path, clock, { now: fsyncSync, later });
    log.record('denied', { uid: 0 });
    log.record('login', { uid: 1 });
    log.record('login', { uid: 2 });
    isFull = true;
    await t.rejects(log.durable(), { code: 'audit_failed' });
    isFull = false;
    const limitFiles = (bytes: number | 'unlimited'): void =>
      void execFileSync('prlimit', [`--pid=${process.pid}`, `--fsize=${bytes}:`]);
    // tap ends the process by this signal, unless somebody else listens; the agent ignores it, as Node does.
    const ignore = (): void => undefined;
    process.on('SIGXFSZ', ignore);
    t.teardown(() => process.off('SIGXFSZ', ignore));
    limitFiles(statSync(path).size - 20);
    for (let tries = 0; tries < 2; tries++)
      t.throws(() => log.record('login', { uid: 3 }), { code: 'audit_failed' });
    limitFiles('unlimited');
    log.record('login', { uid: 3 });
    log.close();
    t.equal((await verifyAuditLog(path)).lines, 4);
  },
);
