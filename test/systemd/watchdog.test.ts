/** What the agent tells systemd's watchdog: by time that is handed in, and by a real agent and a socket as systemd's. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { KEEPER_SILENT_MS, reportEveryMs, Watchdog } from '../../src/watchdog.ts';
import { initInstance, temporaryDirectory } from '../e2e/instance.ts';

const PERIOD_MS = 900;

t.test('three reports in each period, if this process is meant', async (t) => {
  t.equal(reportEveryMs({ WATCHDOG_USEC: '60000000', WATCHDOG_PID: '7' }, 7), 20_000);
  t.equal(reportEveryMs({ WATCHDOG_USEC: '60000000' }, 7), 20_000);
  t.equal(reportEveryMs({ WATCHDOG_USEC: '1' }, 7), 1);
  t.equal(reportEveryMs({ WATCHDOG_USEC: '60000000', WATCHDOG_PID: '8' }, 7), null);
  for (const usec of ['', '0', '-1', '1e9', '10s', '86400000001', '9'.repeat(30)])
    t.equal(reportEveryMs({ WATCHDOG_USEC: usec }, 7), null, usec);
  t.equal(reportEveryMs({}, 7), null);
});

/** A keeper that answers, or not, as it is told. */
function scene() {
  const keeper = {
    pid: 1 as number | null,
    answers: true,
    asked: 0,
    async state() {
      this.asked++;
      if (!this.answers) throw new Error('deadline');
    },
  };
  let now = 0;
  let reports = 0;
  const watchdog = new Watchdog(
    keeper,
    () => now,
    () => void reports++,
  );
  const look = async (at: number): Promise<boolean> => {
    const before = reports;
    now = at;
    watchdog.look();
    await sleep(0);
    return reports > before;
  };
  return { keeper, look };
}

t.test('the reports stop when the keeper has answered nothing for twice its longest work', async (t) => {
  const { keeper, look } = scene();
  t.ok(await look(1000));
  keeper.answers = false;
  t.ok(await look(1000 + KEEPER_SILENT_MS - 1));
  t.notOk(await look(1000 + KEEPER_SILENT_MS));
  keeper.answers = true;
  await look(2000 + KEEPER_SILENT_MS);
  t.ok(await look(3000 + KEEPER_SILENT_MS), 'and begin again when it answers');
  t.equal(keeper.asked, 5, 'each look asks it');
});

t.test('without a keeper the agent reports: it is looking for one', async (t) => {
  const { keeper, look } = scene();
  keeper.pid = null;
  t.ok(await look(10 * KEEPER_SILENT_MS));
  t.equal(keeper.asked, 0);
  keeper.pid = 2;
  keeper.answers = false;
  t.ok(await look(11 * KEEPER_SILENT_MS - 1), 'a new one has the whole time');
  t.notOk(await look(11 * KEEPER_SILENT_MS));
});

t.test('a keeper that is slow is asked one question at a time', async (t) => {
  let asked = 0;
  const keeper = { pid: 1, state: () => new Promise((done) => (asked++, setTimeout(done, 30))) };
  const watchdog = new Watchdog(
    keeper,
    () => 0,
    () => undefined,
  );
  for (let i = 0; i < 5; i++) watchdog.look();
  t.equal(asked, 1);
});

interface Said {
  readonly pid: number;
  readonly text: string;
}

async function notifySocket(t: Test): Promise<{ path: string; said: Said[]; faults: () => string }> {
  const path = join(temporaryDirectory(t), 'notify');
  const socket = spawn('python3', [join(import.meta.dirname, 'notify_socket.py'), path]);
  t.teardown(() => socket.kill('SIGKILL'));
  const said: Said[] = [];
  let faults = '';
  socket.stderr.on('data', (chunk) => (faults += chunk));
  const lines = createInterface({ input: socket.stdout });
  await once(lines, 'line');
  lines.on('line', (line) => {
    const [, pid, text = ''] = /^\S+ (\d+) (.*)$/.exec(line) ?? [];
    said.push({ pid: Number(pid), text: JSON.parse(text) });
  });
  return { path, said, faults: () => faults };
}

t.test('a real agent', { timeout: 60_000 }, async (t) => {
  const { path, said, faults } = await notifySocket(t);
  const sidekey = initInstance(t);
  const counted = async (ms: number): Promise<number> => {
    const before = said.length;
    await sleep(ms);
    const added = said.slice(before);
    t.ok(
      added.every(({ pid, text }) => pid === sidekey.agentPid && text === 'WATCHDOG=1'),
      'nothing else',
    );
    return added.length;
  };
  sidekey.startAgent(['env', `NOTIFY_SOCKET=${path}`, `WATCHDOG_USEC=${PERIOD_MS * 1000}`]);
  await sidekey.ready();
  for (let i = 0; i < 100 && said.length === 0; i++) await sleep(100);
  t.equal(said[0]?.text, 'READY=1');
  const seen = await counted(2 * PERIOD_MS);
  t.ok(seen > 2 && seen <= 7, `${seen} reports in two periods`);

  process.kill(sidekey.agentPid, 'SIGSTOP');
  await sleep(50);
  t.equal(await counted(PERIOD_MS), 0, 'an agent that stands still says nothing');
  process.kill(sidekey.agentPid, 'SIGCONT');
  process.kill(sidekey.keeperPid() ?? 0, 'SIGSTOP');
  t.ok((await counted(PERIOD_MS)) > 0, 'one whose keeper does not answer for a moment does');
  process.kill(sidekey.keeperPid() ?? 0, 'SIGKILL');
  t.ok((await counted(PERIOD_MS)) > 0, 'and one whose keeper is being replaced');
  await sidekey.ready();
  t.equal(await sidekey.stopAgent(), 0);
  await sleep(100);
  t.equal(said.at(-1)?.text, 'STOPPING=1');
  t.equal(faults(), '', 'systemd would have understood each datagram');
});
