/** What is measured side by side: Sidekey, SoftHSM2 in process, SoftHSM2 through p11-kit's remoting, OpenSSL alone. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '..');
const SIDEKEY = join(ROOT, 'bin/sidekey');
const PIN = '123456';
const TOKEN = 'bench';

export interface Subject {
  readonly name: string;
  /** Library, PIN and token, as bench.c's commands want them; null: OpenSSL alone. */
  readonly module: readonly string[] | null;
  readonly env: Readonly<Record<string, string>>;
}

export interface Status {
  readonly agent: { readonly pid: number };
  readonly keeper: { readonly pid: number; readonly cells: number; readonly lockedBytes: number };
}

export interface Sidekey extends Subject {
  readonly status: () => Status;
}

/** Everything temporary of one benchmark: one folder, and processes that are ended with it. */
export class Stage {
  readonly dir = mkdtempSync(join(tmpdir(), 'sidekey-bench-'));
  readonly #children: ChildProcess[] = [];
  readonly #ownSessions: boolean;

  /** `ownSessions`: each process has a session of its own, as a service manager's do. The scheduler shares processors among sessions. */
  constructor({ ownSessions = false } = {}) {
    this.#ownSessions = ownSessions;
    // An interrupt from the terminal does not reach other sessions.
    if (ownSessions)
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => this.#abandon());
  }

  #abandon(): never {
    for (const child of this.#children) child.kill('SIGTERM');
    rmSync(this.dir, { recursive: true, force: true });
    process.exit(1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) await end(child);
    rmSync(this.dir, { recursive: true, force: true });
  }

  spawn(
    program: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    input: 'ignore' | 'pipe' = 'ignore',
  ): ChildProcess {
    const child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: [input, 'pipe', 'pipe'],
      detached: this.#ownSessions,
    });
    child.stderr?.resume();
    this.#children.push(child);
    return child;
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((done) => child.once('exit', done));
  child.kill('SIGTERM');
  await ended;
}

export function must(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): string {
  const result = spawnSync(program, args, {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (result.status === 0) return result.stdout;
  throw new Error(`${program} ${args.join(' ')}: exit ${result.status}\n${result.stdout}${result.stderr}`);
}

/** Compiles bench.c and what belongs to it into the stage. */
export function compileBench(stage: Stage): string {
  const flags = must('pkg-config', ['--cflags', 'p11-kit-1']).trim().split(' ');
  const sources = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.c'));
  const paths = sources.map((name) => join(import.meta.dirname, name));
  const binary = join(stage.dir, 'bench');
  const libraries = ['-ldl', '-lpthread', '-lcrypto'];
  must('gcc', ['-std=c11', '-D_GNU_SOURCE', '-O2', '-o', binary, ...paths, ...flags, ...libraries]);
  return binary;
}

/** The benchmark of others that measures some of the same rows, if it is there: its source stands beside the checkout. */
export function compileOther(stage: Stage): string | null {
  const source = join(ROOT, '../shared/bench/p11bench.c');
  if (!existsSync(source)) return null;
  const flags = must('pkg-config', ['--cflags', 'p11-kit-1']).trim().split(' ');
  const binary = join(stage.dir, 'p11bench');
  must('gcc', ['-O2', '-w', '-o', binary, source, ...flags, '-ldl', '-lpthread', '-lcrypto']);
  return binary;
}

/** `settings`: lines for the end of its configuration; `name`: of its folder and, with those of others, of the subject. */
export function startSidekey(stage: Stage, settings = '', name = 'Sidekey'): Sidekey {
  const dir = join(stage.dir, name.toLowerCase().replaceAll(' ', '-'));
  must(SIDEKEY, ['init', '--dir', dir, '--token', TOKEN, '--pin', PIN, '--so-pin', '12345678']);
  const config = join(dir, 'sidekey.yaml');
  appendFileSync(config, settings);
  stage.spawn(SIDEKEY, ['agent', '--config', config]).stdout?.resume();
  must(SIDEKEY, ['status', '--wait', '15s', '--config', config]);
  const status = () => JSON.parse(must(SIDEKEY, ['status', '--json', '--config', config])) as Status;
  return {
    name,
    module: [join(ROOT, 'native-shim/build/sidekey-pkcs11.so'), PIN, TOKEN],
    env: { SIDEKEY_SOCKET: join(dir, 'pkcs11.sock') },
    status,
  };
}

export function prepareSoftHsm(stage: Stage): Subject {
  const tokens = join(stage.dir, 'softhsm');
  const config = join(stage.dir, 'softhsm2.conf');
  mkdirSync(tokens);
  writeFileSync(config, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  const env = { SOFTHSM2_CONF: config };
  must(
    'softhsm2-util',
    ['--init-token', '--free', '--label', TOKEN, '--so-pin', '12345678', '--pin', PIN],
    env,
  );
  return { name: 'SoftHSM2', module: ['/usr/lib/softhsm/libsofthsm2.so', PIN, TOKEN], env };
}

/** `p11-kit server` in front of the same SoftHSM2 token. */
export async function startP11Kit(stage: Stage, softHsm: Subject): Promise<Subject> {
  const provider = softHsm.module?.[0] ?? '';
  const socket = join(stage.dir, 'p11-kit.sock');
  const server = stage.spawn(
    'p11-kit',
    ['server', '-f', '-n', socket, '--provider', provider, `pkcs11:token=${TOKEN}`],
    softHsm.env,
  );
  server.stdout?.resume();
  for (const until = Date.now() + 5000; !existsSync(socket);) {
    if (Date.now() > until) throw new Error('p11-kit server did not start');
    await new Promise((done) => setTimeout(done, 20));
  }
  const client = must('pkg-config', ['--variable=p11_module_path', 'p11-kit-1']).trim();
  return {
    name: 'SoftHSM2 by p11-kit',
    module: [join(client, 'p11-kit-client.so'), PIN, TOKEN],
    env: { P11_KIT_SERVER_ADDRESS: `unix:path=${socket}` },
  };
}

export const OPENSSL: Subject = { name: 'OpenSSL in process', module: null, env: {} };

/** Memory of a process in KiB, as its status calls it. */
export function memoryKiB(pid: number, what: 'VmRSS' | 'VmLck'): number {
  const line = new RegExp(`^${what}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? Number.NaN);
}
