/** The command line with the API socket in its environment alone: a user of keys need not read the configuration. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Test } from 'tap';
import { ROOT, type Instance } from '../e2e/instance.ts';

export const SIDEKEY = join(ROOT, 'bin/sidekey');

export function run(instance: Instance, args: readonly string[], input: string | Buffer = '') {
  const result = spawnSync(SIDEKEY, args, {
    input,
    timeout: 60_000,
    env: { SIDEKEY_API: instance.api },
    maxBuffer: 64 * 1024 * 1024,
  });
  return { status: result.status, stdout: result.stdout, stderr: result.stderr.toString('utf8') };
}

export function must(
  t: Test,
  instance: Instance,
  args: readonly string[],
  input: string | Buffer = '',
): Buffer {
  const { status, stdout, stderr } = run(instance, args, input);
  t.equal(status, 0, `${args.join(' ')}: ${stderr}`);
  return stdout;
}
