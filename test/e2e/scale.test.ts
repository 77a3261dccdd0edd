/**
 * Hard use of the module, by one C program: often, many, at once. In small here; SIDEKEY_SCALE=full, which `npm run test:soak` says, has the
 * sizes that docs/soak.md reports.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { compile, MODULE, PIN, startInstance } from './instance.ts';

const FULL = process.env['SIDEKEY_SCALE'] === 'full';
/** SIDEKEY_BUILD=build-tsan, after `make -C native-shim tsan`: races in the module and in the keeper are failures. The program counts its
 * own memory and descriptors: a sanitizer's would be counted with them. */
const INSTRUMENTED = process.env['SIDEKEY_BUILD'] !== undefined;

const RUNS = {
  initialize: ['C_Initialize and C_Finalize again and again', 20_000, 1_000_000],
  load: ['dlopen, a use and dlclose again and again', 100, 10_000],
  sessions: ['sessions of one process', 500, 10_000],
  threads: ['keys that each of 64 threads with stacks of 64 KiB makes, uses, finds and destroys', 3, 300],
  stacks: ['keys that each of 64 threads makes and uses under a stack limit of 30 MiB', 3, 300],
  seconds: ['seconds in which these threads go on', 2, 60],
  fork: ['forks in the middle of an operation', 3, 300],
  close: ['times a host closes every descriptor', 3, 300],
  exec: ['a program that becomes another takes nothing along', 1, 1],
  exit: ['programs that call by a thread, and finalize twice, after they began to exit', 5, 300],
  processes: ['processes at once', 16, 1000],
  objects: ['objects in a token', 100, 100_000],
} as const;

/** What of it the shell says to the program that it becomes. */
const LIMITS: Readonly<Record<string, string>> = { stacks: 'ulimit -s 30720' };

const parts = ['scale-host.c', 'scale-processes.c'].map((name) => join(import.meta.dirname, name));
const program = compile(t, 'scale.c', ...parts);
for (const [command, [what, small, full]] of Object.entries(RUNS)) {
  const count = FULL ? full : small;
  const skip = INSTRUMENTED && (command === 'load' || command === 'initialize') && 'memory is counted';
  t.test(`${count}: ${what}`, { timeout: FULL ? 3_600_000 : 120_000, skip }, async (t) => {
    const sidekey = await startInstance(t);
    const env = { ...process.env, ...sidekey.environment };
    const begin = performance.now();
    const limited = `${LIMITS[command] ?? ':'} && exec "$0" "$@"`;
    const words = ['-c', limited, program, MODULE, PIN, command, String(count)];
    const { status, stdout, stderr } = spawnSync('sh', words, {
      env,
      encoding: 'utf8',
      timeout: FULL ? 3_500_000 : 100_000,
    });
    t.match(stdout, /^done .*\n$/, stdout + stderr);
    t.equal(status, 0);
    t.notMatch(sidekey.log, /Sanitizer/);
    t.comment(`${((performance.now() - begin) / 1000).toFixed(1)} s: ${stdout.trim()}`);
  });
}
