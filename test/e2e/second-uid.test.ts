/** What a local user gets who is let in to use nothing: the sockets stand open, and everything behind them is shut. */
import { spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import t from 'tap';
import { MODULE, startInstance } from './instance.ts';

const NOBODY = 65534;
const notRoot = process.getuid?.() !== 0 && 'only root can run a program under another uid';

const OPEN = (yaml: string): string =>
  yaml.replace(/pkcs11-mode: .*/, 'pkcs11-mode: "0666"').replace(/api-mode: .*/, 'api-mode: "0666"');

/** Prints what was let through, a line each. */
const TRY_DOORS = `
import os, signal, socket, sys
folder, keeper, agent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def connect(path):
    socket.socket(socket.AF_UNIX).connect(path)

def attempt(name, work, *args):
    try:
        work(*args)
        print(name)
    except PermissionError:
        pass

attempt('pkcs11', connect, folder + '/pkcs11.sock')
attempt('api', connect, folder + '/api.sock')
attempt('control', connect, folder + '/store/control.sock')
attempt('config', open, folder + '/sidekey.yaml')
attempt('kek', open, folder + '/store/kek')
attempt('folder', os.listdir, folder)
attempt('store', os.listdir, folder + '/store')
attempt('a new file', open, folder + '/mine', 'w')
attempt('another socket', os.unlink, folder + '/api.sock')
for name, pid in (('keeper', keeper), ('agent', agent)):
    attempt(name + ' descriptors', os.listdir, '/proc/%d/fd' % pid)
    attempt(name + ' maps', lambda path: open(path).read(), '/proc/%d/maps' % pid)
    attempt(name + ' memory', open, '/proc/%d/mem' % pid)
    attempt(name + ' environment', lambda path: open(path).read(), '/proc/%d/environ' % pid)
    attempt(name + ' killed', os.kill, pid, signal.SIGTERM)
`;

t.test('a user without any right', { skip: notRoot }, async (t) => {
  const sidekey = await startInstance(t, { edit: OPEN });
  chmodSync(sidekey.dir, 0o711);
  const { keeper, agent } = sidekey.status();
  const as = { uid: NOBODY, gid: NOBODY, encoding: 'utf8', timeout: 60_000 } as const;
  const pids = [String(keeper.pid), String(agent.pid)];
  const doors = spawnSync('python3', ['-c', TRY_DOORS, sidekey.dir, ...pids], as);
  t.equal(doors.status, 0, doors.stderr);
  t.strictSame(doors.stdout.split('\n').filter(Boolean), ['pkcs11', 'api'], 'connects, and that is all');
  for (const path of ['status', 'keys', 'tokens', 'cache', 'events', 'usage', 'providers']
    .map((p) => `v1/sidekey/${p}`)
    .concat('metrics')) {
    const args = ['-s', '-o', '/dev/null', '-w', '%{http_code}', '--unix-socket', sidekey.api];
    t.equal(spawnSync('curl', [...args, `http://localhost/${path}`], as).stdout, '403', path);
  }
  const slots = spawnSync('pkcs11-tool', ['--module', MODULE, '-L'], {
    ...as,
    env: { SIDEKEY_SOCKET: sidekey.socket, PATH: process.env['PATH'] ?? '' },
  });
  t.match(slots.stdout, /^(Available slots|No slots)/m, slots.stderr);
  t.notMatch(slots.stdout, 'token label', 'no token is there for it');
});
