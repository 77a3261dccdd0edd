/**
 * A whole Sidekey for one test: `sidekey init` into a temporary directory, agent and keeper as real processes, everything
 * killed and removed at the end. SIDEKEY_BUILD names another build of the C programs (build-asan) for the same tests.
 */
import { spawn, spawnSync, type ChildProcess, type SpawnSyncReturns } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Test } from 'tap';

export const ROOT = resolve(import.meta.dirname, '../..');
const BUILD = resolve(ROOT, 'native-shim', process.env['SIDEKEY_BUILD'] ?? 'build');
export const MODULE = join(BUILD, 'sidekey-pkcs11.so');
export const KEEPER = join(BUILD, 'sidekey-keeper');
const SIDEKEY = join(ROOT, 'bin/sidekey');

export const PIN = '123456';
export const SO_PIN = '12345678';

export interface Outcome {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

function outcome(result: SpawnSyncReturns<Buffer>): Outcome {
  return {
    status: result.status,
    signal: result.signal,
    stdout: result.stdout.toString('utf8'),
    stderr: result.stderr.toString('utf8'),
  };
}

/** An instrumented module needs its runtime in the host: the host itself is not instrumented. */
function sanitizerEnvironment(): Record<string, string> {
  if (!BUILD.endsWith('asan')) return {};
  const runtime = spawnSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout.trim();
  return {
    LD_PRELOAD: runtime,
    ASAN_OPTIONS: `detect_leaks=0:abort_on_error=1:suppressions=${join(import.meta.dirname, 'asan.supp')}`,
    UBSAN_OPTIONS: 'halt_on_error=1',
  };
}

export class Instance {
  readonly dir: string;
  #agent: ChildProcess | null = null;
  #log = '';

  constructor(dir: string) {
    this.dir = dir;
  }

  get config(): string {
    return join(this.dir, 'sidekey.yaml');
  }

  get socket(): string {
    return join(this.dir, 'pkcs11.sock');
  }

  get api(): string {
    return join(this.dir, 'api.sock');
  }

  /** What the agent and the keeper it started wrote to stderr so far. */
  get log(): string {
    return this.#log;
  }

  get agentPid(): number {
    const pid = this.#agent?.pid;
    if (pid === undefined) throw new Error('the agent does not run');
    return pid;
  }

  /** `sidekey ARGS --config this one`, to its end. */
  sidekey(...args: string[]): Outcome {
    const result = spawnSync(SIDEKEY, [...args, '--config', this.config], { timeout: 30_000 });
    return outcome(result);
  }

  status(): Record<string, unknown> & { keeper: { pid: number }; agent: { pid: number } } {
    const { stdout, stderr } = this.sidekey('status', '--json');
    try {
      return JSON.parse(stdout);
    } catch (cause) {
      throw new Error(`sidekey status --json said: ${stdout}${stderr}`, { cause });
    }
  }

