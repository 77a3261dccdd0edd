/** Programs that wait for a service which is not there: what they cost, and when they give up. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { MODULE, startInstance } from './instance.ts';
import { endLoad, RESTART_MAX_MS, startLoad } from './load.ts';

/** Of one process, in the kernel's ticks. */
function ticksOf(pid: number): number {
  const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
  const [user, system] = fields.split(' ').slice(11, 13).map(Number);
  return (user ?? NaN) + (system ?? NaN);
}

t.test('eight threads that wait for their service leave it the processors', async (t) => {
  const sidekey = await startInstance(t);
  const load = await startLoad(t, sidekey);
  const keeper = sidekey.keeperPid() ?? 0;
  const ended = sidekey.stopAgent('SIGKILL');
  process.kill(keeper, 'SIGKILL');
  await ended;
  await sleep(100);
  const before = ticksOf(load.child.pid ?? 0);
  await sleep(2000);
  const ticks = ticksOf(load.child.pid ?? 0) - before;
  t.ok(ticks <= 10, `${ticks} ticks in two seconds`);
  await sidekey.start();
  await endLoad(t, load, RESTART_MAX_MS);
});

t.test('a program that begins while the keeper is restarted sees its token', async (t) => {
  const sidekey = await startInstance(t);
  const env = { ...process.env, ...sidekey.environment };
  for (let i = 0; i < 5; i++) {
    process.kill(sidekey.keeperPid() ?? 0, 'SIGKILL');
    const listed = spawnSync('pkcs11-tool', ['--module', MODULE, '--list-token-slots'], {
      env,
      encoding: 'utf8',
    });
    t.match(listed.stdout, /token label/, listed.stderr);
    await sidekey.ready();
  }
});

t.test('a program that finds the socket of a service that is gone gives up after a second', async (t) => {
  const sidekey = await startInstance(t);
  await sidekey.stopAgent('SIGKILL');
  process.kill(sidekey.keeperPid() ?? 0, 'SIGKILL');
  const env = { ...process.env, ...sidekey.environment };
  const began = performance.now();
  const listed = spawnSync('pkcs11-tool', ['--module', MODULE, '--list-slots'], { env, encoding: 'utf8' });
  t.equal(listed.status, 0, listed.stderr);
  t.notMatch(listed.stdout, /token label/);
  t.ok(performance.now() - began < 5000);
});
