import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';

const root = resolve(import.meta.dirname, '../..');
const programs = join(root, 'native-shim', process.env['SIDEKEY_BUILD'] ?? 'build', 'test');
const corpus = join(root, 'test/fuzz/corpus');

/** Runs a C program that prints TAP, and makes each of its points one of ours. */
function runProgram(t: Test, name: string, args: readonly string[] = []): void {
  const { stdout, stderr, status } = spawnSync(join(programs, name), args, {
    encoding: 'utf8',
    timeout: 100_000,
  });
  for (const line of stdout.split('\n')) {
    const point = /^(not )?ok \d+ - (.*)$/.exec(line);
    if (point) t.ok(point[1] === undefined, point[2] ?? line);
  }
  t.match(stdout, /^1\.\.\d+$/m, 'it ran to its end');
  t.equal(status, 0, `and says that all is well ${stderr}`);
}

/** gcc 12's AddressSanitizer lets a child of fork inherit locks of its allocator that other threads held. */
const forking = process.env['SIDEKEY_BUILD'] === undefined ? ['module_fork'] : [];

for (const name of [
  'module_arguments',
  'module_condition',
  ...forking,
  'module_link',
  'module_message',
  'module_operation',
  'module_process',
  'module_session',
  'module_stack',
  'module_sha256',
  'module_waiters',
])
  t.test(name, async (t) => runProgram(t, name));

for (const [name, least] of [
  ['module_reply', 20],
  ['module_answers', 8],
] as const)
  t.test(`every seed of ${name} is handled within its bounds`, async (t) => {
    const seeds = join(corpus, name);
    const files = readdirSync(seeds).map((file) => join(seeds, file));
    t.ok(files.length > least);
    runProgram(t, `replay_${name}`, files);
  });
