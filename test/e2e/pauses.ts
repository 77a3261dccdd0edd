/** What a pause of a load fell together with: the kills, what the agent wrote in its log, and the kernel's clock for all of it. */
import type { Test } from 'tap';
import type { Instance } from './instance.ts';
import { send } from './transit-client.ts';
import { setTimeout as sleep } from 'node:timers/promises';

const TOLD_MS = 200;
const TOLD_MAX = 5;
const SERVES_MS = 20_000;

interface Moment {
  readonly atMs: number;
  readonly what: string;
}

interface Pause extends Moment {
  readonly lastedMs: number;
}

/** CLOCK_MONOTONIC, as the program tells it. */
function nowMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

/** The agent's lines have the time of day. One of a key file says how the agent is set up, not what happened. */
function momentsOf(log: string): Moment[] {
  const ahead = Date.now() - nowMs();
  const lines = log.split('\n').filter((line) => !line.includes('"keyFile":'));
  return lines.flatMap((line) => {
    const [, time, what] = /"time":"([^"]+)".*"msg":"([^"]+)"/.exec(line) ?? [];
    return time === undefined || what === undefined ? [] : [{ atMs: Date.parse(time) - ahead, what }];
  });
}

/** One for all threads that stood still together. */
function pausesOf(output: string): Pause[] {
  const lines = [...output.matchAll(/^pause_at_us (\d+) us (\d+)$/gm)];
  const all = lines.map(([, at, us]) => ({ atMs: Number(at) / 1000, what: '', lastedMs: Number(us) / 1000 }));
  const longest = all.sort((a, b) => b.lastedMs - a.lastedMs).filter(({ lastedMs }) => lastedMs > TOLD_MS);
  const isFirst = ({ atMs }: Pause, i: number): boolean =>
    longest.slice(0, i).every((other) => Math.abs(other.atMs - atMs) > TOLD_MS / 2);
  return longest.filter(isFirst).slice(0, TOLD_MAX);
}

export class PauseTrace {
  readonly #sidekey: Instance;
  readonly #moments: Moment[] = [];

  constructor(sidekey: Instance) {
    this.#sidekey = sidekey;
  }

  note(what: string): void {
    this.#moments.push({ atMs: nowMs(), what });
  }

  /** Of the longest pauses: what happened, in milliseconds from their beginning, from the last kill to their end. */
  tell(t: Test, output: string): void {
    const moments = [...this.#moments, ...momentsOf(this.#sidekey.log)].sort((a, b) => a.atMs - b.atMs);
    for (const { atMs, lastedMs } of pausesOf(output)) {
      const kills = this.#moments.filter((moment) => moment.atMs <= atMs + lastedMs);
      const from = Math.min(kills.at(-1)?.atMs ?? atMs, atMs);
      const during = moments.filter((moment) => moment.atMs >= from && moment.atMs <= atMs + lastedMs);
      const told = during.map((moment) => `${moment.what} ${Math.round(moment.atMs - atMs)}`).join(', ');
      t.comment(`a pause of ${Math.round(lastedMs)} ms: ${told || 'nothing happened meanwhile'}`);
    }
  }
}

/**
 * Until the agent answers with a keeper attached. Asked from here: `sidekey status` is a Node of its own, and would take from the
 * agent's start, and from the programs, the processors that both need. No supervisor starts one.
 */
export async function serves(sidekey: Instance): Promise<void> {
  for (const end = nowMs() + SERVES_MS; nowMs() < end; await sleep(10)) {
    const answer = await send(sidekey.api, 'GET', '/v1/sys/health', '').catch(() => null);
    if (answer?.status === 200) return;
  }
  throw new Error(`the agent did not serve:\n${sidekey.log}`);
}
