/** Packages of PyPI for one test, in a cache below node_modules that `npm ci` clears. What is missing is a failure. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../e2e/instance.ts';

const CACHE = join(ROOT, 'node_modules/.cache/interop');

function run(program: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8', timeout: 300_000 });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? ''}${stderr}`);
}

/** The folder with the programs of this package, pinned: "moto[server]==5.2.5". A mark says that it is whole. */
export function installPython(requirement: string): string {
  const venv = join(CACHE, requirement.replace(/[^a-z0-9.]+/g, '-'));
  const [bin, mark] = [join(venv, 'bin'), join(venv, 'installed')];
  if (existsSync(mark)) return bin;
  mkdirSync(CACHE, { recursive: true });
  rmSync(venv, { recursive: true, force: true });
  run('python3', '-m', 'venv', venv);
  run(join(bin, 'pip'), 'install', '--quiet', '--disable-pip-version-check', requirement);
  writeFileSync(mark, requirement);
  return bin;
}
