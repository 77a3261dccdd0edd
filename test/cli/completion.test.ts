/** The scripts of `sidekey completion`, in the shells themselves. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ROOT, temporaryDirectory } from '../e2e/instance.ts';

const dir = temporaryDirectory(t);

function scriptFor(shell: string): string {
  const { stdout } = spawnSync(join(ROOT, 'bin/sidekey'), ['completion', shell], {
    encoding: 'utf8',
    env: {},
  });
  const path = join(dir, shell === 'zsh' ? '_sidekey' : `sidekey.${shell}`);
  writeFileSync(path, stdout);
  return path;
}

function run(program: string, ...args: string[]): string[] {
  const { stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    cwd: dir,
    timeout: 30_000,
    env: { PATH: process.env['PATH'], HOME: dir },
  });
  if (error) throw error;
  t.equal(stderr, '', `${program} has nothing to complain of`);
  return stdout.split('\n').filter((line) => line !== '');
}

mkdirSync(join(dir, 'folder'));
writeFileSync(join(dir, 'file.txt'), '');

t.test('bash', async (t) => {
  const script = scriptFor('bash');
  const complete = (...words: string[]) =>
    run(
      'bash',
      '-c',
      [
        `compopt() { :; }; source ${script}`,
        `COMP_WORDS=(sidekey ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}`,
        `_sidekey; printf '%s\\n' "\${COMPREPLY[@]}"`,
      ].join('\n'),
    );
  t.same(complete('enc'), ['encrypt']);
  t.same(complete('keys', 'cs'), ['csr']);
  t.same(complete('keys', 'create', '--ty'), ['--type']);
  t.ok(complete('keys', 'create', '--type', 'ed').includes('ed25519'));
  t.same(complete('encrypt', 'k', '--in', 'fi'), ['file.txt']);
  t.same(complete('init', '--dir', 'f'), ['folder']);
  t.same(complete('completion', 'z'), ['zsh']);
  t.ok(complete('audit', '').includes('verify'));
});

t.test('fish', async (t) => {
  const script = scriptFor('fish');
  const complete = (line: string) =>
    run('fish', '--no-config', '-c', `source ${script}; complete -C '${line}'`).map(
      (row) => row.split('\t')[0],
    );
  t.same(complete('sidekey enc'), ['encrypt']);
  t.same(complete('sidekey keys cs'), ['csr']);
  t.same(complete('sidekey keys create --ty'), ['--type']);
  t.same(complete('sidekey keys create --type ed'), ['ed25519']);
  t.same(complete('sidekey encrypt k --in fi'), ['file.txt']);
  t.same(complete('sidekey completion z'), ['zsh']);
});

t.test('zsh', async (t) => {
  const script = scriptFor('zsh');
  // Without a terminal zsh completes nothing, so that what it would be told is printed instead.
  const told = (...words: string[]) =>
    run(
      'zsh',
      '-f',
      '-c',
      [
        'compdef() { :; }; _describe() { print -l -- "${(@P)2}"; }; _arguments() { print -l -- "$@"; }',
        `source ${script}; words=(sidekey ${words.map((word) => `'${word}'`).join(' ')}); CURRENT=${words.length + 1}; _sidekey`,
      ].join('\n'),
    );
  t.ok(told('').some((line) => line.startsWith('encrypt:encrypt a message')));
  t.ok(told('keys', '').some((line) => line.startsWith('csr:')));
  const rows = told('keys', 'create', '--');
  t.match(
    rows.join('\n'),
    /--type\[type of the key; default\\?: aes256-gcm96\]:VALUE|--type\[type of the key; default\\?: aes256-gcm96\]::\(aes256-gcm96/,
  );
  t.ok(rows.includes(':KEY: '));
  t.match(told('init', '--').join('\n'), /--dir\[.*\]:DIR:_files -\//);
  t.match(told('completion', '').join('\n'), ':SHELL:(bash zsh fish)');
});
