/**
 * npm run bench: measures Sidekey beside its neighbours in one run, on this machine, and writes result.json, the tables of
 * README.md and figure.svg. `--rounds N` instead of five, `--rows a,b` only those, `--objects 10,1000` to find among; `--quick`
 * is a look of a minute.
 */
import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Driver, type Figures } from './driver.ts';
import { figure } from './figure.ts';
import { measureCells, measureProcesses } from './memory.ts';
import { measureOther, type Other } from './other.ts';
import { table } from './report.ts';
import type { Result, Sample } from './result.ts';
import { readSoak } from './soak.ts';
import {
  compileBench,
  compileOther,
  must,
  OPENSSL,
  prepareSoftHsm,
  Stage,
  startP11Kit,
  startSidekey,
  type Subject,
} from './subjects.ts';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    rows: { type: 'string', default: '' },
    objects: { type: 'string', default: '10,10000,100000' },
    out: { type: 'string', default: import.meta.dirname },
  },
});
const ROUNDS = options.quick ? 1 : Number(options.rounds);
const TURNS = options.quick ? 2 : 5;
const SECONDS = options.quick ? 0.05 : 0.1;
const OBJECTS = options.quick ? [10, 1000] : options.objects.split(',').map(Number);

/** Rows of bench.c that OpenSSL alone has as well, and those of a token. */
const CIPHER_ROWS = ['gcm-16', 'gcm-1k', 'gcm-16k', 'gcm-1m', 'gcm-64m', 'cbc-pad-1k'];
const OTHER_ROWS = ['hmac-256', 'sha256-1k', 'random-32', 'ecdsa-p256', 'rsa2048-pkcs', 'rsa2048-pss'];
const RAW_ROWS = [...CIPHER_ROWS, ...OTHER_ROWS];
const TOKEN_ROWS = ['session', 'find-label', 'find-new', 'attributes-5'];
/** Rows whose goal has the empty round trip in it. */
const BUDGET_ROWS = ['gcm-16', 'gcm-1k'];
/** Rows that are worth their time with many threads. */
const THREADED = ['gcm-1k', 'hmac-256', 'ecdsa-p256'];
const THREADS = [2, 8, 32];

interface Probe {
  readonly subject: string;
  readonly measure: () => Promise<Figures>;
}

/** What is compared: each turn measures all of it, one right after the other. */
interface Group {
  readonly name: string;
  readonly probes: readonly Probe[];
}

function probe(driver: Driver, row: string, threads = 1): Probe {
  return { subject: driver.subject.name, measure: () => driver.measure(row, SECONDS, threads) };
}

function isWanted(name: string): boolean {
  return options.rows === '' || options.rows.split(',').includes(name);
}

/** Turn after turn within a round, so that a change of the machine's speed meets all that is compared. */
async function measureRounds(groups: readonly Group[]): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    say(`round ${round + 1} of ${ROUNDS}`);
    for (const group of groups.filter(({ name }) => isWanted(name))) {
      for (let turn = 0; turn < TURNS; turn++) {
        for (const { subject, measure } of group.probes) {
          samples.push({ ...(await measure()), subject, group: group.name, round, turn });
        }
      }
    }
  }
  return samples;
}

function rowGroup(row: string, modules: readonly Driver[], raw: Driver): Group {
  const probes = modules.map((driver) => probe(driver, row));
  // Next to Sidekey, which comes first.
  if (BUDGET_ROWS.includes(row)) probes.unshift(probe(raw, 'roundtrip'));
  if (RAW_ROWS.includes(row)) probes.unshift(probe(raw, row));
  return { name: row, probes };
}

function threadGroup(row: string, drivers: readonly Driver[]): Group {
  const probes = drivers.flatMap((driver) => THREADS.map((threads) => probe(driver, row, threads)));
  return { name: `${row} by threads`, probes };
}

/** A fresh process each time. The very first makes the key. */
function firstGroup(bench: string, subjects: readonly Subject[]): Group {
  const once = (subject: Subject) => must(bench, ['first', ...(subject.module ?? [])], subject.env);
  subjects.forEach(once);
  const probes = subjects.map((subject) => ({
    subject: subject.name,
    measure: async () => JSON.parse(once(subject)) as Figures,
  }));
  return { name: 'first', probes };
}

/** Instances that differ in the number of their objects, beside one another. */
async function measureGrowth(stage: Stage, bench: string): Promise<Sample[]> {
  const drivers = OBJECTS.map((objects) => {
    say(`${objects} objects`);
    const sidekey = startSidekey(stage, '', `Sidekey of ${objects}`);
    must(bench, ['populate', ...(sidekey.module ?? []), String(objects)], sidekey.env);
    return { driver: new Driver(stage, bench, sidekey), objects };
  });
  const group = (row: string): Group => ({
    name: `${row} by objects`,
    probes: drivers.map(({ driver, objects }) => ({
      subject: 'Sidekey',
      measure: async () => ({
        ...(await driver.measure(row, SECONDS, 1)),
        row: `${row}-${objects}`,
      }),
    })),
  });
  return measureRounds([group('find-label'), group('find-new')]);
}

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

async function main(): Promise<Result> {
  await using stage = new Stage();
  const bench = compileBench(stage);
  const sidekey = startSidekey(stage);
  const softHsm = prepareSoftHsm(stage);
  const p11Kit = await startP11Kit(stage, softHsm);
  const modules = [sidekey, softHsm, p11Kit].map((subject) => new Driver(stage, bench, subject));
  const raw = new Driver(stage, bench, OPENSSL);
  const samples = await measureRounds([
    ...[...RAW_ROWS, ...TOKEN_ROWS].map((row) => rowGroup(row, modules, raw)),
    ...THREADED.map((row) => threadGroup(row, [...modules, raw])),
    firstGroup(bench, [sidekey, softHsm, p11Kit]),
  ]);
  for (const driver of modules) await driver.end();
  say('p11bench');
  const p11bench = compileOther(stage);
  const others: Other[][] = [];
  for (let round = 0; p11bench !== null && round < ROUNDS; round++)
    others.push(measureOther(p11bench, sidekey, SECONDS * TURNS));
  say('memory');
  const memory = await measureProcesses(stage, bench, sidekey, options.quick ? [1, 50] : [1, 1000]);
  const cells = await measureCells(stage, bench, sidekey, options.quick ? 50 : 1000);
  samples.push(...(await measureGrowth(stage, bench)));
  const processor = cpus()[0]?.model ?? 'unknown';
  const machine = { processor, cores: cpus().length, kernel: release(), node: process.version };
  const date = new Date().toISOString();
  const soak = readSoak();
  return {
    date,
    machine,
    rounds: ROUNDS,
    turns: TURNS,
    seconds: SECONDS,
    memory,
    cells,
    soak,
    others,
    samples,
  };
}

/** A sample a line. */
function toJson({ samples, ...rest }: Result): string {
  const lines = samples.map((sample) => `  ${JSON.stringify(sample)}`).join(',\n');
  return `${JSON.stringify(rest, null, 1).slice(0, -2)},\n "samples": [\n${lines}\n ]\n}\n`;
}

const result = await main();
writeFileSync(join(options.out, 'result.json'), toJson(result));
writeFileSync(join(options.out, 'README.md'), table(result));
writeFileSync(join(options.out, 'figure.svg'), figure(result));
process.stdout.write(table(result));
