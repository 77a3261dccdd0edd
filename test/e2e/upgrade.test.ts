/**
 * Upgrades: programs that run for months keep the module that they loaded, and meet a service of the next release. Builds of
 * keeper and module that speak other pairs of versions stand for the releases before and after; the agent is this one.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { LIMITS } from '../../src/wire/tables.ts';
import {
  compile,
  initInstance,
  KEEPER,
  MODULE,
  PIN,
  ROOT,
  temporaryDirectory,
  type Instance,
} from './instance.ts';

const SHIM = join(ROOT, 'native-shim');

interface Release {
  readonly module: string;
  readonly keeper: string;
}

/** Keeper and module that speak `oldest` to `latest`, below native-shim/build as everything that is built. */
function build(oldest: number, latest: number): Release {
  const folder = join('build', `wire-${oldest}-${latest}`);
  const programs = ['sidekey-keeper', 'sidekey-pkcs11.so'].map((name) => join(folder, name));
  const flags = `-DWIRE_VERSION_OLDEST=${oldest} -DWIRE_VERSION=${latest}`;
  const args = ['-s', '-C', SHIM, `BUILD=${folder}`, `CFLAGS=${flags}`, 'OPTIMIZE=-O1', ...programs];
  mkdirSync(join(SHIM, folder), { recursive: true });
  const { status, stderr } = spawnSync('flock', [join(SHIM, folder), 'make', ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  const [keeper = '', module = ''] = programs.map((name) => join(SHIM, name));
  return { keeper, module };
}

const now: Release = { keeper: KEEPER, module: MODULE };
const before = build(LIMITS.version - 1, LIMITS.version - 1);
const next = build(LIMITS.version, LIMITS.version + 1);
const afterNext = build(LIMITS.version + 1, LIMITS.version + 2);

/** The next keeper of this instance is of that release. */
function install(sidekey: Instance, { keeper }: Release): void {
  const yaml = readFileSync(sidekey.config, 'utf8').replace(
    /^keeper:\n(  path: .*\n)?/m,
    `keeper:\n  path: ${keeper}\n`,
  );
  writeFileSync(sidekey.config, yaml);
}

async function start(t: Test, release: Release): Promise<Instance> {
  const sidekey = initInstance(t);
  install(sidekey, release);
  await sidekey.start();
  return sidekey;
}

async function load(t: Test, sidekey: Instance, { module }: Release) {
  const env = { ...process.env, ...sidekey.environment };
  const child = spawn(compile(t, 'program.c'), [module, PIN, 'load', '8'], {
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  while (!output.includes('started')) await sleep(20);
  const end = async (): Promise<string> => {
    child.stdin.end();
    await once(child, 'close');
    return output;
  };
  return { pid: child.pid, end };
}

/** Under load, by `systemctl restart` in effect: everything ends, and what starts is of the other release. */
async function upgradeUnderLoad(t: Test, from: Release, module: Release, to: Release) {
  const sidekey = await start(t, from);
  const running = await load(t, sidekey, module);
  await sleep(300);
  t.equal(await sidekey.stopAgent('SIGTERM'), 0);
  install(sidekey, to);
  await sidekey.start();
  await sleep(300);
  return { sidekey, running };
}

t.test(
  'a module of the last release, loaded before the upgrade, loses no operation and is named',
  async (t) => {
    const { sidekey, running } = await upgradeUnderLoad(t, before, before, now);
    const outdated = { outdated: [{ pid: running.pid, program: 'program', wire: LIMITS.version - 1 }] };
    t.match(sidekey.status(), { keeper: { wire: LIMITS.version }, ...outdated });
    t.match(sidekey.sidekey('status').stdout, `outdated pid ${running.pid} (uid`);
    const doctor = sidekey.sidekey('doctor');
    t.match(
      doctor.stdout,
      new RegExp(`warn  module versions: pid ${running.pid} .*restart process ${running.pid}`),
    );
    t.equal(doctor.status, 0, 'it is no failure');
    t.match(await running.end(), / failed 0 /);
  },
);

t.test(
  'this module, installed before the service is restarted, works with the old keeper and through the upgrade',
  async (t) => {
    const { sidekey, running } = await upgradeUnderLoad(t, before, now, now);
    t.match(sidekey.status(), { outdated: [] });
    t.match(await running.end(), / failed 0 /);
  },
);

t.test('this module and this agent go on with a keeper of the next release', async (t) => {
  const { sidekey, running } = await upgradeUnderLoad(t, now, now, next);
  t.match(sidekey.status(), { keeper: { wire: LIMITS.version }, outdated: [] });
  t.match(await running.end(), / failed 0 /);
});

t.test(
  'a module two releases old gets a clear error, and the operator is told which process it is in',
  async (t) => {
    const sidekey = await start(t, next);
    const trace = join(temporaryDirectory(t), 'trace');
    const program = compile(t, 'program.c');
    const { status } = sidekey.run(program, [before.module, PIN, 'use'], { env: { SIDEKEY_TRACE: trace } });
    t.equal(status, 1, 'it finds no token');
    const [oldest, theirs] = [LIMITS.version - 1, LIMITS.version];
    t.match(
      readFileSync(trace, 'utf8'),
      `wire_version: this module speaks versions ${oldest} to ${oldest} of the frame, the service ${theirs}: the module is too old, restart this program`,
    );
    t.match(sidekey.status(), { refused: [{ program: 'program', wire: oldest }] });
    t.match(sidekey.sidekey('status').stdout, /^refused {2}pid \d+ .*restart it/m);
    const { pid } = (sidekey.status()['refused'] as { pid: number }[])[0] ?? {};
    while (!sidekey.log.includes('refused a process')) await sleep(20);
    t.match(sidekey.log, new RegExp(`"level":"warn".*"client":${pid},.*refused a process`));
  },
);

t.test('a module that is too new for the service says that the service has to be restarted', async (t) => {
  const sidekey = await start(t, now);
  const trace = join(temporaryDirectory(t), 'trace');
  sidekey.run(compile(t, 'program.c'), [afterNext.module, PIN, 'use'], { env: { SIDEKEY_TRACE: trace } });
  t.match(readFileSync(trace, 'utf8'), 'the service is too old, restart it');
});

/** A keeper that no agent of ours started. */
async function linger(t: Test, sidekey: Instance, { keeper }: Release) {
  const control = join(sidekey.dir, 'store/control.sock');
  const child = spawn(keeper, ['--pkcs11', sidekey.socket, '--control', control], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stderr, 'data');
  return child;
}

t.test(
  'a keeper that lingers from before two upgrades is ended, and one that can be spoken with is started',
  async (t) => {
    const sidekey = await start(t, now);
    t.equal(await sidekey.stopAgent('SIGTERM'), 0);
    const ended = once(await linger(t, sidekey, afterNext), 'exit');
    await sidekey.start();
    await ended;
    t.match(sidekey.status(), { ready: true, keeperFault: null });
    t.match(sidekey.log, `the keeper speaks version ${LIMITS.version + 2} of the frame`);
  },
);

t.test('where somebody else starts the keeper, status and doctor say which versions met', async (t) => {
  const edit = (yaml: string): string =>
    yaml.replace('start: true', 'start: false').replace(/^ +pkcs11-mode: .*\n/m, '');
  const sidekey = initInstance(t, { edit });
  await linger(t, sidekey, afterNext);
  sidekey.startAgent();
  let said = '';
  for (let i = 0; i < 100 && !said.includes('none is attached'); i++) {
    await sleep(100);
    said = sidekey.sidekey('status').stdout;
  }
  const reason =
    /none is attached: the keeper speaks version \d of the frame, this agent \d to \d: restart the older/;
  t.match(said, reason);
  t.match(sidekey.sidekey('doctor').stdout, reason);
});
