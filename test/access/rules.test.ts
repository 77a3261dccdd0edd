import { createServer, connect } from 'node:net';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { findNumber, parseNumber } from '../../src/access/account-names.ts';
import { lockFile } from '../../src/access/peer-credentials.ts';
import { completePeer, parseStartTime, parseUnit, readPeer } from '../../src/access/peer-reader.ts';
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

t.test('a unit is the innermost service or scope', async (t) => {
  t.equal(parseUnit('0::/system.slice/ssh.service\n'), 'ssh.service');
  t.equal(parseUnit('0::/user.slice/user-1.slice/user@1.service/app.slice/a.scope'), 'a.scope');
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
