/**
 * The image of the Dockerfile, built and run as docs/install.md says, by buildah: what a container's own root and user make of it.
 * A process outside uses it through the volume of the sockets. Wants root.
 */
import { spawn, spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { installNpm } from './npm-folder.ts';
import { PIN, ROOT, SO_PIN, temporaryDirectory } from '../e2e/instance.ts';

const BUILD_MS = 900_000;
const RUN_MS = 60_000;
/** What node:24-bookworm-slim has above Debian: see make_node in image.sh. */
const NODE = `node-linux-${process.arch}`;
const NODE_VERSION = '24.21.0';
const NPM_VERSION = '11.21.2';
const VOLUMES = {
  etc: '/etc/sidekey',
  lib: '/var/lib/sidekey',
  log: '/var/log/sidekey',
  run: '/run/sidekey',
};

/** The runner's options for Node are not for those that it starts here. */
const { NODE_OPTIONS: _, ...ENVIRONMENT } = process.env;
const OPTIONS = {
  env: { ...ENVIRONMENT, BUILDAH_ISOLATION: 'chroot' },
  encoding: 'utf8',
  killSignal: 'SIGKILL',
} as const;

function must(program: string, args: readonly string[], timeout = RUN_MS): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { ...OPTIONS, timeout });
  if (status !== 0)
    throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? ''}${stdout}${stderr}`);
  return stdout.trim();
}

class Image {
  readonly #store: readonly string[];
  readonly #container: string;
  readonly #volumes: string[];
  readonly sockets: string;

  constructor(t: Test) {
    const folder = temporaryDirectory(t);
    chmodSync(folder, 0o711);
    const node = join(installNpm(`${NODE}@${NODE_VERSION}`), 'node_modules', NODE, 'bin/node');
    const npm = join(installNpm(`npm@${NPM_VERSION}`), 'node_modules/npm');
    must('bash', [join(import.meta.dirname, 'image.sh'), folder, ROOT, node, npm], BUILD_MS);
    this.#store = ['--root', `${folder}/storage`, '--runroot', `${folder}/run`, '--storage-driver', 'vfs'];
    this.#container = this.#buildah('from', '--pull-never', 'localhost/sidekey');
    t.teardown(() => this.#buildah('rm', this.#container));
    // buildah puts the image's own volumes above those that it is given.
    const own = Object.values(VOLUMES).flatMap((inside) => ['--volume', `${inside}-`]);
    this.#buildah('config', ...own, this.#container);
    this.#volumes = Object.entries(VOLUMES).flatMap(([name, inside]) => {
      const outside = join(folder, 'volumes', name);
      mkdirSync(join(outside, '..'), { recursive: true });
      // As a new volume of Docker's: what the image has there, with its owner and mode.
      this.#copyOut(inside, outside);
      return ['--volume', `${outside}:${inside}`];
    });
    writeFileSync(join(folder, 'pin'), PIN, { mode: 0o600 });
    writeFileSync(join(folder, 'so-pin'), SO_PIN, { mode: 0o600 });
    this.#volumes.push('--volume', `${folder}/pin:/pin:ro`, '--volume', `${folder}/so-pin:/so-pin:ro`);
    this.sockets = join(folder, 'volumes/run');
  }

  #buildah(...args: string[]): string {
    return must('buildah', [...this.#store, ...args]);
  }

  #copyOut(inside: string, outside: string): void {
    const mounted = this.#buildah('mount', this.#container);
    must('cp', ['--archive', join(mounted, inside), outside]);
    this.#buildah('umount', this.#container);
  }

  #arguments(user: string, command: readonly string[]): string[] {
    return [...this.#store, 'run', '--user', user, ...this.#volumes, this.#container, '--', ...command];
  }

  run(user: string, ...command: string[]): SpawnSyncReturns<string> {
    return spawnSync('buildah', this.#arguments(user, command), { ...OPTIONS, timeout: RUN_MS });
  }

  /** What the image runs by itself, until the test ends. */
  start(t: Test): void {
    const command = ['sidekey', 'agent', '--config', '/etc/sidekey/sidekey.yaml'];
    const child = spawn('buildah', this.#arguments('sidekey', command), { ...OPTIONS, stdio: 'ignore' });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    t.teardown(async () => {
      child.kill('SIGTERM');
      await Promise.race([ended, sleep(5000).then(() => child.kill('SIGKILL'))]);
    });
  }

  file(path: string): string {
    return join(this.#buildah('mount', this.#container), path);
  }
}

t.test('the image', { timeout: 2 * BUILD_MS }, async (t) => {
  t.equal(process.geteuid?.(), 0, 'an image is built as root here');
  const image = new Image(t);

  const without = image.run('sidekey', 'sidekey', 'agent', '--config', '/etc/sidekey/sidekey.yaml');
  t.equal(without.status, 1, 'without a configuration it does not start');
  t.match(without.stderr, /config_unreadable/);

  const init = ['sidekey', 'init', '--system', '--token', 'demo', '--allow', 'any'];
  const made = image.run('root', ...init, '--pin-file', '/pin', '--so-pin-file', '/so-pin');
  t.equal(made.status, 0, made.stderr);
  t.match(made.stdout, /start it with: sidekey agent/, 'there is no systemd in it');

  image.start(t);
  const status = image.run('sidekey', 'sidekey', 'status', '--wait', '20s');
  t.equal(status.status, 0, 'its health check passes');
  t.match(status.stdout, /^keeper +pid \d+/m, 'the agent has started the keeper');
  t.equal(statSync(join(image.sockets, 'pkcs11.sock')).uid, 10001, 'all runs as the user of the image');

  const module = image.file('/usr/lib/sidekey/sidekey-pkcs11.so');
  const env = { ...OPTIONS.env, SIDEKEY_SOCKET: join(image.sockets, 'pkcs11.sock') };
  const make = ['--keypairgen', '--key-type', 'EC:prime256v1', '--label', 'web', '--id', '01'];
  const login = ['--module', module, '--login', '--pin', PIN];
  const pair = spawnSync('pkcs11-tool', [...login, ...make], { ...OPTIONS, env, timeout: RUN_MS });
  t.equal(pair.status, 0, `a program outside makes a key with the image's module: ${pair.stderr}`);
  const listed = image.run('root', 'sidekey', 'keys', 'ls');
  t.match(listed.stdout, /web/, `and the service has it: ${listed.stderr}`);
});
