import { spawn } from 'node:child_process';
import { createServer, connect } from 'node:net';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { findNumber, parseNumber } from '../../src/access/account-names.ts';
import { matchesGlob } from '../../src/access/glob.ts';
import type { AccessOperation } from '../../src/access/operations.ts';
import { lockFile, openPeerProcess } from '../../src/access/peer-credentials.ts';
import {
  completePeer,
  parseStartTime,
  parseUnit,
  readPeer,
  readProcess,
} from '../../src/access/peer-reader.ts';
import type { Peer } from '../../src/access/peer.ts';
import { createAccessPolicy, matchesRule, type AccessRule } from '../../src/access/rules.ts';

const peer: Peer = {
  pid: 10,
  startTime: '5',
  uid: 1000,
  gid: 1000,
  groups: [27, 33],
  executable: '/usr/bin/ssh',
  unit: 'backup.service',
};

function policy(allow: readonly AccessRule[], createTokens = false) {
  const tokens = () => [{ label: 'demo', allow }];
  return createAccessPolicy({ ownUid: 500, tokens, createTokens: () => createTokens });
}

for (const [what, rule] of [
  ['another uid', { uid: 1001 }],
  ['a group it is not in', { gid: 28 }],
  ['another program', { executable: '/usr/bin/scp' }],
  ['another unit', { unit: 'other.service' }],
  ['one condition of two', { uid: 1000, executable: '/usr/bin/scp' }],
  ['no condition at all', {}],
] as const) {
  t.test(`${what} does not admit`, async (t) => t.equal(matchesRule(rule, peer), false));
}

for (const rule of [
  { uid: 1000 },
  { gid: 1000 },
  { gid: 33 },
  { executable: '/usr/bin/ssh', uid: 1000 },
  { any: true },
] as const) {
  t.test(`${JSON.stringify(rule)} admits`, async (t) => t.equal(matchesRule(rule, peer), true));
}

t.test('what is unknown of a peer matches no rule', async (t) => {
  const unknown = { ...peer, executable: null, unit: null };
  t.equal(matchesRule({ executable: '/usr/bin/ssh' }, unknown), false);
  t.equal(matchesRule({ unit: 'backup.service' }, unknown), false);
});

t.test('without rules the uid that owns the agent is admitted alone, not even root', async (t) => {
  t.equal(policy([]).admits({ ...peer, uid: 500 }, 'demo'), true);
  t.equal(policy([]).admits({ ...peer, uid: 0 }, 'demo'), false);
  t.equal(policy([{ any: true }]).admits(peer, 'another token'), false);
  t.equal(policy([{ any: true }]).admits(peer, 'demo'), true);
});

t.test('tokens are created by the owner, when the configuration says so', async (t) => {
  t.equal(policy([]).mayCreateTokens({ ...peer, uid: 500 }), false);
  t.equal(policy([], true).mayCreateTokens({ ...peer, uid: 500 }), true);
  t.equal(policy([{ any: true }], true).mayCreateTokens(peer), false);
});

t.test('a start time is found behind any name', async (t) => {
  const rest = Array.from({ length: 30 }, (_, i) => String(i + 3)).join(' ');
  t.equal(parseStartTime(`1 (a) b) (c) ${rest}`), '22');
  t.equal(parseStartTime(''), null);
});

t.test("a unit is the system's, whatever groups stand below it", async (t) => {
  t.equal(parseUnit('0::/system.slice/ssh.service\n'), 'ssh.service');
  t.equal(parseUnit('0::/system.slice/system-getty.slice/getty@tty1.service\n'), 'getty@tty1.service');
  t.equal(parseUnit('0::/init.scope\n'), 'init.scope');
  t.equal(parseUnit('0::/../../system.slice/ssh.service\n'), 'ssh.service', 'from within a namespace');
  const session = '0::/user.slice/user-1.slice/user@1.service/app.slice';
  t.equal(parseUnit(`${session}/backup.service`), 'user@1.service', 'a service of a user');
  t.equal(parseUnit('0::/system.slice/docker-1.scope/system.slice/backup.service'), 'docker-1.scope');
  t.equal(parseUnit('0::/lxc.payload.c/system.slice/backup.service'), null, 'of a container');
  t.equal(parseUnit('0::/\n'), null);
  t.equal(parseUnit('1:name=systemd:/system.slice/ssh.service'), null, 'only of the unified hierarchy');
});

t.test('names are looked up', async (t) => {
  t.equal(findNumber('passwd', 'root'), 0);
  t.equal(findNumber('group', 'no-such-group'), null);
  t.equal(parseNumber('a:x:7:7::\nb:x:nine:', 'b'), null);
});

t.test('the kernel says who is at the other end', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sidekey-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const server = createServer().listen(join(folder, 's'));
  const client = connect(join(folder, 's'));
  const [socket] = await once(server, 'connection');
  const found = readPeer(socket);
  t.match(found, { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() });
  t.equal(found.startTime, parseStartTime(readFileSync('/proc/self/stat', 'utf8')));
  t.equal(typeof found.executable, 'string');
  client.destroy();
  socket.destroy();
  await once(socket, 'close');
  t.throws(() => readPeer(socket), { code: 'internal' });
  server.close();
});

