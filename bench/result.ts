/** What one run has measured, and how its figures are looked up. */
import type { Figures } from './driver.ts';
import type { Other } from './other.ts';
import type { Soak } from './soak.ts';

/** Samples of one group, round and turn were measured one right after the other. */
export interface Sample extends Figures {
  readonly subject: string;
  readonly group: string;
  readonly round: number;
  readonly turn: number;
}

export interface Result {
  readonly date: string;
  readonly machine: {
    readonly processor: string;
    readonly cores: number;
    readonly kernel: string;
    readonly node: string;
  };
  readonly rounds: number;
  readonly turns: number;
  readonly seconds: number;
  readonly memory: readonly { processes: number; ready: number; keeperKiB: number; agentKiB: number }[];
  readonly cells: { readonly count: number; readonly held: number; readonly lockedKiB: number };
  readonly soak: Soak | null;
  /** One list for each round. */
  readonly others: readonly (readonly Other[])[];
  readonly samples: readonly Sample[];
}

export type Figure = 'p50' | 'p99' | 'ops' | 'cpu';
/** A figure of one turn; NaN when it was not measured. */
export type Look = (subject: string, row: string, figure?: Figure, threads?: number) => number;

/** NaN for none, or when one of them is none. */
export function median(values: readonly number[]): number {
  if (values.some(Number.isNaN)) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Over all turns of all rounds. */
export function value(result: Result, subject: string, row: string, figure: Figure, threads = 1): number {
  const hits = result.samples.filter(
    (s) => s.subject === subject && s.row === row && s.threads === threads && s.rv === 0,
  );
  return median(hits.map((s) => s[figure]));
}

/** For each round: the median over its turns of what is made of the figures of one turn of one group. */
export function perRound(result: Result, group: string, make: (look: Look) => number): number[] {
  const samples = result.samples.filter((sample) => sample.group === group && sample.rv === 0);
  return Array.from({ length: result.rounds }, (_, round) => {
    const turns = Array.from({ length: result.turns }, (_, turn) =>
      samples.filter((sample) => sample.round === round && sample.turn === turn),
    );
    return median(turns.map((turn) => make(lookIn(turn))));
  });
}

function lookIn(turn: readonly Sample[]): Look {
  return (subject, row, figure = 'p50', threads = 1) =>
    turn.find((s) => s.subject === subject && s.row === row && s.threads === threads)?.[figure] ?? Number.NaN;
}

export function rowsOf(result: Result): string[] {
  return [...new Set(result.samples.map(({ row }) => row))].filter((row) => row !== 'roundtrip');
}
