/** The agent as a process, without a keeper: what it refuses, how it reloads and ends. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';

const SIDEKEY = resolve(import.meta.dirname, '../../bin/sidekey');

interface Scene {
  readonly config: string;
  readonly api: string;
  readonly agent: ChildProcess;
  readonly log: () => string;
}

function sidekey(...args: string[]) {
  return spawnSync(SIDEKEY, args, {
    encoding: 'utf8',
    timeout: 20_000,
    env: {},
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !condition(); i++) await sleep(25);
  if (!condition()) throw new Error('it never came to be');
}

/** An agent whose keeper somebody else would start. */
async function scene(t: Test): Promise<Scene> {
  const parent = mkdtempSync(join(tmpdir(), 'sidekey-'));
  t.teardown(() => rmSync(parent, { recursive: true }));
  const [config, api] = [join(parent, 'i/sidekey.yaml'), join(parent, 'i/api.sock')];
  const made = sidekey(
    'init',
    '--dir',
    join(parent, 'i'),
    '--token',
    'demo',
    '--pin',
    '1234',
    '--so-pin',
    '12345678',
  );
  if (made.status !== 0) throw new Error(made.stderr);
  edit(config, /start: true/, 'start: false');
  edit(config, /  pkcs11-mode: .*\n/, '');
  const agent = spawn(SIDEKEY, ['agent', '--config', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  let text = '';
  agent.stderr?.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
  t.teardown(() => agent.kill('SIGKILL'));
  await until(() => existsSync(api) || agent.exitCode !== null);
  return { config, api, agent, log: () => text };
}

function edit(file: string, from: RegExp, to: string): void {
  writeFileSync(file, readFileSync(file, 'utf8').replace(from, to));
}

t.test('an agent without a keeper serves, says that it cannot use keys, and ends cleanly', async (t) => {
  const { config, api, agent, log } = await scene(t);
  const status = sidekey('status', '--json', '--config', config);
  t.equal(status.status, 1);
  t.match(JSON.parse(status.stdout), {
    ready: false,
    agent: { pid: agent.pid },
    keeper: null,
    tokens: [{ label: 'demo', userPinSet: true }],
  });
  t.equal(statSync(api).mode & 0o777, 0o600);
  t.match(log(), /the key store has no passphrase/);
  agent.kill('SIGTERM');
  t.same(await once(agent, 'exit'), [0, null]);
  t.equal(existsSync(api), false);
  t.match(sidekey('audit', 'tail', '--config', config).stdout, /agent-stopped/);
  t.equal(sidekey('audit', 'verify', '--config', config).status, 0);
});

t.test('a second agent is refused, and the first one goes on', async (t) => {
  const { config } = await scene(t);
  const second = sidekey('agent', '--config', config);
  t.equal(second.status, 1);
  t.match(second.stderr, /already_running/);
  t.equal(sidekey('keys', 'ls', '--config', config).status, 0);
});

t.test('SIGHUP takes up all or nothing', async (t) => {
  const { config, agent, log } = await scene(t);
  edit(config, /level: info/, 'level: debug\nsoket: 1');
  agent.kill('SIGHUP');
  await until(() => log().includes('keeping the old configuration'));
  t.match(log(), /soket: unknown key/);
  edit(config, /soket: 1/, '');
  edit(config, /sidekey\.db/, 'other.db');
  agent.kill('SIGHUP');
  await until(() => log().includes('restart the agent'));
  edit(config, /other\.db/, 'sidekey.db');
  agent.kill('SIGHUP');
  await until(() => log().includes('reloaded the configuration'));
  agent.kill('SIGTERM');
  t.same(await once(agent, 'exit'), [0, null]);
});

t.test('an agent is not dumpable', async (t) => {
  const { agent } = await scene(t);
  const limits = readFileSync(`/proc/${agent.pid}/limits`, 'utf8');
  t.match(limits, /Max core file size\s+0\s+0/);
  t.equal(statSync(`/proc/${agent.pid}/mem`).uid, 0, 'the kernel gives its files to root');
});
