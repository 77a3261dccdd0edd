// The Kubernetes API server's own code for encryption at rest (k8s.io/apiserver) against the KMS socket of an instance.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startInstance, type Instance } from '../e2e/instance.ts';
import { buildGo } from './go-program.ts';

/** The API server asks for Status again after 20 s, or 3 s when it was not well. */
const STATUS_AGAIN_MS = 22_000;

interface Answer {
  readonly error?: string;
  readonly value?: string;
  readonly stale: boolean;
}

class ApiServer {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  constructor(t: Test, binary: string, { dir }: Instance) {
    const config = join(dir, 'encryption.yaml');
    const provider = `{ apiVersion: v2, name: sidekey, endpoint: "unix://${dir}/kms.sock", timeout: 10s }`;
    const resources = `resources:\n  - resources: [secrets]\n    providers:\n      - kms: ${provider}\n      - identity: {}\n`;
    writeFileSync(
      config,
      `apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n${resources}`,
    );
    this.#child = spawn(binary, [config]);
    this.#child.stderr.resume();
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
    t.teardown(() => this.#child.kill('SIGKILL'));
  }

  async answer(): Promise<Answer> {
    const { value } = await this.#lines.next();
    return JSON.parse(String(value));
  }

  async ask(...words: string[]): Promise<Answer> {
    this.#child.stdin.write(`${words.join(' ')}\n`);
    return this.answer();
  }

  /** Until its health is this one, or its patience ends. */
  async becomes(wanted: RegExp): Promise<string> {
    let said = '';
    for (let n = 0; n < 120; n++) {
      const { error, value } = await this.ask('health');
      said = error ?? value ?? '';
      if (wanted.test(said)) return said;
      await new Promise((done) => setTimeout(done, 500));
    }
    return said;
  }
}

function keyIdIn(stored: string | undefined): string {
  const text = Buffer.from(stored ?? '', 'base64').toString('latin1');
  return /sidekey\/test\/kubernetes\/v\d+\/[0-9a-z]+/.exec(text)?.[0] ?? '';
}

const binary = buildGo('kube');

t.test('an API server encrypts its secrets, follows a rotation and outlives the agent', async (t) => {
  const kms = 'kms: { socket: kms.sock, key: kubernetes }\n';
  const sidekey = await startInstance(t, { edit: (yaml) => `${yaml}\n${kms}` });
  t.equal(sidekey.sidekey('keys', 'create', 'kubernetes').status, 0);
  const api = new ApiServer(t, binary, sidekey);
  t.match(await api.answer(), { value: 'loaded' });
  t.equal(await api.becomes(/^ok$/), 'ok');

  const first = await api.ask('put', '/registry/secrets/a', 'hunter2');
  t.match(Buffer.from(first.value ?? '', 'base64').toString('latin1'), /^k8s:enc:kms:v2:sidekey:/);
  t.notMatch(Buffer.from(first.value ?? '', 'base64').toString('latin1'), 'hunter2');
  t.match(await api.ask('get', '/registry/secrets/a', first.value ?? ''), { value: 'hunter2', stale: false });
  const moved = await api.ask('get', '/registry/secrets/b', first.value ?? '');
  t.ok(moved.error, 'a value is bound to its place');

  t.equal(sidekey.sidekey('keys', 'rotate', 'kubernetes').status, 0);
  await new Promise((done) => setTimeout(done, STATUS_AGAIN_MS));
  t.equal(await api.becomes(/^ok$/), 'ok');
  t.match(await api.ask('get', '/registry/secrets/a', first.value ?? ''), { value: 'hunter2', stale: true });
  const second = await api.ask('put', '/registry/secrets/a', 'hunter3');
  t.not(keyIdIn(second.value), keyIdIn(first.value), 'a new key_id, and a new data key under it');
  t.match(keyIdIn(second.value), /\/v2\//);

  await sidekey.stopAgent('SIGKILL');
  const coasting = await api.ask('put', '/registry/secrets/c', 'hunter4');
  t.ok(coasting.value, 'the API server goes on with the data key that it has');
  await sidekey.start();
  await new Promise((done) => setTimeout(done, STATUS_AGAIN_MS));
  t.equal(await api.becomes(/^ok$/), 'ok');

  // A new API server knows no data key: it must have each of them opened here.
  const fresh = new ApiServer(t, binary, sidekey);
  t.match(await fresh.answer(), { value: 'loaded' });
  t.equal(await fresh.becomes(/^ok$/), 'ok');
  for (const [name, stored, value] of [
    ['a', first.value, 'hunter2'],
    ['a', second.value, 'hunter3'],
    ['c', coasting.value, 'hunter4'],
  ] as const)
    t.match(await fresh.ask('get', `/registry/secrets/${name}`, stored ?? ''), { value });
});

t.test('a key that is not there makes the API server unwell, with our reason', async (t) => {
  const kms = 'kms: { socket: kms.sock, key: nowhere }\n';
  const sidekey = await startInstance(t, { edit: (yaml) => `${yaml}\n${kms}` });
  const api = new ApiServer(t, binary, sidekey);
  t.match(await api.answer(), { value: 'loaded' });
  t.match(await api.becomes(/key not found|no key/), /encryption key not found|no key/);
  t.ok((await api.ask('put', '/registry/secrets/a', 'hunter2')).error);
});
