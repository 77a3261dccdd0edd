/** Eight threads that encrypt and decrypt without a pause (program.c), and what became of it. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { compile, MODULE, PIN, type Instance } from './instance.ts';
import { PauseTrace } from './pauses.ts';

/** How long a pause may be while the whole service starts: Node starts anew. */
export const RESTART_MAX_MS = 9000;

export interface Load {
  readonly child: ChildProcessWithoutNullStreams;
  readonly output: () => string;
  readonly trace: PauseTrace;
}

export async function startLoad(t: Test, sidekey: Instance): Promise<Load> {
  const env = { ...process.env, ...sidekey.environment };
  const child = spawn(compile(t, 'program.c'), [MODULE, PIN, 'load', '8'], { env });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  t.teardown(() => child.kill('SIGKILL'));
  while (!output.includes('started')) await sleep(20);
  return { child, output: () => output, trace: new PauseTrace(sidekey) };
}

/** None of its operations may have failed, and none taken longer than `maxMs`. */
export async function endLoad(t: Test, { child, output, trace }: Load, maxMs: number): Promise<void> {
  child.stdin.end();
  await once(child, 'close');
  const figures = /operations (\d+) failed (\d+) longest_us (\d+)/.exec(output());
  t.equal(figures?.[2], '0', output().replaceAll(/^pause_at.*\n/gm, ''));
  trace.tell(t, output());
  const longestMs = Math.round(Number(figures?.[3]) / 1000);
  t.comment(`${figures?.[1]} operations, the longest took ${longestMs} ms`);
  t.ok(longestMs < maxMs, `the longest pause was ${longestMs} ms`);
}
