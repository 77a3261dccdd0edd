/**
 * What the tests of unmodified applications share: a token's key with its certificate, programs that run to their end,
 * and servers on loopback. Nothing here knows PKCS#11: keys are made by pkcs11-tool, certificates by openssl.
 */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls, type ConnectionOptions, type PeerCertificate } from 'node:tls';
import type { Test } from 'tap';
import { MODULE, PIN, temporaryDirectory, type Instance, type Outcome } from '../e2e/instance.ts';

const FINISH_MS = 30_000;

export interface Identity {
  /** PKCS#11 URI of the private key (RFC 7512), without a PIN. */
  readonly uri: string;
  readonly label: string;
  /** Path of the certificate, PEM. */
  readonly certificate: string;
  readonly x509: X509Certificate;
}

/** An environment in which a program finds the module's socket and OpenSSL finds the engine, with its PIN. */
export function environment(
  sidekey: Instance,
  dir: string,
  more: Record<string, string> = {},
): NodeJS.ProcessEnv {
  return {
    ...process.env,
    SIDEKEY_SOCKET: sidekey.socket,
    OPENSSL_CONF: engineConfiguration(dir),
    LC_ALL: 'C.UTF-8',
    ...more,
  };
}

function engineConfiguration(dir: string): string {
  const path = join(dir, 'openssl.cnf');
  writeFileSync(
    path,
    `openssl_conf = init
[init]
engines = engines
[engines]
pkcs11 = pkcs11
[pkcs11]
engine_id = pkcs11
MODULE_PATH = ${MODULE}
PIN = ${PIN}
init = 0
[req]
distinguished_name = name
prompt = no
[name]
CN = localhost
`,
  );
  return path;
}

/** A program that knows nothing of Sidekey, run to its end without blocking this process (which may serve it). */
export async function run(
  program: string,
  args: readonly string[],
  options: SpawnOptions & { input?: string | Buffer } = {},
): Promise<Outcome & { bytes: Buffer }> {
  const child = spawn(program, args, { timeout: FINISH_MS, ...options, stdio: 'pipe' });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => err.push(chunk));
  // A program may end without reading what it is given; its exit code is what counts.
  child.stdin?.on('error', () => {});
  child.stdin?.end(options.input ?? '');
  const [status, signal] = await once(child, 'close');
  const bytes = Buffer.concat(out);
  return {
    status,
    signal,
    bytes,
    stdout: bytes.toString('utf8'),
    stderr: Buffer.concat(err).toString('utf8'),
  };
}

/** `run`, and the test fails with what the program said unless it exits 0. */
export async function must(
  t: Test,
  program: string,
  args: readonly string[],
  options: SpawnOptions & { input?: string | Buffer } = {},
): Promise<string> {
  const { status, signal, stdout, stderr } = await run(program, args, options);
  const said = status === 0 ? '' : `: ${signal ?? status}\n${stdout}${stderr}`;
  t.equal(status, 0, `${program} ${args.join(' ')}${said}`);
  return stdout;
}

/** A directory that server processes under other uids can enter. */
export function openDirectory(t: Test): string {
  const dir = temporaryDirectory(t);
  chmodSync(dir, 0o755);
  return dir;
}

export async function makeKey(
  t: Test,
  sidekey: Instance,
  type: string,
  id: string,
  label: string,
  ...more: readonly string[]
): Promise<string> {
  const login = ['--module', MODULE, '--login', '--pin', PIN];
  const key = ['--keypairgen', '--key-type', type, '--id', id, '--label', label, ...more];
  const env = { ...process.env, SIDEKEY_SOCKET: sidekey.socket };
  await must(t, 'pkcs11-tool', [...login, ...key], { env });
  return `pkcs11:token=test;object=${label};type=private`;
}

/** A key pair in the token and a self-signed certificate for localhost, made with it through OpenSSL's engine. */
export async function makeIdentity(
  t: Test,
  sidekey: Instance,
  dir: string,
  options: { type?: string; id?: string; label?: string; extensions?: readonly string[] } = {},
): Promise<Identity> {
  const { type = 'rsa:2048', id = '01', label = 'identity', extensions = [] } = options;
  const uri = await makeKey(t, sidekey, type, id, label);
  const certificate = join(dir, `${label}.pem`);
  const names = ['subjectAltName=DNS:localhost,IP:127.0.0.1', ...extensions];
  const engine = ['-engine', 'pkcs11', '-keyform', 'engine', '-key', uri];
  const request = ['req', '-new', '-x509', '-days', '2', '-sha256', '-subj', '/CN=localhost'];
  await must(
    t,
    'openssl',
    [...request, ...names.flatMap((name) => ['-addext', name]), ...engine, '-out', certificate],
    { env: environment(sidekey, dir) },
  );
  chmodSync(certificate, 0o644);
  return { uri, label, certificate, x509: new X509Certificate(readFileSync(certificate)) };
}

/** Writes the certificate into the token too, beside its key. */
export async function storeCertificate(
  t: Test,
  sidekey: Instance,
  identity: Identity,
  id = '01',
): Promise<void> {
  const der = `${identity.certificate}.der`;
  writeFileSync(der, identity.x509.raw);
  const login = ['--module', MODULE, '--login', '--pin', PIN];
  const object = ['--write-object', der, '--type', 'cert', '--id', id, '--label', identity.label];
  const env = { ...process.env, SIDEKEY_SOCKET: sidekey.socket };
  await must(t, 'pkcs11-tool', [...login, ...object], { env });
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

export type Server = ChildProcess & { output: () => string };

/**
 * Starts a server and waits until it accepts connections on `port`; it is ended with the test. It leads a process group
 * of its own: Apache sends its own end to the whole group, which would be this test's.
 */
export async function serve(
  t: Test,
  port: number,
  program: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<Server> {
  const child = spawn(program, args, { ...options, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
  t.teardown(() => end(child));
  for (const limit = Date.now() + FINISH_MS; Date.now() < limit; await sleep(30)) {
    if (child.exitCode !== null || child.signalCode !== null) break;
    if (await accepts(port)) return Object.assign(child, { output: () => output });
  }
  throw new Error(`${program} does not listen on ${port}: ${output}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  // SIGTERM, because a master process must take its workers along; only when that is ignored, SIGKILL.
  child.kill('SIGTERM');
  const hurry = setTimeout(() => child.kill('SIGKILL'), 3000);
  await ended;
  clearTimeout(hurry);
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const accepted = await new Promise<boolean>((done) => {
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
  });
  socket.destroy();
  return accepted;
}

/**
 * A full TLS handshake by Node, which has no part of Sidekey: it trusts the identity's certificate alone, so that it
 * succeeds only when the server holds that certificate's key. Gives the server's certificate and what it answered.
 */
export async function handshake(
  port: number,
  identity: Identity,
  options: ConnectionOptions & { send?: string } = {},
): Promise<{ peer: PeerCertificate; protocol: string | null; answer: string }> {
  const ca = readFileSync(identity.certificate);
  const socket = connectTls({ host: '127.0.0.1', port, servername: 'localhost', ca, ...options });
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('utf8')));
  await once(socket, 'secureConnect', { signal: AbortSignal.timeout(FINISH_MS) });
  const [peer, protocol] = [socket.getPeerCertificate(), socket.getProtocol()];
  if (options.send) {
    const closed = once(socket, 'close', { signal: AbortSignal.timeout(FINISH_MS) });
    socket.write(options.send);
    await closed;
  }
  socket.destroy();
  return { peer, protocol, answer };
}
