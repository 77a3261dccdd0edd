/** What happens to applications when processes fork, run many threads, come from another uid, or die. */
import { spawn, spawnSync, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { chmodSync, copyFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import {
  compile,
  initInstance,
  MODULE,
  PIN,
  startInstance,
  temporaryDirectory,
  type Instance,
} from './instance.ts';

const NOBODY = 65534;

function program(t: Test, sidekey: Instance, ...args: string[]): void {
  const { status, stdout, stderr } = sidekey.run(compile(t, 'program.c'), [MODULE, PIN, ...args]);
  t.equal(status, 0, `${args.join(' ')}: ${stdout}${stderr}`);
  t.match(stdout, /^done$/m);
}

/** Runs until its stdin is closed; `output` is what it said. */
function background(
  t: Test,
  sidekey: Instance,
  ...args: string[]
): ChildProcessWithoutNullStreams & { output: () => string } {
  const env = { ...process.env, ...sidekey.environment };
  const child = spawn(compile(t, 'program.c'), [MODULE, PIN, ...args], { env });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  t.teardown(() => child.kill('SIGKILL'));
  return Object.assign(child, { output: () => output });
}

async function said(child: { output: () => string }, pattern: RegExp): Promise<void> {
  for (const end = Date.now() + 15_000; Date.now() < end; await sleep(20))
    if (pattern.test(child.output())) return;
  throw new Error(`the program never said ${pattern}: ${child.output()}`);
}

t.test('a child that forked must initialise, and the parent goes on', async (t) => {
  program(t, await startInstance(t), 'fork');
});

t.test('32 threads encrypt and decrypt at once', async (t) => {
  program(t, await startInstance(t), 'threads', '32');
});

for (const [kind, argument] of [
  ['session', '0'],
  ['token', '1'],
] as const)
  t.test(`a ${kind} key is used by four threads while four others change it without a pause`, async (t) => {
    program(t, await startInstance(t), 'changed', argument);
  });

t.test('a program that started before the daemon sees an empty slot, then the token', async (t) => {
  const sidekey = initInstance(t);
  const child = background(t, sidekey, 'absent');
  await said(child, /started/);
  await sidekey.start();
  child.stdin.end();
  const [code] = await once(child, 'close');
  t.equal(code, 0, child.output());
});

t.test('another uid that no rule admits sees no token', async (t) => {
  const sidekey = await startInstance(t, { allow: ['uid:12345'] });
  const dir = temporaryDirectory(t);
  chmodSync(dir, 0o755);
  const [binary, module] = [join(dir, 'program'), join(dir, 'module.so')];
  copyFileSync(compile(t, 'program.c'), binary);
  copyFileSync(MODULE, module);
  const as = (uid: number, command: string): string => {
    const env = sidekey.environment;
    return spawnSync(binary, [module, PIN, command], { uid, gid: uid, env, encoding: 'utf8' }).stdout;
  };
  t.match(as(NOBODY, 'stranger'), /^done$/m);
  t.match(as(12345, 'make'), /^done$/m, 'the uid that was admitted works');
});

t.test('what was answered OK is there after everything was killed', async (t) => {
  const sidekey = await startInstance(t);
  const made = sidekey.run(compile(t, 'program.c'), [MODULE, PIN, 'make']);
  process.kill(sidekey.keeperPid() ?? 0, 'SIGKILL');
  await sidekey.stopAgent('SIGKILL');
  const handle = /made (\d+)/.exec(made.stdout)?.[1];
  t.ok(handle, made.stdout);
  await sidekey.start();
  const used = sidekey.run(compile(t, 'program.c'), [MODULE, PIN, 'use']);
  t.match(used.stdout, new RegExp(`found ${handle}\n`), 'under the same handle');
  t.match(used.stdout, /^done$/m);
});

t.test('a keeper that is killed is a pause, not an error', async (t) => {
  const sidekey = await startInstance(t);
  const load = background(t, sidekey, 'load', '8');
  await said(load, /started/);
  for (let i = 0; i < 3; i++) {
    await sleep(700);
    process.kill(sidekey.keeperPid() ?? 0, 'SIGKILL');
  }
  await sleep(1500);
  load.stdin.end();
  await once(load, 'close');
  t.match(load.output(), /operations \d+ failed 0 /);
});

t.test('an agent that is killed is not noticed by keys whose lease is good', async (t) => {
  const sidekey = await startInstance(t);
  const load = background(t, sidekey, 'load', '4');
  await said(load, /started/);
  await sleep(500);
  await sidekey.stopAgent('SIGKILL');
  await sleep(1000);
  load.stdin.end();
  await once(load, 'close');
  t.match(load.output(), /operations [1-9]\d* failed 0 /);
  await sidekey.start();
  program(t, sidekey, 'use');
});

t.test('a row that was edited in the database does not open', async (t) => {
  const sidekey = await startInstance(t);
  program(t, sidekey, 'make');
  program(t, sidekey, 'use');
  await sidekey.stopAgent();
  tamper(sidekey);
  await sidekey.start();
  const { stdout } = sidekey.run(compile(t, 'program.c'), [MODULE, PIN, 'use']);
  t.match(stdout, /found \d+/);
  t.match(stdout, /round trip: 0x/);
  await said({ output: () => sidekey.log }, /seal_broken/);
});

/** Flips CKA_EXTRACTABLE of the one secret key, as someone with a database editor would. */
function tamper(sidekey: Instance): void {
  const database = new DatabaseSync(join(sidekey.dir, 'store/sidekey.db'));
  const row = database.prepare('SELECT handle, attributes FROM object').get() as {
    handle: number;
    attributes: Uint8Array;
  };
  const attributes = Buffer.from(row.attributes);
  const pattern = Buffer.from('62010000000000000100000000', 'hex'); // CKA_EXTRACTABLE (0x162), 1 byte: CK_FALSE
  const at = attributes.indexOf(pattern);
  if (at < 0) throw new Error('CKA_EXTRACTABLE was not found in the row');
  attributes[at + pattern.length - 1] = 1;
  database.prepare('UPDATE object SET attributes = ? WHERE handle = ?').run(attributes, row.handle);
  database.close();
}
