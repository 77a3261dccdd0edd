/** Memory of keeper and agent while many processes are connected, and while many keys are in cells. */
import type { ChildProcess } from 'node:child_process';
import type { Result } from './result.ts';
import { memoryKiB, type Sidekey, type Stage } from './subjects.ts';

const READY_MAX_MS = 120_000;

/** Resolves with what a program has said once it said so many lines, or ended, or took too long. */
async function hear(child: ChildProcess, lines: number): Promise<string> {
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const until = Date.now() + READY_MAX_MS;
  while (said.split('\n').length <= lines && child.exitCode === null && Date.now() < until) {
    await new Promise((done) => setTimeout(done, 50));
  }
  return said;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = new Promise((done) => child.once('exit', done));
  child.stdin?.end();
  await ended;
}

export async function measureProcesses(
  stage: Stage,
  bench: string,
  sidekey: Sidekey,
  counts: readonly number[],
): Promise<Result['memory']> {
  const { agent, keeper } = sidekey.status();
  const memory: Result['memory'][number][] = [];
  for (const processes of counts) {
    const args = ['idle', sidekey.module?.[0] ?? '', String(processes)];
    const child = stage.spawn(bench, args, sidekey.env, 'pipe');
    const ready = (await hear(child, processes)).split('+').length - 1;
    const keeperKiB = memoryKiB(keeper.pid, 'VmRSS');
    memory.push({ processes, ready, keeperKiB, agentKiB: memoryKiB(agent.pid, 'VmRSS') });
    await end(child);
  }
  return memory;
}

export async function measureCells(
  stage: Stage,
  bench: string,
  sidekey: Sidekey,
  count: number,
): Promise<Result['cells']> {
  const args = ['cells', ...(sidekey.module ?? []), String(count)];
  const child = stage.spawn(bench, args, sidekey.env, 'pipe');
  await hear(child, 1);
  const { keeper } = sidekey.status();
  const lockedKiB = memoryKiB(keeper.pid, 'VmLck');
  await end(child);
  return { count, held: keeper.cells, lockedKiB };
}
