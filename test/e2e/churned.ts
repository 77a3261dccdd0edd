/**
 * A program that makes, changes and destroys keys while something happens to the service, and what must hold afterwards: what was
 * answered CKR_OK holds, what was not is there whole or not at all, store and audit log are in order.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { compile, MODULE, PIN, startInstance, type Instance } from './instance.ts';

const EXPECTED_FILES =
  /^(sidekey\.db(-wal|-shm|\.lock)?|usage\.db(-wal|-shm)?|audit\.log(\.torn-\d+)?|control\.sock|kek)$/;

interface Churned {
  readonly made: Set<string>;
  readonly destroyed: Set<string>;
  readonly ids: Map<string, string>;
  /** Of these the last answer was an error: either may hold. */
  readonly unsure: Set<string>;
  readonly objects: { label: string; id: string; rv: string }[];
}

function parse(output: string): Churned {
  const churned: Churned = {
    made: new Set(),
    destroyed: new Set(),
    ids: new Map(),
    unsure: new Set(),
    objects: [],
  };
  for (const line of output.split('\n')) {
    const [what = '', label = '', id = '', rv = ''] = line.split(' ');
    if (what === '+') churned.made.add(label);
    if (what === '-') churned.destroyed.add(label);
    if (what === '=') churned.ids.set(label, id);
    if (what === '?') churned.unsure.add(label);
    if (what === 'object') churned.objects.push({ label, id, rv });
  }
  return churned;
}

/** `times`: how often something happened, so that at least as many keys were there to be lost. */
function checkObjects(t: Test, churned: Churned, times: number): void {
  const { made, destroyed, ids, unsure, objects } = churned;
  const there = new Map(objects.map((object) => [object.label, object]));
  t.equal(there.size, objects.length, 'no label twice');
  const sure = [...made].filter((label) => !unsure.has(label) && !destroyed.has(label));
  t.strictSame(
    sure.filter((label) => !there.has(label)),
    [],
    'what was made is there',
  );
  t.strictSame(
    [...destroyed].filter((label) => there.has(label)),
    [],
    'what was destroyed is gone',
  );
  t.strictSame(
    objects.filter(({ label }) => !made.has(label) && !unsure.has(label)),
    [],
    'nothing that nobody asked for',
  );
  t.strictSame(
    objects.filter(({ rv }) => rv !== '0'),
    [],
    'each can be used',
  );
  const changed = objects.filter(({ label }) => ids.has(label) && !unsure.has(label));
  t.strictSame(
    changed.filter(({ label, id }) => ids.get(label) !== id),
    [],
    'what was changed stays so',
  );
  t.ok(sure.length > times && destroyed.size > 0 && changed.length > times, 'there was something to lose');
  const counts = `${made.size} made, ${destroyed.size} destroyed, ${unsure.size} unsure, ${objects.length} there`;
  t.comment(counts);
}

function checkLog(t: Test, sidekey: Instance, { made, destroyed }: Churned): void {
  const verified = sidekey.sidekey('audit', 'verify');
  t.equal(verified.status, 0, verified.stdout + verified.stderr);
  const log = readFileSync(join(sidekey.dir, 'store/audit.log'), 'utf8');
  const seen = (event: string): Set<string> => {
    const lines = log.split('\n').filter((line) => line.includes(`"${event}"`));
    return new Set(lines.map((line) => /"label":"([^"]*)"/.exec(line)?.[1] ?? ''));
  };
  const [generated, removed] = [seen('key-generated'), seen('object-destroyed')];
  t.strictSame(
    [...made].filter((label) => !generated.has(label)),
    [],
    'each key that was made has its line',
  );
  t.strictSame(
    [...destroyed].filter((label) => !removed.has(label)),
    [],
    'and each that was destroyed',
  );
}

function checkStore(t: Test, sidekey: Instance, { objects }: Churned): void {
  const folder = join(sidekey.dir, 'store');
  t.strictSame(
    readdirSync(folder).filter((name) => !EXPECTED_FILES.test(name)),
    [],
    'no file is left over',
  );
  using db = new DatabaseSync(join(folder, 'sidekey.db'), { readOnly: true });
  t.same(db.prepare('PRAGMA integrity_check').get(), { integrity_check: 'ok' });
  const { n } = db.prepare('SELECT count(*) AS n FROM object').get() ?? {};
  t.equal(n, objects.length, 'the store holds what the program sees, and nothing beside it');
}

export async function churnBeside(
  t: Test,
  times: number,
  work: (sidekey: Instance) => Promise<void>,
): Promise<void> {
  const sidekey = await startInstance(t);
  const env = { ...process.env, ...sidekey.environment };
  const child = spawn(compile(t, 'churn.c'), [MODULE, PIN], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  await work(sidekey);
  await sleep(200);
  child.stdin.end();
  await once(child, 'close');
  t.match(output, /^done$/m);
  const churned = parse(output);
  checkObjects(t, churned, times);
  checkLog(t, sidekey, churned);
  checkStore(t, sidekey, churned);
}
