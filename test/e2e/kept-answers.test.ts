/** Answers about objects that modules keep: that they are kept, and that nobody is given one that holds no more. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { MODULE, PIN, startInstance, type Instance } from './instance.ts';
import { transitClient } from './transit-client.ts';

const HANDLE_INVALID = '0x82';
/** Of a question that waits for an agent that does not run: its deadline is 10 s. */
const AT_ONCE_MS = 3000;

/** A process of its own that answers one command at a time. */
function open(t: Test, sidekey: Instance, env: Record<string, string> = {}) {
  const program = spawn('python3', [join(import.meta.dirname, 'kept_answers.py')], {
    env: { ...process.env, ...sidekey.environment, MODULE, PIN, PYTHONDONTWRITEBYTECODE: '1', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => program.kill('SIGKILL'));
  const lines = createInterface(program.stdout);
  return async (...command: (string | number)[]): Promise<string> => {
    const answered = once(lines, 'line');
    program.stdin.write(`${command.join(' ')}\n`);
    return String((await answered)[0]);
  };
}

async function two(t: Test) {
  const sidekey = await startInstance(t);
  return { sidekey, a: open(t, sidekey), b: open(t, sidekey) };
}

/** Whether it answers while the agent, which alone knows the answer, stands still. */
async function fromMemory(sidekey: Instance, ask: () => Promise<string>): Promise<string | null> {
  process.kill(sidekey.agentPid, 'SIGSTOP');
  try {
    return await Promise.race([ask(), sleep(AT_ONCE_MS, null)]);
  } finally {
    process.kill(sidekey.agentPid, 'SIGCONT');
  }
}

t.test(
  'what was asked once is answered without the agent, for every session and until it changes',
  async (t) => {
    const { sidekey, a, b } = await two(t);
    const handle = await a('make', 'one', 0);
    t.equal(await b('find', 'one'), handle);
    t.equal(await b('label', handle), 'one');
    t.equal(await fromMemory(sidekey, () => b('find', 'one')), handle);
    t.equal(await fromMemory(sidekey, () => b('label', handle)), 'one');
    await a('change', handle, 'other');
    t.equal(await fromMemory(sidekey, () => b('label', handle)), null, 'it is asked for anew');
  },
);

t.test('another process sees each change at once', async (t) => {
  const { a, b } = await two(t);
  const handle = await a('make', 'x', 0);
  const wrong: string[] = [];
  let before = 'x';
  for (let i = 0; i < 200; i++) {
    await b('find', before);
    await b('label', handle);
    await a('change', handle, `x${i}`);
    const seen = [await b('label', handle), await b('find', before), await b('find', `x${i}`)];
    if (seen.join() !== [`x${i}`, '', handle].join()) wrong.push(seen.join());
    before = `x${i}`;
  }
  t.strictSame(wrong, []);
  for (let i = 0; i < 50; i++) {
    if ((await b('find', 'made')) !== '') wrong.push(`too soon ${i}`);
    const made = await a('make', 'made', 0);
    if ((await b('find', 'made')) !== made || (await b('label', made)) !== 'made') wrong.push(`late ${i}`);
    await a('destroy', made);
    if ((await b('label', made)) !== HANDLE_INVALID) wrong.push(`there still ${i}`);
  }
  t.strictSame(wrong, []);
});

t.test('a logout hides private objects at once, and a login shows them', async (t) => {
  const sidekey = await startInstance(t);
  const a = open(t, sidekey);
  const handle = await a('make', 'hidden', 1);
  for (let i = 0; i < 20; i++) {
    t.equal(await a('find', 'hidden'), handle);
    t.equal(await a('label', handle), 'hidden');
    await a('logout');
    t.equal(await a('find', 'hidden'), '');
    t.equal(await a('label', handle), HANDLE_INVALID);
    await a('login', PIN);
  }
});

t.test('objects of the session itself come and go with what it does', async (t) => {
  const sidekey = await startInstance(t);
  const a = open(t, sidekey);
  for (let i = 0; i < 20; i++) {
    t.equal(await a('find', 'mine'), '');
    const handle = await a('make', 'mine', 0, 0);
    t.equal(await a('find', 'mine'), handle);
    t.equal(await a('label', handle), 'mine');
    await a('destroy', handle);
    t.equal(await a('label', handle), HANDLE_INVALID);
  }
});

t.test('the value of a private object is never kept', async (t) => {
  const sidekey = await startInstance(t);
  const a = open(t, sidekey);
  const [hidden, open_] = [await a('make', 'hidden', 1), await a('make', 'open', 0)];
  for (let i = 0; i < 2; i++) {
    t.equal(await a('value', hidden), 'value of hidden');
    t.equal(await a('value', open_), 'value of open');
  }
  t.equal(await fromMemory(sidekey, () => a('value', open_)), 'value of open');
  t.equal(await fromMemory(sidekey, () => a('value', hidden)), null);
});

t.test('what the HTTP API changes is seen at once', async (t) => {
  const { sidekey, a } = await two(t);
  const api = transitClient(sidekey);
  for (let i = 0; i < 10; i++) {
    t.equal(await a('find', `key${i}`), '');
    await api('POST', `/transit/keys/key${i}`);
    const handle = await a('find', `key${i}`);
    t.match(handle, /^\d+$/);
    t.equal(await a('label', handle), `key${i}`);
    await api('POST', `/transit/keys/key${i}/config`, { deletion_allowed: true });
    await api('DELETE', `/transit/keys/key${i}`);
    t.equal(await a('label', handle), HANDLE_INVALID);
  }
});

t.test('nothing that was kept outlives the keeper, or an agent that comes with other rules', async (t) => {
  const { sidekey, a, b } = await two(t);
  const handle = await a('make', 'one', 0);
  t.equal(await b('label', handle), 'one');
  process.kill(sidekey.keeperPid() ?? 0, 'SIGKILL');
  t.equal(await a('change', handle, 'two'), '');
  t.equal(await b('label', handle), 'two', 'the keeper was killed');
  await sidekey.stopAgent('SIGKILL');
  await sidekey.start();
  t.equal(await b('label', handle), 'two');
  const yaml = readFileSync(sidekey.config, 'utf8');
  writeFileSync(sidekey.config, yaml.replace(/uid: 0/, 'uid: 4242'));
  process.kill(sidekey.agentPid, 'SIGHUP');
  for (let i = 0; i < 100 && !/reloaded/.test(sidekey.log); i++) await sleep(50);
  t.match(await b('label', handle), /^0x/, 'nobody here is admitted any more');
});

t.test('a process that writes an epoch into its own memory deceives itself alone', async (t) => {
  const { sidekey, a, b } = await two(t);
  const c = open(t, sidekey);
  const handle = await a('make', 'old', 0);
  const before = await b('epoch');
  t.equal(await b('label', handle), 'old');
  t.equal(await c('label', handle), 'old');
  await a('change', handle, 'new');
  t.not(await b('epoch'), before);
  await b('epoch', before);
  t.equal(await b('label', handle), 'old', 'as it wanted it');
  t.equal(await c('label', handle), 'new');
  t.equal(await a('label', handle), 'new');
  await a('change', handle, 'newer');
  t.equal(await c('label', handle), 'newer');
  t.equal(await open(t, sidekey)('label', handle), 'newer', 'and the keeper goes on');
});

const USER_PIN_COUNT_LOW = 0x10000;

t.test('what a token is, is asked once, and what befalls it is seen at once', async (t) => {
  const { sidekey, a, b } = await two(t);
  const flags = Number(await b('flags'));
  t.equal(flags & USER_PIN_COUNT_LOW, 0);
  t.equal(await fromMemory(sidekey, () => b('flags')), String(flags));
  await a('logout');
  for (let i = 0; i < 5; i++) {
    t.equal(await a('login', 'wrong'), '0xa0');
    t.equal(Number(await b('flags')), flags | USER_PIN_COUNT_LOW);
    t.equal(await a('login', PIN), '');
    t.equal(Number(await b('flags')), flags);
    await a('logout');
  }
});

t.test('a key that was searched for and stands open needs no agent for its first use', async (t) => {
  const sidekey = await startInstance(t);
  writeFileSync(
    sidekey.config,
    readFileSync(sidekey.config, 'utf8').replace(
      /^( +)(- label: .*)$/m,
      '$1$2\n$1  audit: { each: [watched] }',
    ),
  );
  await sidekey.stopAgent('SIGTERM');
  await sidekey.start();
  const a = open(t, sidekey);
  const [key, watched] = [await a('key', 'plain'), await a('key', 'watched')];
  const tags = [await a('mac', key), await a('mac', watched)];
  const b = open(t, sidekey);
  t.equal(await b('find', 'plain'), key);
  t.equal(await b('find', 'watched'), watched);
  t.equal(await fromMemory(sidekey, () => b('mac', key)), tags[0]);
  t.equal(await fromMemory(sidekey, () => b('mac', watched)), null, 'each use of this one is asked for');
  const c = open(t, sidekey);
  t.equal(await c('find', 'plain'), key);
  await c('logout');
  t.match(await c('mac', key), /^0x/, 'what was bound ended with the login');
  await c('login', PIN);
  t.match(await c('mac', key), /^0x/, 'and so did its handle');
  t.equal(await c('find', 'plain'), key);
  t.equal(await c('mac', key), tags[0]);
});

t.test('agent or keeper may die between the search and the first use', async (t) => {
  const sidekey = await startInstance(t);
  const a = open(t, sidekey);
  const key = await a('key', 'plain');
  const tag = await a('mac', key);
  const [b, c] = [open(t, sidekey), open(t, sidekey)];
  t.equal(await b('find', 'plain'), key);
  await sidekey.stopAgent('SIGKILL');
  await sidekey.start();
  t.equal(await b('mac', key), tag, 'the agent came anew');
  t.equal(await c('find', 'plain'), key);
  process.kill(sidekey.keeperPid() ?? 0, 'SIGKILL');
  t.equal(await c('mac', key), tag, 'the keeper did');
});

t.test('without shared memory nothing is kept', async (t) => {
  const sidekey = await startInstance(t);
  const a = open(t, sidekey, { SIDEKEY_RING: '0' });
  const handle = await a('make', 'one', 0);
  t.equal(await a('label', handle), 'one');
  t.equal(await fromMemory(sidekey, () => a('label', handle)), null);
});