t.test('of a process that is gone nothing is believed', async (t) => {
  const gone = completePeer({ pid: 0x3fffff, uid: 0, gid: 0, groups: [] });
  t.match(gone, { startTime: null, executable: null, unit: null });
});

t.test('a lock is held once', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sidekey-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const lock = lockFile(join(folder, 'lock'));
  t.equal(lockFile(join(folder, 'lock')), null);
  lock?.release();
  t.ok(lockFile(join(folder, 'lock')));
});

t.test('a rule for keys and operations permits these alone', async (t) => {
  const limited = policy([
    { uid: 1000, keys: ['orders-*'], operations: ['encrypt', 'verify'] },
    { unit: 'backup.service', keys: ['a', 'b'] },
    { uid: 7 },
  ]);
  const may = (key: string, operation: AccessOperation, who = peer) =>
    limited.permits(who, 'demo', key, operation);
  t.equal(may('orders-1', 'encrypt'), true);
  t.equal(may('orders-1', 'decrypt'), false);
  t.equal(may('orders', 'encrypt'), false);
  t.equal(may('b', 'destroy'), true, 'a rule without operations is for all of them');
  t.equal(may('anything', 'administer', { ...peer, uid: 7 }), true);
  t.equal(limited.admits(peer, 'demo'), true);
  t.equal(limited.sees(peer, 'demo', 'c'), false);
  t.equal(limited.sees(peer, 'demo', 'orders-9'), true);
  t.equal(limited.sees(peer, 'demo', null), false);
  t.equal(limited.sees({ ...peer, uid: 7 }, 'demo', null), true);
});

t.test('a decision names the rule, and what kept the others from deciding', async (t) => {
  const rules = policy([
    { uid: 1 },
    { uid: 1000, keys: ['x'] },
    { uid: 1000, operations: ['sign'] },
    { uid: 1000, keys: ['k'], operations: ['encrypt'] },
  ]);
  t.strictSame(rules.decide(peer, 'demo', 'k', 'encrypt'), {
    ...{ allowed: true, rule: 'tokens[0].allow[3]' },
    considered: [
      { rule: 'tokens[0].allow[0]', because: 'uid' },
      { rule: 'tokens[0].allow[1]', because: 'keys' },
      { rule: 'tokens[0].allow[2]', because: 'operations' },
      { rule: 'tokens[0].allow[3]', because: null },
    ],
  });
  t.match(rules.decide(peer, 'demo', 'k', 'derive'), { allowed: false, rule: null });
  t.match(policy([]).decide(peer, 'demo', 'k', 'sign'), {
    allowed: false,
    considered: [{ rule: /^no rules: /, because: 'uid' }],
  });
});

t.test('patterns: any characters, one character, and no time to burn', async (t) => {
  for (const [text, pattern, expected] of [
    ['orders-1', 'orders-*', true],
    ['orders-', 'orders-*', true],
    ['xorders-1', 'orders-*', false],
    ['abc', 'a?c', true],
    ['ac', 'a?c', false],
    ['a*c', 'a*c', true],
    ['', '*', true],
    ['', '', true],
    ['x', '', false],
    ['a.c', 'abc', false],
    ['/kubepods/pod1/c', '/kubepods*', true],
    ['abab', '*ab', true],
    ['ab\nc', 'ab*', true],
  ] as const)
    t.equal(matchesGlob(text, pattern), expected, `${text} ${pattern}`);
  const startedAt = performance.now();
  t.equal(matchesGlob('a'.repeat(4096), `${'a*'.repeat(120)}b`), false);
  t.ok(performance.now() - startedAt < 2000);
});

t.test('a cgroup is matched by its path', async (t) => {
  const pod = { ...peer, cgroup: '/kubepods.slice/pod7f3a/cri-1.scope' };
  t.equal(matchesRule({ cgroup: '/kubepods*/pod7f3a*' }, pod), true);
  t.equal(matchesRule({ cgroup: '/kubepods*/pod9*' }, pod), false);
  t.equal(matchesRule({ cgroup: '*' }, { ...peer, cgroup: null }), false);
});

t.test('a process by its pid, as its connection would show it', async (t) => {
  const found = readProcess(process.pid);
  t.match(found, { pid: process.pid, uid: process.geteuid?.(), gid: process.getegid?.() });
  // getgroups(2) as Node has it always names the effective group as well.
  const groups = new Set([found?.gid, ...(found?.groups ?? [])]);
  t.same(groups, new Set([found?.gid, ...(process.getgroups?.() ?? [])]));
  t.equal(readProcess(0x3fffff), null);
});

t.test(
  'of a process that ended while another holds its connection nothing of /proc is believed',
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'sidekey-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 's');
    const server = createServer().listen(path);
    t.teardown(() => server.close());
    // The parent connects and ends; its child keeps the connection.
    const script = `import os, socket, sys, time
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.send(b"x")
if os.fork(): os._exit(0)
os.close(1); os.close(2); s.recv(1)`;
    const client = spawn('python3', ['-c', script, path], { stdio: 'ignore' });
    const [[socket]] = await Promise.all([once(server, 'connection'), once(client, 'exit')]);
    const found = readPeer(socket);
    t.match(found, { pid: client.pid, startTime: null, executable: null, unit: null });
    const ended = openPeerProcess(socket);
    t.ok(ended === null || ended.hasEnded());
    ended?.close();
    socket.destroy();
  },
);
