/** Kubernetes KMS v2 by a gRPC client with a codec of its own, which behaves as the API server does. */
import { credentials, makeGenericClientConstructor, status, type ServiceError } from '@grpc/grpc-js';
import { execFile } from 'node:child_process';
import { connect } from 'node:net';
import { once } from 'node:events';
import { lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { startInstance, type Instance } from '../e2e/instance.ts';
import { startService } from '../interop/services.ts';

type Fields = Map<number, Buffer>;

/** Fields of wire type 2 alone, which is all that the API has (protobuf.dev, "Encoding"). Lengths below 16384. */
function encode(fields: readonly (readonly [number, Buffer | string])[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([number, value]) => {
      const bytes = Buffer.from(value);
      const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >> 7];
      return [Buffer.from([(number << 3) | 2, ...length]), bytes];
    }),
  );
}

function decode(bytes: Buffer): Fields {
  const fields: Fields = new Map();
  for (let at = 0; at < bytes.length;) {
    const tag = bytes[at++] ?? 0;
    if ((tag & 7) !== 2) throw new Error(`wire type ${tag & 7}`);
    let length = bytes[at++] ?? 0;
    if (length >= 128) length = (length & 0x7f) | ((bytes[at++] ?? 0) << 7);
    fields.set(tag >> 3, bytes.subarray(at, at + length));
    at += length;
  }
  return fields;
}

const method = (name: string) => ({
  ...{ path: `/v2.KeyManagementService/${name}`, requestStream: false, responseStream: false },
  ...{ requestSerialize: encode, requestDeserialize: decode as never },
  ...{ responseSerialize: encode as never, responseDeserialize: decode },
});
const Client = makeGenericClientConstructor(
  { Status: method('Status'), Encrypt: method('Encrypt'), Decrypt: method('Decrypt') } as never,
  'KeyManagementService',
);

type Asked = readonly (readonly [number, Buffer | string])[];

/** As the API server: it keeps the key_id of the last good Status and takes an Encrypt only under that. */
class ApiServer {
  readonly #client: InstanceType<typeof Client>;
  keyId = '';

  constructor(t: Test, socket: string) {
    this.#client = new Client(`unix://${socket}`, credentials.createInsecure());
    t.teardown(() => this.#client.close());
  }

  #call(name: string, asked: Asked): Promise<Fields> {
    const call = this.#client[name] as unknown as (
      asked: Asked,
      options: { deadline: number },
      done: (error: ServiceError | null, fields: Fields) => void,
    ) => void;
    return new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, fields: Fields) => (error ? reject(error) : resolve(fields));
      call.call(this.#client, asked, { deadline: Date.now() + 15_000 }, done);
    });
  }

  async poll(): Promise<string> {
    const fields = await this.#call('Status', []);
    if (String(fields.get(1)) !== 'v2') throw new Error('another version');
    const healthz = String(fields.get(2));
    if (healthz === 'ok') this.keyId = String(fields.get(3));
    return healthz;
  }

  async encrypt(plaintext: Buffer): Promise<{ ciphertext: Buffer; keyId: string }> {
    const uid = '00000000-0000-4000-8000-000000000000';
    const fields = await this.#call('Encrypt', [
      [1, plaintext],
      [2, uid],
    ]);
    return { ciphertext: Buffer.from(fields.get(1) ?? ''), keyId: String(fields.get(2)) };
  }

  async decrypt(ciphertext: Buffer, keyId: string): Promise<Buffer> {
    const fields = await this.#call('Decrypt', [
      [1, ciphertext],
      [2, 'u'],
      [3, keyId],
    ]);
    return Buffer.from(fields.get(1) ?? '');
  }
}

/** Prints the type of the first frame of the answer (RFC 9113, 3.4 and 4.1). */
const HTTP2_PREFACE = `
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect(sys.argv[1])
s.sendall(b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
print(s.recv(9)[3])
`;

const withKms = (yaml: string): string => `${yaml}\nkms:\n  socket: kms.sock\n  key: kubernetes\n`;

async function start(t: Test): Promise<{ sidekey: Instance; server: ApiServer; socket: string }> {
  const sidekey = await startInstance(t, { edit: withKms });
  const socket = join(sidekey.dir, 'kms.sock');
  return { sidekey, server: new ApiServer(t, socket), socket };
}

function makeKey(t: Test, sidekey: Instance): void {
  const made = sidekey.sidekey('keys', 'create', 'kubernetes');
  t.equal(made.status, 0, made.stderr);
}

