/** What is measured side by side: Sidekey, SoftHSM2 in process, SoftHSM2 through p11-kit's remoting, OpenSSL alone. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
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
  /** Arguments of `bench module` after the command word; null: OpenSSL alone. */
  readonly module: readonly string[] | null;
  readonly env: Readonly<Record<string, string>>;
}

export interface Sidekey extends Subject {
  readonly pids: () => { agent: number; keeper: number };
}

/** Everything temporary of one benchmark: one folder, and processes that are ended with it. */
export class Stage {
  readonly dir = mkdtempSync(join(tmpdir(), 'sidekey-bench-'));
  readonly #children: ChildProcess[] = [];

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) await end(child);
    rmSync(this.dir, { recursive: true, force: true });
  }

  spawn(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
    const child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
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

/** Compiles bench.c into the stage. */
export function compileBench(stage: Stage): string {
  const flags = must('pkg-config', ['--cflags', 'p11-kit-1']).trim().split(' ');
  const binary = join(stage.dir, 'bench');
  must('gcc', [
    '-std=c11',
    '-O2',
    '-o',
    binary,
    join(ROOT, 'bench/bench.c'),
    ...flags,
    '-ldl',
    '-lpthread',
    '-lcrypto',
  ]);
  return binary;
}

/** `settings`: lines for the end of its configuration. */
export function startSidekey(stage: Stage, settings = ''): Sidekey {
  const dir = join(stage.dir, 'sidekey');
  must(SIDEKEY, ['init', '--dir', dir, '--token', TOKEN, '--pin', PIN, '--so-pin', '12345678']);
  const config = join(dir, 'sidekey.yaml');
  appendFileSync(config, settings);
  stage.spawn(SIDEKEY, ['agent', '--config', config]).stdout?.resume();
  must(SIDEKEY, ['status', '--wait', '15s', '--config', config]);
  return {
    name: 'Sidekey',
    module: [join(ROOT, 'native-shim/build/sidekey-pkcs11.so'), PIN, TOKEN],
    env: { SIDEKEY_SOCKET: join(dir, 'pkcs11.sock') },
    pids: () => {
      const status = JSON.parse(must(SIDEKEY, ['status', '--json', '--config', config])) as {
        agent: { pid: number };
        keeper: { pid: number };
      };
      return { agent: status.agent.pid, keeper: status.keeper.pid };
    },
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

/** Resident memory of a process in KiB. */
export function residentKiB(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? 0);
}
