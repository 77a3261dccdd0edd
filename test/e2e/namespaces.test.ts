/**
 * Programs, and a service, in namespaces of their own, as containers have them. What is asked of the kernel is asked in the
 * service's own namespaces: a uid is what it is there, whatever the program believes of itself. Wants root.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { compile, initInstance, MODULE, PIN, startInstance, type Instance } from './instance.ts';

const STRANGER = 65534;
/** A sidecar's neighbour: it shares the socket's folder and nothing else. */
const CONTAINER = ['unshare', '--pid', '--mount', '--uts', '--ipc', '--fork', '--kill-child', '--mount-proc'];
/** It is root there, and this uid here. */
const MAPPED_ROOT = [
  'setpriv',
  `--reuid=${STRANGER}`,
  '--clear-groups',
  'unshare',
  '--user',
  '--map-root-user',
];

const allowed = { allow: ['uid:0'] };

function run(sidekey: Instance, wrapper: readonly string[], ...command: string[]) {
  const [program = '', ...args] = [...wrapper, ...command];
  return sidekey.run(program, args);
}

function binaryForAll(t: Test): string {
  const binary = compile(t, 'program.c');
  chmodSync(join(binary, '..'), 0o755);
  return binary;
}

type Held = ChildProcessWithoutNullStreams & { output: string };

async function hold(t: Test, sidekey: Instance, wrapper: readonly string[]): Promise<Held> {
  const [program = '', ...args] = [...wrapper, binaryForAll(t), MODULE, PIN, 'hold'];
  const env = { ...process.env, ...sidekey.environment };
  const child = Object.assign(spawn(program, args, { env }), { output: '' });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (child.output += chunk));
  t.teardown(() => child.kill('SIGKILL'));
  for (const end = Date.now() + 20_000; Date.now() < end && child.exitCode === null; await sleep(20))
    if (child.output.includes('started')) return child;
  throw new Error(`the program was not served: ${child.output}`);
}

async function finish(child: Held): Promise<number | null> {
  child.stdin.end();
  if (child.exitCode === null) await once(child, 'exit');
  return child.exitCode;
}

/** unshare does not pass SIGTERM on: the agent ends with it. */
async function start(t: Test, sidekey: Instance, by: readonly string[]): Promise<void> {
  sidekey.startAgent(by);
  t.teardown(() => sidekey.stopAgent('SIGKILL'));
  await sidekey.ready();
}

async function killBoth(sidekey: Instance, by: readonly string[]): Promise<void> {
  const keeper = sidekey.keeperPid() ?? 0;
  await sidekey.stopAgent('SIGKILL');
  process.kill(keeper, 'SIGKILL');
  sidekey.startAgent(by);
  await sidekey.ready();
}

t.test('a program in a pid namespace below the service is the process that it is outside', async (t) => {
  const sidekey = await startInstance(t, allowed);
  const held = await hold(t, sidekey, CONTAINER);
  await killBoth(sidekey, []);
  t.match(sidekey.sidekey('doctor').stdout, /^ok +pid namespaces: every connected process is visible/m);
  t.equal(await finish(held), 0, `it is still logged in when both were killed: ${held.output}`);
});

/** As a sidecar is: what runs beside it is no process there. */
const SIDECAR = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];

t.test('a service in a pid namespace of its own knows programs of the host by their uid alone', async (t) => {
  const edit = (yaml: string): string => yaml.replace('{uid: 0}', '{uid: 0}\n      - {executable: /opt/app}');
  const sidekey = initInstance(t, { ...allowed, edit });
  await start(t, sidekey, SIDECAR);
  const held = await hold(t, sidekey, []);
  const { processes } = sidekey.status() as unknown as { processes: { pid: number; uid: number }[] };
  t.same(
    processes.map(({ pid, uid }) => [pid, uid]),
    [[0, 0]],
    'it has no pid there',
  );
  const doctor = sidekey.sidekey('doctor').stdout;
  t.match(doctor, /^warn  pid namespaces: 1 connected \(program, uid 0\) appear as pid 0/m);
  t.match(doctor, /shareProcessNamespace: true/);
  t.match(doctor, /executable, unit or cgroup \(1 of the rules here\) never match/);
  const other = await hold(t, sidekey, []);
  t.equal(await finish(held), 0, held.output);
  t.equal(await finish(other), 0, `the next one with pid 0 logs in and out for itself: ${other.output}`);
});

t.test('in such a service no rule by executable admits a program of the host', async (t) => {
  const binary = binaryForAll(t);
  const edit = (yaml: string): string => yaml.replace('{uid: 0}', `{executable: ${binary}}`);
  const sidekey = initInstance(t, { ...allowed, edit });
  await start(t, sidekey, SIDECAR);
  const refused = run(sidekey, [], binary, MODULE, PIN, 'stranger');
  t.equal(refused.status, 0, refused.stdout);
});

t.test('root of a user namespace is who it is outside', async (t) => {
  const sidekey = await startInstance(t, allowed);
  const binary = binaryForAll(t);
  const whoami = run(sidekey, MAPPED_ROOT, 'id', '-u');
  t.equal(whoami.stdout.trim(), '0', `it believes to be root: ${whoami.stderr}`);
  const { status, stdout, stderr } = run(sidekey, MAPPED_ROOT, binary, MODULE, PIN, 'stranger');
  t.equal(status, 0, `no rule admits uid ${STRANGER}: ${stdout}${stderr}`);

  const other = await startInstance(t, { allow: [`uid:${STRANGER}`] });
  const admitted = run(other, MAPPED_ROOT, binary, MODULE, PIN, 'threads', '2');
  t.equal(admitted.status, 0, `a rule for uid ${STRANGER} does: ${admitted.stdout}${admitted.stderr}`);
});

t.test('a service in a time namespace: leases end, and logins outlive agent and keeper', async (t) => {
  const sidekey = initInstance(t, {
    ...allowed,
    edit: (yaml) => yaml.replace('    allow:', '    cache: {any: 2s, unused: 2s}\n    allow:'),
  });
  const shifted = [
    'unshare',
    '--time',
    '--fork',
    '--kill-child',
    '--boottime',
    '1000000',
    '--monotonic',
    '500000',
  ];
  await start(t, sidekey, shifted);
  const held = await hold(t, sidekey, []);
  const leases = (): unknown[] => JSON.parse(sidekey.sidekey('cache', 'ls', '--json').stdout);
  await sleep(3500);
  t.same(leases(), [], 'what was not used for two seconds is wiped, and not for eleven days');
  await killBoth(sidekey, shifted);
  t.equal(await finish(held), 0, `start times are compared within one namespace: ${held.output}`);
});
