/** The goals, each with what a result says of it. */
import { median, perRound, type Figure, type Look, type Result } from './result.ts';
import type { Kills } from './soak.ts';

/** `values`: one for each round, or the one there is. */
export interface Measured {
  readonly values: readonly number[];
  readonly holds: boolean;
  /** Where it was measured, if not in this run. */
  readonly where?: string;
}

export interface Goal {
  readonly text: string;
  readonly measure: (result: Result) => Measured;
  /** What stands between, where it falls short. */
  readonly between?: string;
}

const OURS = 'Sidekey';
const SOFTHSM = 'SoftHSM2';
const P11KIT = 'SoftHSM2 by p11-kit';
const OPENSSL = 'OpenSSL in process';

const BETWEEN = {
  p11kit: "p11-kit's remoting does not carry AES-GCM's parameters: see HMAC",
  budget:
    'the budget has one cache line go and come, which both sides write in turn. Request and reply have a line each: empty, that takes 0.15 to 0.25 us here, by when the looks of each side fall. With a kilobyte there are sixteen more each way, which a processor reads in 8 ns each, whatever is done to fetch them: 0.25 us. The rest is in ARCHITECTURE.md, "Where the time goes"',
  long: 'the client copies each 16 KiB in and out, and pushes its lines to the shared cache, for longer than the keeper needs for it. Pieces of 32 KiB gained 1 % in a model of this row; stores past the caches, prefetching by the keeper, pushing only a part of the lines or none, lose or gain nothing',
  digest:
    'where the processor has no instructions for SHA-256 a digest is made by the keeper: what is lost is the journey, as much as the hash itself',
  curve: 'OpenSSL itself is not 1.5 times faster here: Sidekey adds nothing to its time',
  journey:
    'the journey there and back, a microsecond; and 90 times that OpenSSL takes or frees memory, which is locked and wiped here',
  rsa: 'two processors of a virtual machine may share a core and slow each other, and to be woken costs tens of microseconds',
  threads:
    'two processors are shared by all clients and two workers: what is reached depends on whom the scheduler leaves beside the worker',
  first:
    'three answers of the agent (slots, login, search): 0.15 ms of waking each, the time that little used code of Node needs, and at login the disk (0.3 ms); SoftHSM2 needs as long',
  agent: 'Node itself, and what its collector has not given back',
} as const;

const NOT_MEASURED: Measured = { values: [], holds: false };

/** Holds if the median of what the rounds say does. */
function goal(
  text: string,
  group: string,
  make: (look: Look) => number,
  holds: (measured: number) => boolean,
  between?: string,
): Goal {
  const measure = (result: Result): Measured => {
    const values = perRound(result, group, make);
    return { values, holds: holds(median(values)) };
  };
  return { text, measure, ...(between === undefined ? {} : { between }) };
}

const timeOver =
  (row: string, other: string, figure: Figure = 'p50') =>
  (look: Look): number =>
    look(other, row, figure) / look(OURS, row, figure);

function fasterThan(row: string, other: string, times: number, between?: string): Goal {
  const text =
    times === 1 ? `${row}: faster than ${other}` : `${row}: at least ${times} times ${other}'s speed`;
  return goal(text, row, timeOver(row, other), (measured) => measured >= times, between);
}

function within5Percent(row: string, between: string): Goal {
  const share = (look: Look): number => look(OURS, row) / look(OPENSSL, row);
  return goal(`${row}: within 5 % of OpenSSL's own time`, row, share, (it) => it <= 1.05, between);
}

function withinBudget(row: string): Goal {
  const share = (look: Look): number => look(OURS, row) / (look(OPENSSL, row) + look(OPENSSL, 'roundtrip'));
  const text = `${row}: at most 2 times (OpenSSL + round trip)`;
  return goal(text, row, share, (it) => it <= 2, BETWEEN.budget);
}

function tail(row: string): Goal {
  const share = (look: Look): number => look(OURS, row, 'p99') / look(OURS, row);
  return goal(`${row}: p99 at most 5 times p50`, row, share, (it) => it <= 5);
}

const BY_THREADS = 'gcm-1k by threads';

