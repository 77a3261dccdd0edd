/**
 * Rust of Debian 12, of the packages that it keeps new for its browsers, unpacked below node_modules: they cannot be installed beside
 * another Rust, and a developer may have one. Crates come from their registry, by the sums of Cargo.lock.
 */
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../e2e/instance.ts';

const CACHE = join(ROOT, 'node_modules/.cache/interop');
const RUST = join(CACHE, 'rust');
const BUILD_MS = 300_000;

/** What apt would install is what is missing here: nothing on a machine that has the packages, and then its own program is taken. */
const UNPACK = `set -e
[ ! -e "$1/installed" ] || exit 0
rm -rf "$1"
mkdir -p "$1/packages"
cd "$1/packages"
names=$(apt-get -qq -s --no-install-recommends install cargo-web | sed -n 's/^Inst \\([^ ]*\\).*/\\1/p')
if [ -n "$names" ]; then apt-get -qq -o Acquire::Retries=3 download $names; fi
for package in *.deb; do [ ! -e "$package" ] || dpkg -x "$package" "$1"; done
cd ..
rm -r packages
touch installed`;

function unpack(): void {
  mkdirSync(CACHE, { recursive: true });
  const args = ['--wait', '300', `${RUST}.lock`, 'sh', '-c', UNPACK, 'sh', RUST];
  const { status, stderr, error } = spawnSync('flock', args, { encoding: 'utf8', timeout: 400_000 });
  if (status !== 0) throw new Error(`Rust: ${error?.message ?? ''}${stderr}`);
}

/** Builds the package in this folder, which has one program of its own name. Gives the program's path. */
export function cargoBuild(folder: string, name: string): string {
  unpack();
  const target = join(CACHE, `cargo-${name}`);
  const env = {
    ...process.env,
    ...{ PATH: `${join(RUST, 'usr/bin')}:/usr/bin:/bin`, CARGO_HOME: join(CACHE, 'cargo') },
    ...{ CARGO_TARGET_DIR: target, LD_LIBRARY_PATH: globSync(join(RUST, 'usr/lib/*-linux-gnu')).join(':') },
  };
  const options = { cwd: folder, env, encoding: 'utf8', timeout: BUILD_MS } as const;
  const { status, stderr, error } = spawnSync('cargo', ['build', '--locked', '--quiet'], options);
  if (status !== 0) throw new Error(`cargo: ${error?.message ?? ''}${stderr}`);
  return join(target, 'debug', name);
}
