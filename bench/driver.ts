/** A program of bench.c that stays and measures a row whenever it is asked, so that several can be asked in turn. */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Stage, Subject } from './subjects.ts';

/** One line of bench.c. Times in nanoseconds, `cpu` in seconds per million operations. */
export interface Figures {
  readonly row: string;
  readonly threads: number;
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly ops: number;
  readonly cpu: number;
  readonly rv: number;
}

const ANSWER_MAX_MS = 60_000;

export class Driver {
  readonly subject: Subject;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #said = '';

  constructor(stage: Stage, bench: string, subject: Subject) {
    this.subject = subject;
    const args = subject.module ? ['module', ...subject.module] : ['raw'];
    this.#child = stage.spawn(bench, args, subject.env, 'pipe');
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#said += chunk.toString()));
    if (this.#child.stdout === null) throw new Error('no output of the benchmark');
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async measure(row: string, seconds: number, threads: number): Promise<Figures> {
    this.#child.stdin?.write(`${row} ${seconds} ${threads}\n`);
    const late = AbortSignal.timeout(ANSWER_MAX_MS);
    const given = new Promise<never>((_, fail) => late.addEventListener('abort', () => fail(late.reason)));
    const { value, done } = await Promise.race([this.#lines.next(), given]);
    if (done === true) throw new Error(`${this.subject.name}, ${row}: ended\n${this.#said}`);
    return JSON.parse(value as string) as Figures;
  }

  /** Lets the program end by itself: it finalizes its module. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = new Promise((done) => this.#child.once('exit', done));
    this.#child.stdin?.end();
    await ended;
  }
}
