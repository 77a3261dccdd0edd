/**
 * The keeper as it is built for Debian's OpenSSL 3.0, run with a later libcrypto: the one in psycopg's wheel, which other people built and
 * the loader takes for Debian's.
 */
import { chmodSync, copyFileSync, globSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Test } from 'tap';
import { KEEPER, startInstance, temporaryDirectory, type Instance } from '../e2e/instance.ts';
import { installPython } from './python-venv.ts';

const WHEEL = 'psycopg-binary==3.3.9'; // with OpenSSL 3.5.9

/** The keeper's program with another libcrypto before Debian's. The agent starts it with an empty environment, so it is a script. */
function keeperWith(t: Test, library: string): string {
  const dir = temporaryDirectory(t);
  chmodSync(dir, 0o755);
  copyFileSync(library, join(dir, 'libcrypto.so.3'));
  const script = join(dir, 'sidekey-keeper');
  writeFileSync(script, `#!/bin/sh\nLD_LIBRARY_PATH=${dir} exec ${KEEPER} "$@"\n`, { mode: 0o755 });
  return script;
}

/** The later libcrypto. */
export function findLibrary(): string {
  const venv = resolve(installPython(WHEEL), '..');
  const [library] = globSync(join(venv, 'lib/python3*/site-packages/psycopg_binary.libs/libcrypto-*.so.3'));
  if (library === undefined) throw new Error(`${WHEEL} brought no libcrypto`);
  return library;
}

/** An instance whose keeper has it. */
export async function startLater(t: Test): Promise<Instance> {
  const path = keeperWith(t, findLibrary());
  const edit = (yaml: string) => yaml.replace(/^keeper:\n(  path: .*\n)?/m, `keeper:\n  path: ${path}\n`);
  return startInstance(t, { edit });
}
