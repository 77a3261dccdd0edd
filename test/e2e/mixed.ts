/** One run of mixed.c against a whole instance. */
import type { Test } from 'tap';
import { run } from '../apps/application.ts';
import { compile, MODULE, PIN, startInstance } from './instance.ts';

const START_MS = 100_000;

export async function runMixed(t: Test, seconds: number): Promise<void> {
  const program = compile(t, 'mixed.c');
  const sidekey = await startInstance(t);
  const env = { ...process.env, ...sidekey.environment };
  const timeout = seconds * 1000 + START_MS;
  const { status, stdout, stderr } = await run(program, [MODULE, PIN, String(seconds)], { env, timeout });
  t.match(stdout, /^done .*\n$/, stdout + stderr);
  t.equal(status, 0);
  t.equal(stderr, '');
  // A keeper that would report a race opens files for it, which its own filter ends it for (SIGSYS).
  t.notMatch(sidekey.log, /Sanitizer|the keeper ended/);
  t.comment(stdout.trim());
}
