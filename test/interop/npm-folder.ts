/** A package of npm for one test, in a cache below node_modules that `npm ci` clears. What is missing is a failure. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../e2e/instance.ts';

const CACHE = join(ROOT, 'node_modules/.cache/interop');

/**
 * Two tests may want one package at once: the second waits and finds the mark, which says that the folder is whole. A registry that
 * stalls is asked again soon, where npm itself would wait for five minutes; one that says no is asked thrice.
 */
const INSTALL = `[ ! -e "$1/installed" ] || exit 0
for pause in 5 20 0; do
    rm -rf "$1" && mkdir -p "$1" &&
        npm install --loglevel=error --no-audit --no-fund --ignore-scripts --fetch-timeout=15000 --fetch-retries=5 \\
            --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000 --prefix "$1" "$2" >&2 && touch "$1/installed" && exit 0
    sleep $pause
done
exit 1`;

/** The folder that has `node_modules` with this package, pinned: "node-vault@0.12.0". */
export function installNpm(requirement: string): string {
  const folder = join(CACHE, `npm-${requirement.replace(/[^a-z0-9.]+/g, '-')}`);
  mkdirSync(CACHE, { recursive: true });
  const args = ['--wait', '300', `${folder}.lock`, 'sh', '-c', INSTALL, 'sh', folder, requirement];
  const { status, stderr, error } = spawnSync('flock', args, { encoding: 'utf8', timeout: 600_000 });
  if (status !== 0) throw new Error(`${requirement}: ${error?.message ?? ''}${stderr}`);
  return folder;
}
