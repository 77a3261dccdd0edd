/**
 * npm run bench: measures Sidekey beside its neighbours in one run, on this machine, and writes result.json, the table of
 * README.md and figure.svg. `--runs N` instead of five, `--rows a,b` only those, `--objects 10,1000` to find among; `--quick`
 * is a look of half a minute.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { figure, table, type Result, type Sample } from './report.ts';
import {
  compileBench,
  must,
  OPENSSL,
  prepareSoftHsm,
  residentKiB,
  Stage,
  startP11Kit,
  startSidekey,
  type Sidekey,
  type Subject,
} from './subjects.ts';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    runs: { type: 'string', default: '5' },
    rows: { type: 'string', default: '' },
    objects: { type: 'string', default: '10,10000,100000' },
    out: { type: 'string', default: import.meta.dirname },
  },
});
const RUNS = options.quick ? 1 : Number(options.runs);
const SECONDS = options.quick ? '0.2' : '0.3';
const ROWS = options.rows === '' ? [] : options.rows.split(',');
/** Rows that are worth their time with many threads. */
const THREADED = ['gcm-1k', 'hmac-256', 'ecdsa-p256'];

function lines(text: string): Sample[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Sample);
}

function measure(bench: string, subject: Subject, threads: number, rows: readonly string[]): Sample[] {
  const args = subject.module
    ? ['module', ...subject.module, SECONDS, String(threads), ...rows]
    : ['raw', SECONDS, String(threads), ...rows];
  return lines(must(bench, args, subject.env)).map((sample) => ({ ...sample, subject: subject.name }));
}

/** The subjects in turn, run after run, so that a change of the machine's speed meets all of them. */
function measureAll(bench: string, subjects: readonly Subject[]): Sample[] {
  const samples: Sample[] = [];
  for (let run = 0; run < RUNS; run++) {
    say(`run ${run + 1} of ${RUNS}`);
    samples.push(...lines(must(bench, ['roundtrip', SECONDS])).map((s) => ({ ...s, subject: 'machine' })));
    for (const subject of subjects) samples.push(...measure(bench, subject, 1, ROWS));
    for (const threads of [2, 8, 32]) {
      for (const subject of subjects) samples.push(...measure(bench, subject, threads, THREADED));
    }
  }
  return samples;
}

/** Finds by label while the token grows. */
function measureGrowth(bench: string, sidekey: Subject): Sample[] {
  const samples: Sample[] = [];
  let there = 0;
  const counts = options.quick ? [10, 1000] : options.objects.split(',').map(Number);
  for (const objects of counts) {
    say(`${objects} objects`);
    must(bench, ['populate', ...(sidekey.module ?? []), String(objects - there)], sidekey.env);
    there = objects;
    for (let run = 0; run < RUNS; run++) {
      const found = measure(bench, sidekey, 1, ['find-label']);
      samples.push(...found.map((sample) => ({ ...sample, row: `find-label-${objects}` })));
    }
  }
  return samples;
}

function measureFirst(bench: string, subjects: readonly Subject[]): Sample[] {
  const samples: Sample[] = [];
  for (const subject of subjects) {
    for (let run = 0; run < RUNS * 4; run++) {
      const first = lines(must(bench, ['first', ...(subject.module ?? [])], subject.env));
      if (run > 0) samples.push(...first.map((sample) => ({ ...sample, subject: subject.name })));
    }
  }
  return samples;
}

/** Resident memory of keeper and agent before and while many processes are connected. */
async function measureMemory(bench: string, sidekey: Sidekey): Promise<Result['memory']> {
  const { agent, keeper } = sidekey.pids();
  const memory: Result['memory'][number][] = [];
  for (const processes of options.quick ? [1, 50] : [1, 1000]) {
    say(`${processes} processes`);
    const module = sidekey.module?.[0] ?? '';
    const child = spawn(bench, ['idle', module, String(processes)], {
      env: { ...process.env, ...sidekey.env },
    });
    let seen = '';
    child.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    for (const until = Date.now() + 60_000; seen.split('\n').length <= processes && Date.now() < until;) {
      await new Promise((done) => setTimeout(done, 50));
    }
    memory.push({
      processes,
      ready: seen.split('+').length - 1,
      keeperKiB: residentKiB(keeper),
      agentKiB: residentKiB(agent),
    });
    child.stdin.end();
    await new Promise((done) => child.once('exit', done));
  }
  return memory;
}

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

await using stage = new Stage();
const bench = compileBench(stage);
const sidekey = startSidekey(stage);
const softHsm = prepareSoftHsm(stage);
const p11Kit = await startP11Kit(stage, softHsm);
const samples = measureAll(bench, [sidekey, softHsm, p11Kit, OPENSSL]);
samples.push(...measureFirst(bench, [sidekey, softHsm, p11Kit]));
const memory = await measureMemory(bench, sidekey);
samples.push(...measureGrowth(bench, sidekey));

const processor = cpus()[0]?.model ?? 'unknown';
const machine = { processor, cores: cpus().length, kernel: release(), node: process.version };
const result: Result = { date: new Date().toISOString(), machine, runs: RUNS, samples, memory };
writeFileSync(join(options.out, 'result.json'), JSON.stringify(result, null, 1) + '\n');
writeFileSync(join(options.out, 'README.md'), table(result));
writeFileSync(join(options.out, 'figure.svg'), figure(result));
process.stdout.write(table(result));