t.test('data encryption keys come and go, the key is rotated, and what is older still opens', async (t) => {
  const { sidekey, server, socket } = await start(t);
  t.equal(lstatSync(socket).mode & 0o777, 0o600);
  t.equal(await server.poll(), 'encryption key not found', 'without a key it is not healthy, and says why');
  await t.rejects(server.encrypt(Buffer.from('x')), { code: status.INVALID_ARGUMENT });
  makeKey(t, sidekey);
  t.equal(await server.poll(), 'ok');
  const seed = Buffer.alloc(32, 7);
  const first = await server.encrypt(seed);
  t.equal(first.keyId, server.keyId, 'under the key that Status named');
  t.ok(Buffer.byteLength(first.keyId) <= 1024);
  t.notOk(first.ciphertext.includes(seed));
  t.same(await server.decrypt(first.ciphertext, first.keyId), seed);
  t.notSame((await server.encrypt(seed)).ciphertext, first.ciphertext);

  t.equal(sidekey.sidekey('keys', 'rotate', 'kubernetes').status, 0);
  t.same(await server.decrypt(first.ciphertext, first.keyId), seed, 'a stale key_id');
  const before = server.keyId;
  const second = await server.encrypt(seed);
  t.not(second.keyId, before, 'the API server drops this one and polls again');
  t.equal(await server.poll(), 'ok');
  t.equal(second.keyId, server.keyId);
  t.same(await server.decrypt(second.ciphertext, second.keyId), seed);

  for (const [ciphertext, keyId] of [
    [first.ciphertext, second.keyId],
    [first.ciphertext, 'sidekey/test/kubernetes/v9/0'],
    [first.ciphertext, ''],
    [Buffer.concat([first.ciphertext, Buffer.alloc(1)]), first.keyId],
    [Buffer.alloc(5), first.keyId],
  ] as const)
    await t.rejects(server.decrypt(ciphertext, keyId), { code: status.INVALID_ARGUMENT });

  for (let polls = 0; polls < 50; polls++) t.equal(await server.poll(), 'ok');
});

t.test('the key may be one that stays in an HSM', async (t) => {
  const service = await startService(t, 'pkcs11-hsm');
  const resident = 'resident: { prefix: "k8s-", create: true }';
  const sidekey = await startInstance(t, {
    edit: (yaml) =>
      withKms(yaml)
        .replace(
          /label: "test"\n    provider: local\n/,
          `label: "hsm"\n    provider: pkcs11-hsm\n    ${resident}\n`,
        )
        .replace(/^providers:\n/m, `providers:\n${service}`),
  });
  const server = new ApiServer(t, join(sidekey.dir, 'kms.sock'));
  t.equal(await server.poll(), 'encryption key not found');
  makeKey(t, sidekey);
  const audit = readFileSync(join(sidekey.dir, 'store/audit.log'), 'utf8');
  t.match(audit, /"key-generated".*"kubernetes".*"service"/, 'by its service');
  t.equal(await server.poll(), 'ok');
  const seed = Buffer.alloc(32, 7);
  const { ciphertext, keyId } = await server.encrypt(seed);
  t.equal(keyId, server.keyId);
  t.same(await server.decrypt(ciphertext, keyId), seed);
  await sidekey.stopAgent();
  await sidekey.start();
  t.same(await server.decrypt(ciphertext, keyId), seed, 'and after a restart, with no list yet');
});

t.test('the agent comes back, and so does the connection; what is no gRPC hurts nobody', async (t) => {
  const { sidekey, server, socket } = await start(t);
  makeKey(t, sidekey);
  t.equal(await server.poll(), 'ok');
  const { ciphertext, keyId } = await server.encrypt(Buffer.from('seed'));
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\0'.repeat(100), '']) {
    const client = connect(socket);
    client.on('error', () => {}).resume();
    client.end(bytes);
    await once(client, 'close');
  }
  t.equal(await server.poll(), 'ok');
  await sidekey.stopAgent();
  await t.rejects(server.poll(), { code: status.UNAVAILABLE });
  await sidekey.start();
  let opened: Buffer = Buffer.alloc(0);
  for (let tries = 0; tries < 30 && opened.length === 0; tries++) {
    opened = await server.decrypt(ciphertext, keyId).catch(() => Buffer.alloc(0));
    if (opened.length === 0) await new Promise((done) => setTimeout(done, 500));
  }
  t.equal(String(opened), 'seed');
});

t.test('the access rules decide for the API server, too', async (t) => {
  const withRules = (yaml: string): string =>
    withKms(
      yaml.replace(/^( +- label: .*\n)/m, '$1    allow:\n      - executable: /usr/bin/kube-apiserver\n'),
    );
  const sidekey = await startInstance(t, {
    edit: (yaml) => withRules(yaml.replace(/^( +)allow:.*\n(?:\1 +.*\n)*/m, '')),
  });
  const server = new ApiServer(t, join(sidekey.dir, 'kms.sock'));
  t.equal(await server.poll(), 'permission denied');
  await t.rejects(server.encrypt(Buffer.from('x')), { code: status.PERMISSION_DENIED });
});

t.test('one process takes half of the connections, and the API server is served beside it', async (t) => {
  const { sidekey, socket } = await start(t);
  makeKey(t, sidekey);
  const held = Array.from({ length: 8 }, () => connect(socket).resume());
  t.teardown(() => held.forEach((each) => each.destroy()));
  await Promise.all(held.map((each) => once(each, 'connect')));
  const ninth = connect(socket).resume();
  await once(ninth, 'close');
  t.notOk(held.some((each) => each.destroyed));
  const { stdout } = await promisify(execFile)('python3', ['-c', HTTP2_PREFACE, socket]);
  t.equal(stdout, '4\n', 'another process is answered with the frame SETTINGS');
});
