/** `--out FILE` in a directory where others write too: root's plaintext goes into no file but its own. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { writeNewFile, writeOutput } from '../../src/cli/output-file.ts';
import { startInstance, temporaryDirectory } from '../e2e/instance.ts';
import { must, run } from './command-user.ts';

const NOBODY = 65534;
const SECRET = Buffer.from('secret');

/** Like /tmp: everybody writes there. */
function shared(t: Test): string {
  const dir = join(temporaryDirectory(t), 'shared');
  mkdirSync(dir);
  chmodSync(dir, 0o1777);
  return dir;
}

t.test('a new file has mode 0600, whatever the umask', async (t) => {
  const path = join(shared(t), 'out');
  const before = process.umask(0);
  writeOutput(path, SECRET);
  process.umask(before);
  t.equal(statSync(path).mode & 0o7777, 0o600);
  t.ok(readFileSync(path).equals(SECRET));
});

t.test('a symbolic link is not followed, wherever it points', async (t) => {
  const dir = shared(t);
  const target = join(dir, 'target');
  for (const [name, to] of Object.entries({ a: target, b: '/etc/passwd', c: '/dev/stdout' })) {
    const link = join(dir, name);
    symlinkSync(to, link);
    t.throws(() => writeOutput(link, SECRET), { code: 'file_refused', message: /symbolic link/ });
    t.throws(() => writeNewFile(link, SECRET), { code: 'file_refused' });
    t.ok(lstatSync(link).isSymbolicLink());
  }
  t.notOk(existsSync(target));
});

t.test('an existing file is replaced, not written into', async (t) => {
  const dir = shared(t);
  const [path, other] = [join(dir, 'out'), join(dir, 'other name of the same file')];
  writeFileSync(path, 'of nobody', { mode: 0o666 });
  chownSync(path, NOBODY, NOBODY);
  linkSync(path, other);
  writeOutput(path, SECRET);
  t.match(statSync(path), { uid: process.geteuid?.(), mode: 0o100600 });
  t.equal(readFileSync(other, 'utf8'), 'of nobody');
  t.strictSame(readdirSync(dir).sort(), ['other name of the same file', 'out'], 'nothing else is left');
  t.throws(() => writeNewFile(path, SECRET), { code: 'file_refused', message: /EEXIST/ });
});

t.test('a disk that is full leaves the old file, and no other', async (t) => {
  const dir = join(temporaryDirectory(t), 'disk');
  mkdirSync(dir);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', dir]);
  t.equal(mounted.status, 0, mounted.stderr.toString());
  t.teardown(() => spawnSync('umount', ['--lazy', dir]));
  const path = join(dir, 'out');
  writeFileSync(path, 'old');
  t.throws(() => writeOutput(path, Buffer.alloc(100_000)), { code: 'file_refused', message: /ENOSPC/ });
  t.throws(() => writeNewFile(join(dir, 'new'), Buffer.alloc(100_000)), { code: 'file_refused' });
  t.equal(readFileSync(path, 'utf8'), 'old');
  t.strictSame(readdirSync(dir), ['out']);
});

t.test('devices are written to; a directory, a socket and a pipe of others are not', async (t) => {
  const dir = shared(t);
  writeOutput('/dev/null', SECRET);
  t.ok(lstatSync('/dev/null').isCharacterDevice(), 'and are still there');
  t.throws(() => writeOutput(dir, SECRET), { code: 'file_refused', message: /is a directory/ });
  const [own, pipe] = [join(dir, 'own'), join(dir, 'pipe')];
  spawnSync('mkfifo', [own, pipe]);
  chownSync(pipe, NOBODY, NOBODY);
  t.throws(() => writeOutput(pipe, SECRET), { code: 'file_refused', message: /pipe of uid 65534/ });
  t.throws(() => writeOutput(join(dir, 'none', 'out'), SECRET), { code: 'file_refused', message: /ENOENT/ });
});

t.test('the command: a pipe of its own, and one line for a refusal', async (t) => {
  const sidekey = await startInstance(t);
  const dir = shared(t);
  const [pipe, link] = [join(dir, 'pipe'), join(dir, 'link')];
  must(t, sidekey, ['keys', 'create', 'k']);
  const sealed = must(t, sidekey, ['encrypt', 'k'], 'hello');
  spawnSync('mkfifo', [pipe]);
  const reader = spawn('cat', [pipe]);
  const read = once(reader.stdout, 'data');
  t.equal(run(sidekey, ['decrypt', 'k', '--out', pipe], sealed).status, 0);
  t.equal(String((await read)[0]), 'hello');
  symlinkSync('/etc/passwd', link);
  const { status, stderr } = run(sidekey, ['decrypt', 'k', '--out', link], sealed);
  t.equal(status, 1);
  t.match(stderr, /^sidekey: file_refused: \S+link is a symbolic link.*\n$/);
  t.notMatch(stderr, /hello/);
});
