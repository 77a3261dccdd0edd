/** One process around a vendor's library, seen from the agent: started, asked, killed. Its end rejects whatever it was asked. */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CODE, encodeFrame, HsmFrameDecoder, type HsmFrame } from './frame.ts';

/** .ts here, .js in the published package. */
const PROGRAM = fileURLToPath(new URL(`./worker${extname(import.meta.filename)}`, import.meta.url));
const CLOSE_MS = 500;

/** The process is gone, hung or of no use: another one may do. */
export class WorkerLost extends Error {}

/** The module said no: to the PIN, to a ciphertext that does not open, or to something else. */
export class WorkerRefusal extends Error {
  readonly to: 'pin' | 'data' | 'other';

  constructor(message: string, code: number) {
    super(message);
    this.to = code === CODE.pinRefused ? 'pin' : code === CODE.dataInvalid ? 'data' : 'other';
  }
}

interface Pending {
  readonly resolve: (field: Buffer) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

function exitReason(code: number | null, signal: NodeJS.Signals | null): string {
  return signal ? `its library crashed (${signal})` : `the process of its library ended (${code})`;
}

/** A vendor's library finds its configuration by the environment; a crash of it must leave no core with keys. */
function start(environment: Readonly<Record<string, string>>, threads: number): ChildProcess {
  const env = { ...process.env, ...environment, UV_THREADPOOL_SIZE: String(threads), NODE_OPTIONS: '' };
  const command = [
    '-c',
    'ulimit -c 0; exec "$0" "$@"',
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    PROGRAM,
  ];
  return spawn('/bin/sh', command, { stdio: ['ignore', 'ignore', 'ignore', 'pipe'], env, cwd: '/' });
}

export class WorkerProcess {
  readonly #child: ChildProcess;
  readonly #socket: Socket;
  readonly #decoder = new HsmFrameDecoder();
  readonly #pending = new Map<number, Pending>();
  #last = 0;
  #lost: WorkerLost | null = null;

  constructor(environment: Readonly<Record<string, string>>, threads: number) {
    this.#child = start(environment, threads);
    this.#socket = this.#child.stdio[3] as Socket;
    this.#child.once('error', (error) =>
      this.kill(`the process for its library could not be started: ${error.message}`),
    );
    this.#child.once('exit', (code, signal) => this.kill(exitReason(code, signal)));
    this.#socket.on('error', () => undefined);
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#child.unref();
    this.#socket.unref();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get alive(): boolean {
    return !this.#lost;
  }

  /** Rejects with WorkerRefusal, or with WorkerLost, also at the deadline: then the process is killed. The caller wipes fields and result. */
  ask(code: number, fields: readonly Buffer[], timeoutMs: number): Promise<Buffer> {
    if (this.#lost) return Promise.reject(this.#lost);
    const number = (this.#last = (this.#last + 1) >>> 0);
    const bytes = encodeFrame({ number, code, fields });
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.kill(`its library did not answer within ${Math.round(timeoutMs)} ms`),
        timeoutMs,
      );
      this.#pending.set(number, { resolve, reject, timer });
      this.#socket.write(bytes, () => bytes.fill(0));
    });
  }

  kill(reason: string): void {
    if (this.#lost) return;
    this.#lost = new WorkerLost(reason);
    this.#socket.destroy();
    this.#child.kill('SIGKILL');
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(this.#lost);
    }
    this.#pending.clear();
  }

  /** Lets the library finish (C_Finalize), for a moment. */
  async close(): Promise<void> {
    if (this.#lost) return;
    const ended = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));
    const timer = setTimeout(() => this.kill('closed'), CLOSE_MS);
    this.#child.ref();
    this.#socket.end();
    await ended;
    clearTimeout(timer);
    this.kill('closed');
  }

  #take(chunk: Buffer): void {
    try {
      this.#decoder.push(chunk).forEach((frame) => this.#settle(frame));
    } catch (error) {
      this.kill(error instanceof Error ? error.message : String(error));
    }
  }

  #settle({ number, code, fields }: HsmFrame): void {
    const pending = this.#pending.get(number);
    if (!pending) return;
    clearTimeout(pending.timer);
    this.#pending.delete(number);
    const [field = Buffer.alloc(0)] = fields;
    if (code === CODE.ok) return pending.resolve(field);
    const message = field.toString('utf8');
    if (code !== CODE.lost) return pending.reject(new WorkerRefusal(message, code));
    this.kill(message);
    pending.reject(new WorkerLost(message));
  }
}