const SPEED: readonly Goal[] = [
  ...['gcm-16', 'gcm-1k'].flatMap((row) => [
    fasterThan(row, SOFTHSM, 5),
    fasterThan(row, P11KIT, 25, BETWEEN.p11kit),
    withinBudget(row),
    tail(row),
  ]),
  fasterThan('hmac-256', P11KIT, 25),
  fasterThan('gcm-1m', OPENSSL, 0.8, BETWEEN.long),
  ...['hmac-256', 'cbc-pad-1k', 'random-32'].map((row) => fasterThan(row, SOFTHSM, 1)),
  fasterThan('sha256-1k', SOFTHSM, 1, BETWEEN.digest),
  within5Percent('ecdsa-p256', BETWEEN.journey),
  fasterThan('ecdsa-p256', SOFTHSM, 1.5, BETWEEN.curve),
  ...['rsa2048-pkcs', 'rsa2048-pss'].flatMap((row) => [
    within5Percent(row, BETWEEN.rsa),
    fasterThan(row, SOFTHSM, 1.5),
  ]),
  goal(
    'gcm-1k, 8 threads: at least 3 times the operations/s of SoftHSM2',
    BY_THREADS,
    (look) => look(OURS, 'gcm-1k', 'ops', 8) / look(SOFTHSM, 'gcm-1k', 'ops', 8),
    (times) => times >= 3,
    BETWEEN.threads,
  ),
  goal(
    'gcm-1k: operations/s of 32 threads over those of 8 (no loss: 1; 0.97 counts as none)',
    BY_THREADS,
    (look) => look(OURS, 'gcm-1k', 'ops', 32) / look(OURS, 'gcm-1k', 'ops', 8),
    (share) => share >= 0.97,
    BETWEEN.threads,
  ),
  growth('find-label', 'find by label'),
  growth('find-new', 'find by a label that was not asked for before'),
  goal(
    'fresh process to its first signature: under 3 ms',
    'first',
    (look) => look(OURS, 'first') / 1e6,
    (ms) => ms < 3,
    BETWEEN.first,
  ),
];

function growth(row: string, what: string): Goal {
  const text = `${what}: at 100,000 objects at most 1.5 times that at 10`;
  const times = (look: Look): number => look(OURS, `${row}-100000`) / look(OURS, `${row}-10`);
  return goal(text, `${row} by objects`, times, (it) => it <= 1.5);
}

const MEMORY: readonly Goal[] = [
  {
    text: 'keeper under 8 MiB locked with 1,000 cells',
    measure: ({ cells }) => {
      const mib = cells.lockedKiB / 1024;
      return { values: [mib], holds: cells.held >= 1000 && mib < 8 };
    },
  },
  {
    text: 'each connected process costs the keeper under 300 KiB',
    measure: ({ memory }) => {
      const [few, many] = [memory[0], memory.at(-1)];
      if (few === undefined || many === undefined || many.ready < many.processes) return NOT_MEASURED;
      const each = (many.keeperKiB - few.keeperKiB) / (many.processes - few.processes);
      return { values: [each], holds: each < 300 };
    },
  },
  {
    text: 'agent under 120 MiB, also with the most processes',
    measure: ({ memory }) => {
      const most = Math.max(...memory.map(({ agentKiB }) => agentKiB / 1024));
      return { values: [most], holds: most < 120 };
    },
    between: BETWEEN.agent,
  },
];

function killed(who: 'keeper' | 'agent'): Goal {
  const holds = ({ times, passed, longestMs }: Kills): boolean => times >= 100 && passed && longestMs < 500;
  return {
    text: `kill -9 of the ${who}, 100 times, under load: no operation fails, the longest pause is under 500 ms`,
    measure: ({ soak }) => {
      const found = soak?.[who] ?? null;
      if (soak === null || found === null) return NOT_MEASURED;
      const where = `by \`npm run test:soak\` on ${soak.date}, commit ${soak.commit} (docs/soak-result.md)`;
      return { values: [found.longestMs], holds: holds(found), where };
    },
  };
}

export const GOALS: readonly Goal[] = [...SPEED, ...MEMORY, killed('keeper'), killed('agent')];
