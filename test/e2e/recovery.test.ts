/**
 * Kills under load: 8 threads of single-part operations never see an error, only a pause. How often, and how long a pause
 * may be, say SIDEKEY_KILLS and SIDEKEY_PAUSE_MS: `npm run test:soak` says 100 and 500 on a machine of its own; beside other
 * tests on two cores a call has its deadline.
 */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { startInstance } from './instance.ts';
import { endLoad, RESTART_MAX_MS, startLoad } from './load.ts';
import { serves } from './pauses.ts';

const KILLS = Number(process.env['SIDEKEY_KILLS'] ?? 10);
const PAUSE_MAX_MS = Number(process.env['SIDEKEY_PAUSE_MS'] ?? 9000);

t.test(`the keeper is killed ${KILLS} times`, { timeout: 600_000 }, async (t) => {
  const sidekey = await startInstance(t);
  const load = await startLoad(t, sidekey);
  for (let i = 0; i < KILLS; i++) {
    await sleep(300 + Math.random() * 400);
    const pid = sidekey.keeperPid();
    load.trace.note('kill');
    if (pid !== null) process.kill(pid, 'SIGKILL');
  }
  await sleep(1500);
  await endLoad(t, load, PAUSE_MAX_MS);
});

t.test(`the agent is killed ${KILLS} times and started again`, { timeout: 600_000 }, async (t) => {
  const sidekey = await startInstance(t);
  const load = await startLoad(t, sidekey);
  for (let i = 0; i < KILLS; i++) {
    await sleep(200 + Math.random() * 300);
    load.trace.note('kill');
    await sidekey.stopAgent('SIGKILL');
    sidekey.startAgent();
    await serves(sidekey);
  }
  await endLoad(t, load, PAUSE_MAX_MS);
});

t.test(`agent and keeper are killed at once ${KILLS} times`, { timeout: 900_000 }, async (t) => {
  const sidekey = await startInstance(t);
  const load = await startLoad(t, sidekey);
  for (let i = 0; i < KILLS; i++) {
    await sleep(200 + Math.random() * 300);
    const pid = sidekey.keeperPid();
    load.trace.note('kill');
    const ended = sidekey.stopAgent('SIGKILL');
    if (pid !== null) process.kill(pid, 'SIGKILL');
    await ended;
    sidekey.startAgent();
    await serves(sidekey);
  }
  await endLoad(t, load, RESTART_MAX_MS);
});

t.test('agent and keeper are killed one after the other, in any order', async (t) => {
  const sidekey = await startInstance(t);
  const load = await startLoad(t, sidekey);
  const killKeeper = async (): Promise<void> => void process.kill(sidekey.keeperPid() ?? 0, 'SIGKILL');
  const killAgent = async (): Promise<void> => {
    await sidekey.stopAgent('SIGKILL');
    sidekey.startAgent();
  };
  for (const kill of [killKeeper, killAgent, killAgent, killKeeper, killKeeper, killAgent]) {
    await kill();
    await sidekey.ready();
  }
  await endLoad(t, load, PAUSE_MAX_MS);
});

t.test('who logged out, or ended, before both are killed is not logged in afterwards', async (t) => {
  const sidekey = await startInstance(t);
  const load = await startLoad(t, sidekey);
  using db = new DatabaseSync(join(sidekey.dir, 'store/sidekey.db'), { readOnly: true });
  const logins = db.prepare('SELECT * FROM login');
  t.equal(logins.all().length, 1, 'while it runs');
  await endLoad(t, load, PAUSE_MAX_MS);
  await sleep(200);
  t.same(logins.all(), []);
});

t.test('the whole service is stopped and started again', async (t) => {
  const sidekey = await startInstance(t);
  const load = await startLoad(t, sidekey);
  await sleep(500);
  t.equal(await sidekey.stopAgent('SIGTERM'), 0, 'the agent ends cleanly and takes its keeper along');
  t.equal(sidekey.keeperPid(), null);
  await sidekey.start();
  await sleep(500);
  await endLoad(t, load, RESTART_MAX_MS);
});

t.test('a keeper or an agent that stands still for three seconds is a pause', async (t) => {
  const sidekey = await startInstance(t);
  for (const pid of [sidekey.keeperPid() ?? 0, sidekey.status().agent.pid]) {
    const load = await startLoad(t, sidekey);
    await sleep(500);
    process.kill(pid, 'SIGSTOP');
    await sleep(3000);
    process.kill(pid, 'SIGCONT');
    await sleep(500);
    await endLoad(t, load, RESTART_MAX_MS);
  }
  t.equal(sidekey.keeperPid(), sidekey.status().keeper.pid, 'nobody took it for dead');
});
