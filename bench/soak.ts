/** What `npm run test:soak` has written of kills under load: they take ten minutes and are not repeated here. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const PATH = join(import.meta.dirname, '../docs/soak-result.md');
const TESTS = {
  keeper: /^the keeper is killed (\d+) times$/,
  agent: /^the agent is killed (\d+) times and started again$/,
} as const;

export interface Kills {
  readonly times: number;
  /** No operation failed, and none took longer than the test permits. */
  readonly passed: boolean;
  readonly longestMs: number;
}

export interface Soak {
  readonly date: string;
  readonly commit: string;
  readonly keeper: Kills | null;
  readonly agent: Kills | null;
}

function kills(rows: readonly (readonly string[])[], test: RegExp): Kills | null {
  for (const [, name = '', result = '', , said = ''] of rows) {
    const times = test.exec(name)?.[1];
    const longest = /operations, the longest took (\d+) ms$/.exec(said)?.[1];
    if (times === undefined || longest === undefined) continue;
    return { times: Number(times), passed: result === 'passed', longestMs: Number(longest) };
  }
  return null;
}

export function readSoak(): Soak | null {
  const text = readFileSync(PATH, 'utf8');
  const head = /(\d{4}-\d{2}-\d{2}), commit (\w+)/.exec(text);
  if (head === null) return null;
  const rows = text.split('\n').map((line) => line.split('|').map((cell) => cell.trim()));
  const [, date = '', commit = ''] = head;
  return { date, commit, keeper: kills(rows, TESTS.keeper), agent: kills(rows, TESTS.agent) };
}
