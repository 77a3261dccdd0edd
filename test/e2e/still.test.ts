/**
 * Agent and keeper that stand still (SIGSTOP, a frozen container, a machine that swaps) and go on: whoever waits has its deadline,
 * nobody is taken for dead, and nothing is lost or done twice. recovery.test.ts has the same under single-part operations.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { churnBeside } from './churned.ts';

/** Who waits has its deadline after ten. */
const STILL_MS = 5000;

async function standStill(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  await sleep(STILL_MS);
  process.kill(pid, 'SIGCONT');
  await sleep(300);
}

t.test('agent and keeper stand still for five seconds each, then both at once', async (t) => {
  await churnBeside(t, 1, async (sidekey) => {
    const [keeper, agent] = [sidekey.keeperPid() ?? 0, sidekey.agentPid];
    await sleep(300);
    await standStill(keeper);
    await standStill(agent);
    await Promise.all([standStill(keeper), standStill(agent)]);
    t.equal(sidekey.keeperPid(), keeper);
    t.equal(sidekey.status().agent.pid, agent, 'nobody was taken for dead');
  });
});
