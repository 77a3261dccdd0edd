/** Turns a result into the tables of bench/README.md, with each goal beside what was measured. */
import { GOALS, type Measured } from './goals.ts';
import { median, rowsOf, value, type Result } from './result.ts';

export const SUBJECTS = ['Sidekey', 'SoftHSM2', 'SoftHSM2 by p11-kit', 'OpenSSL in process'];

export function micros(ns: number): string {
  if (Number.isNaN(ns) || ns === 0) return '-';
  return ns >= 1e6 ? `${(ns / 1e6).toFixed(2)} ms` : `${(ns / 1e3).toFixed(2)} us`;
}

function rate(ops: number): string {
  return Number.isNaN(ops) || ops === 0 ? '-' : Math.round(ops).toLocaleString('en');
}

function latencyTable(result: Result): string {
  const head = [
    'row',
    ...SUBJECTS.map((s) => `${s} p50`),
    'Sidekey p99',
    'Sidekey op/s',
    'Sidekey CPU s / 10^6',
  ];
  const body = rowsOf(result).map((row) => [
    row,
    ...SUBJECTS.map((subject) => micros(value(result, subject, row, 'p50'))),
    micros(value(result, 'Sidekey', row, 'p99')),
    rate(value(result, 'Sidekey', row, 'ops')),
    value(result, 'Sidekey', row, 'cpu').toFixed(2),
  ]);
  return markdown(head, body);
}

function threadTable(result: Result): string {
  const rows = ['gcm-1k', 'hmac-256', 'ecdsa-p256'];
  const body = rows.flatMap((row) =>
    [1, 2, 8, 32].map((n) => [row, String(n), ...SUBJECTS.map((s) => rate(value(result, s, row, 'ops', n)))]),
  );
  return markdown(['row', 'threads', ...SUBJECTS.map((s) => `${s} op/s`)], body);
}

function cellsOf({ values, holds, where }: Measured): string[] {
  const middle = median(values);
  if (Number.isNaN(middle)) return ['-', '', 'not measured'];
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const range = values.length > 1 ? `${least.toFixed(2)} to ${most.toFixed(2)}` : (where ?? 'once');
  return [middle.toFixed(2), range, holds ? 'yes' : 'no'];
}

function goalTable(result: Result): string {
  const body = GOALS.map(({ text, measure, between }) => {
    const measured = measure(result);
    return [text, ...cellsOf(measured), measured.holds ? '' : (between ?? '')];
  });
  return markdown(['goal', 'measured', 'rounds', 'holds', 'what stands between'], body);
}

function memoryTable(result: Result): string {
  const body = result.memory.map((m) => [
    String(m.processes),
    String(m.ready),
    String(m.keeperKiB),
    String(m.agentKiB),
  ]);
  return markdown(['processes', 'ready', 'keeper KiB', 'agent KiB'], body);
}

/** Both medians: ours of all turns, the other's of its rounds. */
function otherTable(result: Result): string {
  const rows = rowsOf(result).filter((row) =>
    result.others.some((round) => round.some((one) => one.row === row)),
  );
  const body = rows.map((row) => {
    const ours = value(result, 'Sidekey', row, 'p50');
    const other = median(
      result.others.map((round) => round.find((one) => one.row === row)?.p50 ?? Number.NaN),
    );
    return [row, micros(ours), micros(other), (other / ours).toFixed(2)];
  });
  return markdown(['row', 'here', 'p11bench', 'ratio'], body);
}

function markdown(head: readonly string[], body: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  return line(head) + line(head.map(() => '---')) + body.map(line).join('');
}

export function table(result: Result): string {
  const { machine, rounds, turns, seconds, cells } = result;
  const trip = micros(value(result, 'OpenSSL in process', 'roundtrip', 'p50'));
  return `# Benchmark

Written by \`npm run bench\` on ${result.date.slice(0, 10)}: ${machine.cores} cores of ${machine.processor}, kernel
${machine.kernel}, Node ${machine.node}. An empty cache-line round trip between two processes took ${trip}. Absolute times are
this machine's; ratios travel.

## How it is measured

The speed of a virtual machine changes: this one has phases, minutes long, in which everything takes up to twice as long. So
what is compared is measured within a second. All subjects are running programs that wait to be asked (bench.c). For each row a
turn asks each of them in the same order to repeat the operation for ${seconds} s; ${turns} turns follow one another, and are one round of
that row. There are ${rounds} rounds of all rows, minutes apart.

- A time is the median of the operations of one turn. The tables of latency, operations and CPU time have the median of all
  ${rounds * turns} turns.
- **A goal that is a ratio** has the ratio of what was measured in the same turn. A round's value is the median of its turns; the
  goal's is the median of the rounds, and the lowest and the highest round stand beside it. No round and no turn is left out.
- A goal in milliseconds or MiB is not a ratio, so the machine's speed counts. A fresh process is started ${turns} times in each round,
  in turn with the other subjects.
- With many threads all begin and end at the same moment, after each has warmed up.
- find-label and attributes-5 ask again what was answered before, while nothing has changed (ARCHITECTURE.md, "Answers that are
  kept"). find-new asks for another label each time, so that the question goes to the agent and back.
- The three instances with few and many objects (find-label-10 and so on) run beside one another and are asked in turn.

## Latency, one thread

${latencyTable(result)}
## The same rows by p11bench

../shared/bench/p11bench.c measures some of these rows of Sidekey from outside, in one thread, after the rounds above:

${otherTable(result)}
## Operations per second by threads

${threadTable(result)}
## Memory

Resident, with idle processes that have each opened a session and used it:

${memoryTable(result)}
With ${cells.held} keys in cells, the keeper had ${cells.lockedKiB} KiB of locked memory.

## Goals

${goalTable(result)}`;
}
