/**
 * Programs in hard places: without descriptors, in a chroot, under another uid, under seccomp, set-user-id; and what a program of the
 * service's own uid may do to it. Wants root.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { compile, MODULE, PIN, startInstance, temporaryDirectory } from './instance.ts';

const NOBODY = 65534;
const AS_NOBODY = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];

const PLACES = {
  closed: 'descriptors 0 to 2 were closed',
  jailed: 'it went into an empty root and to another uid that no rule admits',
  descriptorless: 'it may open nothing any more',
  confined: 'seccomp leaves it read, write and futex',
};

t.test('a program keeps what it has, or is told soon', async (t) => {
  const sidekey = await startInstance(t);
  const program = compile(t, 'host.c');
  for (const [name, what] of Object.entries(PLACES)) {
    const { stdout, signal } = sidekey.run(program, [MODULE, PIN, name]);
    t.same([stdout, signal], ['done\n', null], what);
  }
});

t.test('a set-user-id program heeds nothing of its caller’s environment', async (t) => {
  const sidekey = await startInstance(t, { allow: ['uid:0', `uid:${NOBODY}`] });
  const program = compile(t, 'host.c');
  const [dir, trace] = [join(program, '..'), join(temporaryDirectory(t), 'trace')];
  chmodSync(dir, 0o755);
  const asNobody = () =>
    sidekey.run('setpriv', [...AS_NOBODY, program, MODULE, PIN, 'closed'], {
      env: { SIDEKEY_TRACE: trace, XDG_RUNTIME_DIR: dir },
    }).stdout;
  chmodSync(join(trace, '..'), 0o777);
  t.match(asNobody(), 'done', 'it is led by it as long as it is an ordinary one');
  rmSync(trace);
  chownSync(program, 0, 0);
  chmodSync(program, 0o4755);
  t.match(asNobody(), 'no token');
  t.same(readdirSync(join(trace, '..')), [], 'and writes no file as another');
});

const UNREACHABLE = {
  'there is no such socket': { env: { SIDEKEY_SOCKET: '/nowhere/pkcs11.sock' }, errno: 2 },
  'permission denied': { env: { SIDEKEY_SOCKET: 'closed' }, errno: 13 },
  'the path of the socket is too long': { env: { SIDEKEY_SOCKET: `/${'a'.repeat(108)}` }, errno: 36 },
};

t.test('the trace says once why no service is reached', async (t) => {
  const dir = temporaryDirectory(t);
  mkdirSync(join(dir, 'closed'), { mode: 0 });
  chmodSync(dir, 0o777);
  for (const [text, { env, errno }] of Object.entries(UNREACHABLE)) {
    const trace = join(dir, 'trace');
    const socket = env.SIDEKEY_SOCKET === 'closed' ? join(dir, 'closed/s') : env.SIDEKEY_SOCKET;
    const list = ['pkcs11-tool', '--module', MODULE, '--list-slots'];
    spawnSync('setpriv', [...AS_NOBODY, ...list], {
      env: { ...process.env, SIDEKEY_SOCKET: socket, SIDEKEY_TRACE: trace },
    });
    const told = readFileSync(trace, 'utf8').match(/^.* keeper_absent: .*$/gm) ?? [];
    t.equal(told.length, 1, told.join('\n'));
    t.match(told[0], text);
    t.match(told[0], `(errno ${errno})`);
    rmSync(trace);
  }
});

const CONNECTIONS = 60;

/** Sends descriptors, many of them, to whoever listens, as bytes that are no frame and as such that end none; says what the services hold then. */
const SENDER = `
import array, os, socket, sys, time
held = []
fds = array.array('i', [os.open('/dev/null', 0) for _ in range(200)])
for byte in (b'\\0', b'\\xff', b'GET'):
    for _ in range(20):
        s = socket.socket(socket.AF_UNIX)
        s.connect(sys.argv[1])
        try:
            for _ in range(20):
                s.sendmsg([byte], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        except (BrokenPipeError, ConnectionResetError):
            pass
        held.append(s)
time.sleep(0.3)
print(*(len(os.listdir(f'/proc/{pid}/fd')) for pid in sys.argv[2:]))
`;

t.test('descriptors that a client sends are nobody’s', async (t) => {
  const sidekey = await startInstance(t);
  const pids = [sidekey.keeperPid() ?? 0, sidekey.agentPid];
  for (const socket of [sidekey.socket, sidekey.api]) {
    const before = pids.map((pid) => readdirSync(`/proc/${pid}/fd`).length);
    const { status, stdout, stderr } = sidekey.run('python3', ['-c', SENDER, socket, ...pids.map(String)]);
    t.equal(status, 0, stderr);
    const held = stdout.trim().split(' ').map(Number);
    t.ok(
      held.every((now, i) => now <= (before[i] ?? 0) + CONNECTIONS),
      `${before} before, ${held} with ${CONNECTIONS} connections`,
    );
  }
  t.equal(sidekey.pkcs11Tool('--list-slots').status, 0);
});