  /** By another program, where one is given: unshare, prlimit. */
  startAgent(by: readonly string[] = []): void {
    const [program = '', ...args] = [...by, SIDEKEY, 'agent', '--config', this.config];
    const agent = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    agent.stderr?.on('data', (chunk: Buffer) => (this.#log += chunk.toString('utf8')));
    agent.unref();
    this.#agent = agent;
  }

  async start(): Promise<void> {
    this.startAgent();
    await this.ready();
  }

  async ready(): Promise<void> {
    const wait = spawn(SIDEKEY, ['status', '--wait', '15s', '--config', this.config], { stdio: 'ignore' });
    const code = await new Promise((done) => wait.once('exit', done));
    if (code !== 0) throw new Error(`sidekey did not become ready (status exited ${code}):\n${this.#log}`);
  }

  /** SIGTERM and wait for the end. Gives the exit code. */
  async stopAgent(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const agent = this.#agent;
    if (!agent || agent.exitCode !== null || agent.signalCode !== null) return agent?.exitCode ?? null;
    agent.ref();
    const ended = new Promise<number | null>((done) => agent.once('exit', (code) => done(code)));
    agent.kill(signal);
    return ended;
  }

  /** What a program needs to find this instance, beside what it has. */
  get environment(): Record<string, string> {
    return { ...sanitizerEnvironment(), SIDEKEY_SOCKET: this.socket };
  }

  /** Runs a program that knows nothing of Sidekey, with the module's socket in its environment. */
  run(
    program: string,
    args: readonly string[],
    options: { env?: Record<string, string>; input?: string } = {},
  ): Outcome {
    const env = { ...process.env, ...this.environment, ...options.env };
    const result = spawnSync(program, args, {
      env,
      timeout: 120_000,
      ...(options.input ? { input: options.input } : {}),
    });
    if (result.error) throw result.error;
    return outcome(result);
  }

  pkcs11Tool(...args: string[]): Outcome {
    return this.run('pkcs11-tool', ['--module', MODULE, ...args]);
  }

  /** Everything this instance started is killed; the keeper too, which outlives its agent. */
  async destroy(): Promise<void> {
    const keeper = this.keeperPid();
    await this.stopAgent('SIGTERM');
    if (keeper !== null) killQuietly(keeper);
    rmSync(this.dir, { recursive: true, force: true });
  }

  keeperPid(): number | null {
    const found = spawnSync('pgrep', ['-f', `sidekey-keeper.*${this.dir}/`], {
      encoding: 'utf8',
    }).stdout.trim();
    const first = Number.parseInt(found.split('\n')[0] ?? '', 10);
    return Number.isNaN(first) ? null : first;
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** The directory must be one that other uids can reach: the system's temporary directory is. */
export function temporaryDirectory(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'sidekey-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Initialised, not started. `edit` changes the configuration's text. */
export function initInstance(
  t: Test,
  options: { allow?: string[]; edit?: (yaml: string) => string } = {},
): Instance {
  const dir = join(temporaryDirectory(t), 'instance');
  chmodSync(join(dir, '..'), 0o755);
  const allow = (options.allow ?? []).flatMap((who) => ['--allow', who]);
  const args = ['init', '--dir', dir, '--token', 'test', '--pin', PIN, '--so-pin', SO_PIN, ...allow];
  const result = spawnSync(SIDEKEY, args, { timeout: 30_000 });
  if (result.status !== 0) throw new Error(`sidekey init: ${result.stderr}`);
  const instance = new Instance(dir);
  let yaml = readFileSync(instance.config, 'utf8');
  if (process.env['SIDEKEY_BUILD']) yaml = yaml.replace(/^keeper:\n/m, `keeper:\n  path: ${KEEPER}\n`);
  if (options.edit) yaml = options.edit(yaml);
  writeFileSync(instance.config, yaml);
  t.teardown(() => instance.destroy());
  return instance;
}

export async function startInstance(
  t: Test,
  options: Parameters<typeof initInstance>[1] = {},
): Promise<Instance> {
  const instance = initInstance(t, options);
  await instance.start();
  return instance;
}

/** ThreadSanitizer's runtime comes with the program, too late with a module that it loads. */
const SANITIZED = process.env['SIDEKEY_BUILD'] === 'build-tsan' ? ['-fsanitize=thread'] : [];

/** Compiles a small C program of this folder; gives the path of the binary. */
export function compile(t: Test, source: string, ...flags: string[]): string {
  return compileBy('gcc', t, source, ...SANITIZED, ...flags);
}

/** As compile(), by another compiler: musl-gcc. */
export function compileBy(compiler: string, t: Test, source: string, ...flags: string[]): string {
  const binary = join(temporaryDirectory(t), 'program');
  const pkgConfig = spawnSync('pkg-config', ['--cflags', 'p11-kit-1'], { encoding: 'utf8' })
    .stdout.trim()
    .split(' ');
  const args = [
    '-std=c11',
    '-O2',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-o',
    binary,
    join(import.meta.dirname, source),
  ];
  const result = spawnSync(compiler, [...args, ...pkgConfig, '-ldl', '-lpthread', ...flags], {
    encoding: 'utf8',
  });
  if (result.status !== 0) throw new Error(result.error?.message ?? result.stderr);
  return binary;
}

export function copyTree(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  cpSync(from, to, { recursive: true });
}
