import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { test, type Test } from 'tap';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');
const unitFolder = join(root, 'systemd');

// What an installation has at these paths; `verify` refuses a unit whose program does not exist.
const programs = ['/usr/bin/sidekey', '/usr/lib/sidekey/sidekey-keeper'] as const;
const documents = '/usr/share/doc/sidekey';

/** Copies the units to a folder of their own, with the installation's paths moved below it. */
async function copyUnits(t: Test): Promise<string[]> {
  const folder = t.testdir();
  for (const program of programs) {
    await mkdir(join(folder, program, '..'), { recursive: true });
    await copyFile('/bin/true', join(folder, program));
    await chmod(join(folder, program), 0o755);
  }
  const names = (await readdir(unitFolder)).filter((name) => /\.(service|socket|target)$/.test(name));
  const copies: string[] = [];
  for (const name of names) {
    let text = await readFile(join(unitFolder, name), 'utf8');
    for (const program of programs) text = text.replaceAll(`=${program} `, `=${join(folder, program)} `);
    text = text.replaceAll(`file:${documents}`, `file:${root}`);
    copies.push(join(folder, name));
    await writeFile(join(folder, name), text);
  }
  return copies;
}

/** It reads the units of the machine as well, and says what it thinks of those. */
function aboutOurs(said: string): string {
  const lines = said.split('\n').filter((line) => !/^(\/usr)?\/lib\/systemd\/system\//.test(line));
  return lines.join('\n');
}

test('systemd-analyze verify finds nothing to say about the units', async (t) => {
  const units = await copyUnits(t);
  t.equal(units.length, 4);
  const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', ...units]);
  t.equal(aboutOurs(stdout + stderr), '');
});

test('verify would have complained', async (t) => {
  const [unit = ''] = (await copyUnits(t)).filter((name) => name.endsWith('keeper.service'));
  await writeFile(unit, (await readFile(unit, 'utf8')).replace('LimitCORE=', 'LimitKERNEL='));
  const { stderr } = await run('systemd-analyze', ['verify', '--man=no', unit]);
  t.match(stderr, /Unknown key.* 'LimitKERNEL'/);
});

for (const [unit, worst] of [
  ['sidekey-keeper.service', 1.0],
  ['sidekey-agent.service', 2.5],
] as const) {
  test(`${unit} is exposed to at most ${worst} of 10`, async (t) => {
    const [path = ''] = (await copyUnits(t)).filter((name) => name.endsWith(unit));
    const threshold = `--threshold=${Math.round(worst * 10)}`;
    await t.resolves(run('systemd-analyze', ['security', '--offline=true', threshold, path]));
  });
}

test('no unit allows a core, and the keeper may lock what its arena needs', async (t) => {
  const keeper = await readFile(join(unitFolder, 'sidekey-keeper.service'), 'utf8');
  const agent = await readFile(join(unitFolder, 'sidekey-agent.service'), 'utf8');
  t.match(keeper, /^LimitCORE=0$/m);
  t.match(agent, /^LimitCORE=0$/m);
  t.match(keeper, /^LimitMEMLOCK=8M$/m);
  t.notMatch(agent, /^MemoryDenyWriteExecute=yes/m, 'which would kill V8');
});

test('sysusers and tmpfiles accept their snippets', async (t) => {
  const folder = t.testdir({ etc: {} });
  const users = join(unitFolder, 'sidekey.sysusers.conf');
  await run('systemd-sysusers', ['--dry-run', `--root=${folder}`, users]);
  await run('systemd-sysusers', [`--root=${folder}`, users]);
  t.match(await readFile(join(folder, 'etc/passwd'), 'utf8'), /^sidekey:/m);
  await run('systemd-tmpfiles', ['--create', `--root=${folder}`, join(unitFolder, 'sidekey.tmpfiles.conf')]);
  t.strictSame((await readdir(join(folder, 'run/sidekey'))).sort(), ['keeper']);
});

test('a killed agent comes back at once, and one that cannot start does not spin', async (t) => {
  const agent = await readFile(join(unitFolder, 'sidekey-agent.service'), 'utf8');
  t.match(agent, /^RestartSec=100ms$/m);
  const config = join(t.testdir({ 'sidekey.yaml': 'version: 1\nnonsense: 2\n' }), 'sidekey.yaml');
  const env = { ...process.env, NOTIFY_SOCKET: join(config, '../none') };
  const from = performance.now();
  const ended = run(join(root, 'bin/sidekey'), ['agent', '--config', config], { env });
  await t.rejects(ended, { code: 1, stderr: /config_invalid.*nonsense: unknown key/s });
  t.ok(performance.now() - from >= 2000, 'it waits before it ends');
});
