/** Too few file descriptors: who comes in time is served, who comes too late is refused at once, and nobody spins meanwhile. */
import { spawn, spawnSync, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { compile, MODULE, PIN, startInstance, type Instance } from './instance.ts';
import { send } from './transit-client.ts';

const DESCRIPTORS = 64;
const MANY = 100;
const CLOCK_TICK_MS = 10;

/** The soft limit alone is what counts, and may be raised again. */
function limitDescriptors(pid: number, count: number | string = `${DESCRIPTORS}:${DESCRIPTORS}`): void {
  const limit = typeof count === 'number' ? `${count}:` : count;
  const { status, stderr } = spawnSync('prlimit', [`--pid=${pid}`, `--nofile=${limit}`]);
  if (status !== 0) throw new Error(`prlimit: ${stderr}`);
}

/** Of user and kernel, of all threads: fields 14 and 15 of /proc/PID/stat. */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS;
}

async function isIdle(t: Test, pid: number, what: string): Promise<void> {
  const before = cpuMs(pid);
  await sleep(1000);
  const used = cpuMs(pid) - before;
  t.ok(used <= 100, `${what}: ${used} ms of processor time in a second`);
}

type Program = ChildProcessWithoutNullStreams & { output: string };

function start(t: Test, sidekey: Instance, binary: string): Program {
  const env = { ...process.env, ...sidekey.environment };
  const child = Object.assign(spawn(binary, [MODULE, PIN, 'hold'], { env }), { output: '' });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (child.output += chunk));
  t.teardown(() => child.kill('SIGKILL'));
  return child;
}

async function settled(programs: readonly Program[]): Promise<void> {
  const isSettled = ({ output, exitCode }: Program) => output.includes('started') || exitCode !== null;
  for (const end = Date.now() + 60_000; Date.now() < end; await sleep(50))
    if (programs.every(isSettled)) return;
  throw new Error(`neither served nor refused: ${programs.find((each) => !isSettled(each))?.output}`);
}

t.test('a keeper with few descriptors', { timeout: 180_000 }, async (t) => {
  const sidekey = await startInstance(t);
  const binary = compile(t, 'program.c');
  limitDescriptors(sidekey.agentPid);
  process.kill(sidekey.keeperPid() ?? 0, 'SIGKILL');
  await sidekey.ready();
  t.match(sidekey.log, /few_descriptors/, 'it begins with the limit of who starts it, and says so');
  const keeper = sidekey.keeperPid() ?? 0;
  const programs = Array.from({ length: MANY }, () => start(t, sidekey, binary));
  await settled(programs);
  const served = programs.filter(({ output }) => output.includes('started'));
  const refused = programs.filter(({ output }) => !output.includes('started'));
  t.comment(`${served.length} served, ${refused.length} refused`);
  t.ok(served.length >= 20 && refused.length >= MANY - DESCRIPTORS, 'as many as there are descriptors for');
  t.ok(
    refused.every(({ signalCode, exitCode }) => signalCode === null && exitCode === 1),
    'a refusal is an error',
  );
  t.match(sidekey.log, /connection_refused/, 'of which the log knows');
  await isIdle(t, keeper, 'the keeper beside those it refused');

  for (const { stdin } of served) stdin.end();
  await Promise.all(served.map((child) => child.exitCode ?? once(child, 'exit')));
  t.strictSame(
    served.filter(({ exitCode }) => exitCode !== 0).map(({ output }) => output),
    [],
    'those that were served work to their end',
  );
  const { status, stdout } = sidekey.run(binary, [MODULE, PIN, 'threads', '2']);
  t.equal(status, 0, `and who comes afterwards is served: ${stdout}`);
});

t.test('a keeper that has no descriptor left', { timeout: 60_000 }, async (t) => {
  const sidekey = await startInstance(t);
  const binary = compile(t, 'program.c');
  const keeper = sidekey.keeperPid() ?? 0;
  const before = start(t, sidekey, binary);
  await settled([before]);
  limitDescriptors(keeper, 4);
  const late = start(t, sidekey, binary);
  await isIdle(t, keeper, 'the keeper beside one that it cannot take');
  t.match(sidekey.log, /accept_failed/);
  t.notMatch(late.output, /started/);
  limitDescriptors(keeper, 1024);
  await settled([late]);
  t.match(late.output, /started/, 'that one is served as soon as there are some');
  for (const child of [before, late]) {
    child.stdin.end();
    if (child.exitCode === null) await once(child, 'exit');
    t.equal(child.exitCode, 0, child.output);
  }
});

t.test('an agent with few descriptors', { timeout: 180_000 }, async (t) => {
  const sidekey = await startInstance(t);
  const binary = compile(t, 'program.c');
  const before = start(t, sidekey, binary);
  await settled([before]);
  limitDescriptors(sidekey.agentPid);
  const sockets = Array.from({ length: MANY }, () => connect(sidekey.api));
  const ended = new Set<Socket>();
  const answered = new Set<Socket>();
  for (const socket of sockets) {
    socket.on('error', () => undefined);
    socket.once('close', () => ended.add(socket));
    socket.once('data', () => answered.add(socket));
    socket.write('GET /v1/sys/health HTTP/1.1\r\nHost: a\r\n\r\n');
  }
  for (
    const end = Date.now() + 30_000;
    Date.now() < end && ended.size + answered.size < MANY;
    await sleep(50)
  );
  t.comment(`${answered.size} answered, ${ended.size} hung up on`);
  t.equal(ended.size + answered.size, MANY, 'each is answered or hung up on');
  t.ok(answered.size >= 10 && ended.size >= MANY - DESCRIPTORS, 'as many as there are descriptors for');
  await isIdle(t, sidekey.agentPid, 'the agent beside those it refused');
  t.notOk(before.exitCode, 'a program that was there goes on');

  const more = start(t, sidekey, binary);
  await settled([more]);
  t.match(more.output, /started/, 'a program that comes now needs none of its descriptors');
  for (const socket of sockets) socket.destroy();
  await sleep(200);
  t.equal((await send(sidekey.api, 'GET', '/v1/sys/health', '')).status, 200, 'the API answers again');
  for (const child of [before, more]) {
    child.stdin.end();
    if (child.exitCode === null) await once(child, 'exit');
    t.equal(child.exitCode, 0, child.output);
  }
});
