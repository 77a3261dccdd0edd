/** Packages of PyPI for one test, in a cache below node_modules that `npm ci` clears. What is missing is a failure. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../e2e/instance.ts';

const CACHE = join(ROOT, 'node_modules/.cache/interop');

/** Two tests may want one package at once: the second waits and finds the mark, which says that the folder is whole. */
const INSTALL = `set -e
[ ! -e "$1/installed" ] || exit 0
rm -rf "$1"
python3 -m venv "$1"
"$1/bin/pip" install --quiet --disable-pip-version-check $2
touch "$1/installed"`;

/** The folder with the programs of these packages, pinned, with spaces between them: "moto[server]==5.2.5". */
export function installPython(requirement: string): string {
  const venv = join(CACHE, requirement.replace(/[^a-z0-9.]+/g, '-'));
  mkdirSync(CACHE, { recursive: true });
  const args = ['--wait', '300', `${venv}.lock`, 'sh', '-c', INSTALL, 'sh', venv, requirement];
  const { status, stderr, error } = spawnSync('flock', args, { encoding: 'utf8', timeout: 600_000 });
  if (status !== 0) throw new Error(`${requirement}: ${error?.message ?? ''}${stderr}`);
  return join(venv, 'bin');
}
