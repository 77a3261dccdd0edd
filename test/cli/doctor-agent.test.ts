/** What doctor says when the agent, or its keeper, is not there or does not answer: the cause, within a bounded time, and a cure. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { initInstance, ROOT, startInstance, type Instance } from '../e2e/instance.ts';

/** To its end, however long that takes. */
async function doctor({ config }: Instance): Promise<{ code: unknown; said: string }> {
  const child = spawn(join(ROOT, 'bin/sidekey'), ['doctor', '--config', config], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said = text(child.stdout);
  const [code] = await once(child, 'exit');
  return { code, said: await said };
}

function freeze(t: Test, pid: number): void {
  process.kill(pid, 'SIGSTOP');
  t.teardown(() => process.kill(pid, 'SIGCONT'));
}

t.test('who was never started, and whose sockets were left over by a kill', async (t) => {
  const sidekey = initInstance(t);
  t.match(
    (await doctor(sidekey)).said,
    /warn  agent: no agent runs: its socket does not exist .*sidekey agent --config/,
  );
  await sidekey.start();
  const keeper = sidekey.keeperPid() ?? 0;
  rmSync(sidekey.api);
  t.match(
    (await doctor(sidekey)).said,
    new RegExp(
      `bad   agent: pid ${sidekey.agentPid} is an agent of this store, but its socket is gone.*start it again`,
    ),
  );
  await sidekey.stopAgent('SIGKILL');
  await sidekey.start();
  await sidekey.stopAgent('SIGKILL');
  process.kill(keeper, 'SIGKILL');
  t.match((await doctor(sidekey)).said, /warn  agent: no agent runs: its socket is left over/);
});

t.test('an agent that stands still is asked once', { timeout: 120_000 }, async (t) => {
  const sidekey = await startInstance(t);
  freeze(t, sidekey.agentPid);
  const began = performance.now();
  const { code, said } = await doctor(sidekey);
  t.match(
    said,
    /bad   agent: somebody listens .* and does not answer within 15 s.*To fix it: look at its log/,
  );
  t.equal(code, 1);
  t.ok(performance.now() - began < 40_000, 'and not by each check');
});

t.test('a keeper that stands still', { timeout: 120_000 }, async (t) => {
  const sidekey = await startInstance(t);
  freeze(t, sidekey.keeperPid() ?? 0);
  const { code, said } = await doctor(sidekey);
  t.match(said, /bad   keeper: pid \d+: it is attached and does not answer.*kill -CONT/);
  t.match(said, /ok    agent: /);
  t.equal(code, 1);
});

t.test('a keeper that is not where the configuration says', async (t) => {
  const edit = (yaml: string): string =>
    yaml.replace(/^keeper:\n(  path: .*\n)?/m, 'keeper:\n  path: /nonexistent/keeper\n');
  const { code, said } = await doctor(initInstance(t, { edit }));
  t.match(said, /bad   keeper: no keeper program at .nonexistent.keeper.*another keeper.path/);
  t.equal(code, 1);
});

t.test('an agent whose socket has no folder says so', async (t) => {
  const edit = (yaml: string): string => yaml.replace(/api: .*/, 'api: /nonexistent/api.sock');
  const { status, stderr } = initInstance(t, { edit }).sidekey('agent');
  t.equal(status, 1);
  t.match(stderr, /socket_refused: .nonexistent.api.sock: .*its directory does not exist/);
});
