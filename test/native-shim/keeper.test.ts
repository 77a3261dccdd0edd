import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';

const root = resolve(import.meta.dirname, '../..');
const build = join(root, 'native-shim', process.env['SIDEKEY_BUILD'] ?? 'build');
const corpus = join(root, 'test/fuzz/corpus');

/** Runs a program that prints TAP, and makes each of its points one of ours. */
function runProgram(t: Test, command: string, args: readonly string[] = [], env = process.env): string {
  const { stdout, stderr, status } = spawnSync(command, args, { encoding: 'utf8', timeout: 100_000, env });
  for (const line of stdout.split('\n')) {
    const point = /^(not )?ok \d+ - (.*)$/.exec(line);
    if (point) t.ok(point[1] === undefined, point[2] ?? line);
  }
  t.match(stdout, /^1\.\.\d+$/m, 'it ran to its end');
  t.equal(status, 0, `and says that all is well ${stderr}`);
  return stdout;
}

for (const name of [
  'wire_buffer',
  'keeper_arena',
  'keeper_seal',
  'keeper_cell',
  'keeper_vectors',
  'keeper_context',
  'keeper_aead',
  'keeper_ffc',
  'keeper_watchdog',
])
  t.test(name, async (t) => runProgram(t, join(build, 'test', name)));

t.test('where the library of AES-GCM cannot be loaded, OpenSSL makes it', async (t) => {
  writeFileSync(join(t.testdir(), 'libIPSec_MB.so.1'), '');
  const env = { ...process.env, LD_LIBRARY_PATH: t.testdirName };
  t.match(runProgram(t, join(build, 'test/keeper_aead'), [], env), /^# seed \d+, AES-GCM by OpenSSL$/m);
});

t.test('a real keeper keeps its contract with module and agent', async (t) =>
  runProgram(t, 'python3', [join(import.meta.dirname, 'keeper_process.py'), join(build, 'sidekey-keeper')]),
);

t.test('clients that hold what they can of memory and time cost nobody else', async (t) =>
  runProgram(t, 'python3', [join(import.meta.dirname, 'keeper_hostile.py'), join(build, 'sidekey-keeper')]),
);

t.test('a keeper tells systemd that it works as long as it does', async (t) =>
  runProgram(t, 'python3', [join(import.meta.dirname, 'keeper_watchdog.py'), join(build, 'sidekey-keeper')]),
);

t.test('rings carry the same frames, and a client that scribbles over its own harms only itself', async (t) =>
  runProgram(t, 'python3', [join(import.meta.dirname, 'keeper_ring.py'), join(build, 'sidekey-keeper')]),
);

t.test('the agent has a ring of its own, nobody else gets it, and it ends with the agent', async (t) =>
  runProgram(t, 'python3', [
    join(import.meta.dirname, 'keeper_agent_ring.py'),
    join(build, 'sidekey-keeper'),
  ]),
);

for (const name of ['keeper_frame', 'keeper_arena', 'keeper_engines', 'keeper_params', 'keeper_ring'])
  t.test(`every seed of ${name} is handled within its bounds`, async (t) => {
    const seeds = join(corpus, name);
    t.ok(existsSync(seeds));
    const files = readdirSync(seeds).map((file) => join(seeds, file));
    runProgram(t, join(build, 'test', `replay_${name}`), files);
  });
