/** Streams through the real socket: round trips, memory, and everything that can be done to a stream on its way. */
import { execFile } from 'node:child_process';
import * as crypto from 'node:crypto';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { test } from 'tap';
import { startInstance, type Instance } from './instance.ts';
import { transitClient } from './transit-client.ts';

const HEADER = 76;
const SEGMENT = 65_536;
const PLAIN_SEGMENT = SEGMENT - 16;

interface Streamed {
  readonly status: number;
  readonly output: Buffer;
  /** The answer came to its proper end. */
  readonly whole: boolean;
}

/** `take` is told each piece of the answer; without it they are gathered. */
function stream(
  { api }: Instance,
  path: string,
  pieces: Iterable<Buffer> | AsyncIterable<Buffer>,
  take?: (piece: Buffer) => void,
): Promise<Streamed> {
  return new Promise((resolve) => {
    const gathered: Buffer[] = [];
    const outgoing = request({ socketPath: api, method: 'PUT', path: `/v1/sidekey/stream/${path}` });
    outgoing.once('response', (incoming) => {
      const done = () =>
        resolve({
          status: incoming.statusCode ?? 0,
          output: Buffer.concat(gathered),
          whole: incoming.complete,
        });
      incoming.on('data', (piece: Buffer) => (take ? take(piece) : gathered.push(piece)));
      incoming.once('close', done);
      incoming.on('error', () => undefined);
    });
    // Who is refused while it still writes may see the connection end before it sees the answer.
    outgoing.on('error', () => resolve({ status: 0, output: Buffer.alloc(0), whole: false }));
    void (async () => {
      for await (const piece of pieces) {
        if (outgoing.destroyed) return;
        if (!outgoing.write(piece))
          await new Promise((done) => outgoing.once('drain', done).once('close', done));
      }
      outgoing.end();
    })();
  });
}

async function setUp(t: Parameters<typeof startInstance>[0]) {
  const instance = await startInstance(t);
  const call = transitClient(instance);
  await call('POST', '/transit/keys/backup', { exportable: true });
  return { instance, call };
}

test('what is encrypted in a stream comes back, at every edge of a segment', async (t) => {
  const { instance, call } = await setUp(t);
  for (const size of [0, 1, PLAIN_SEGMENT - 1, PLAIN_SEGMENT, PLAIN_SEGMENT + 1, 3 * PLAIN_SEGMENT]) {
    const plain = crypto.randomBytes(size);
    const sealed = await stream(instance, 'encrypt/backup', [plain]);
    const segments = Math.max(1, Math.ceil(size / PLAIN_SEGMENT));
    t.same([sealed.status, sealed.whole, sealed.output.length], [200, true, HEADER + size + segments * 16]);
    const opened = await stream(instance, 'decrypt/backup', [sealed.output]);
    t.ok(opened.whole && opened.output.equals(plain), `${size} bytes`);
  }
  const sealed = await stream(instance, 'encrypt/backup?associated_data=YWJj', [Buffer.from('x')]);
  await call('POST', '/transit/keys/backup/rotate');
  t.equal(
    (await stream(instance, 'decrypt/backup?associated_data=YWJj', [sealed.output])).output.toString(),
    'x',
  );
  for (const path of ['decrypt/backup', 'decrypt/nobody', 'encrypt/nobody', 'decrypt/backup?token=none'])
    t.ok([400, 403].includes((await stream(instance, path, [sealed.output])).status), path);
});

test('a stream goes on, under its own key, when the keeper is killed or its leases are wiped in the middle', async (t) => {
  const { instance, call } = await setUp(t);
  const plain = crypto.randomBytes(8 * PLAIN_SEGMENT);
  const half = plain.length / 2;
  const killed = async (): Promise<void> => {
    process.kill(instance.status().keeper.pid, 'SIGKILL');
    // Other keys take the places that were the stream's in the keeper before.
    for (let i = 0; i < 10; i++) {
      await call('POST', `/transit/keys/other-${crypto.randomUUID()}`);
      await call('POST', '/transit/encrypt/backup', { plaintext: 'aGk=' });
    }
  };
  const wiped = async (): Promise<void> => void (await call('DELETE', '/sidekey/cache'));
  for (const interrupt of [killed, wiped]) {
    const slowly = async function* (whole: Buffer): AsyncGenerator<Buffer> {
      yield whole.subarray(0, half);
      await setTimeout(200);
      await interrupt();
      yield whole.subarray(half);
    };
    const sealed = await stream(instance, 'encrypt/backup', slowly(plain));
    t.ok(sealed.whole, `${interrupt.name} while it is encrypted`);
    const opened = await stream(instance, 'decrypt/backup', slowly(sealed.output));
    t.ok(opened.whole && opened.output.equals(plain), `${interrupt.name} while it is decrypted`);
  }
});

test('another program opens a stream by docs/streams.md', async (t) => {
  const { instance, call } = await setUp(t);
  const plain = crypto.randomBytes(PLAIN_SEGMENT + 100);
  const { output } = await stream(instance, 'encrypt/backup', [plain]);
  const { 1: base64 } = (await call('GET', '/transit/export/encryption-key/backup')).data['keys'] as Record<
    1,
    string
  >;
  const open = (key: Buffer, nonce: Buffer, aad: Buffer, sealed: Buffer) => {
    const decipher = crypto
      .createDecipheriv('aes-256-gcm', key, nonce)
      .setAAD(aad)
      .setAuthTag(sealed.subarray(-16));
    return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
  };
  const key = open(
    Buffer.from(base64, 'base64'),
    output.subarray(16, 28),
    output.subarray(0, 16),
    output.subarray(28, 76),
  );
  const nonce = (number: number, last: number) => Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number, last]);
  const first = open(key, nonce(0, 0), Buffer.alloc(0), output.subarray(HEADER, HEADER + SEGMENT));
  const second = open(key, nonce(1, 1), Buffer.alloc(0), output.subarray(HEADER + SEGMENT));
  t.ok(Buffer.concat([first, second]).equals(plain));
});

test('a stream that was cut, lengthened, mixed or changed does not come to an end', async (t) => {
  const { instance } = await setUp(t);
  const { output } = await stream(instance, 'encrypt/backup', [crypto.randomBytes(3 * PLAIN_SEGMENT)]);
  const header = output.subarray(0, HEADER);
  const [a, b, c] = [0, 1, 2].map((n) =>
    output.subarray(HEADER + n * SEGMENT, HEADER + (n + 1) * SEGMENT),
  ) as [Buffer, Buffer, Buffer];
  const flip = (at: number) => {
    const changed = Buffer.from(output);
    changed[at] = (changed[at] ?? 0) ^ 1;
    return [changed];
  };
  const broken: [string, Buffer[]][] = [
    ['without its last segment', [header, a, b]],
    ['without a segment in the middle', [header, a, c]],
    ['with two segments exchanged', [header, b, a, c]],
    ['with a segment twice', [header, a, a, b, c]],
    ['cut within a segment', [output.subarray(0, -100)]],
    ['with bytes behind its end', [output, Buffer.from('more')]],
    ['cut within its header', [output.subarray(0, 40)]],
    ['of nothing', []],
    ['with a header alone', [header]],
    ['with another version', flip(11)],
    ['with another wrapped key', flip(40)],
    ['with a bit changed', flip(HEADER + SEGMENT + 7)],
  ];
  for (const [how, pieces] of broken) {
    const { status, whole, output: opened } = await stream(instance, 'decrypt/backup', pieces);
    t.ok(status === 400 || !whole, how);
    if (status === 400) t.match(opened.toString(), /invalid stream: unable to decrypt|too old/, how);
  }
});

test('a stream three times as long takes no more memory', async (t) => {
  const { instance } = await setUp(t);
  const piece = crypto.randomBytes(1024 * 1024);
  const pieces = function* (count: number) {
    for (let at = 0; at < count; at++) yield piece;
  };
  const highest = () =>
    Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${instance.agentPid}/status`, 'utf8'))?.[1]);
  const run = async (count: number) => {
    let bytes = 0;
    const { whole } = await stream(
      instance,
      'encrypt/backup',
      pieces(count),
      (each) => (bytes += each.length),
    );
    t.ok(whole && bytes > count * piece.length);
    return highest();
  };
  // V8 lets some 64 MiB of buffers lie before it looks for garbage among them: the first run reaches that.
  const first = await run(120);
  const growth = (await run(360)) - first;
  t.ok(growth < 64 * 1024, `grew by ${growth} KiB`);
});

test('a client that still writes reads why it is refused', async (t) => {
  const { instance } = await setUp(t);
  const client = connect(instance.api);
  let answer = '';
  client.on('data', (piece) => (answer += piece.toString('latin1')));
  client.write(
    'PUT /v1/sidekey/stream/encrypt/none HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n',
  );
  const closed = once(client, 'close');
  await setTimeout(300);
  t.equal(client.readyState, 'open', 'until then the connection stays');
  client.write('0\r\n\r\n');
  await closed;
  t.match(answer, /^HTTP\/1\.1 400 [^]*encryption key not found/);
});

test('a client that writes nothing more is told within a second or two, and so is one that goes on for ever', async (t) => {
  const { instance } = await setUp(t);
  const head = 'PUT /v1/sidekey/stream/encrypt/none HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n';
  for (const more of ['', 'x'.repeat(200_000)]) {
    const client = connect(instance.api);
    client.on('error', () => undefined).write(head + more);
    const began = performance.now();
    const [answer] = (await once(client, 'data')) as [Buffer];
    t.match(answer.toString('latin1'), /^HTTP\/1\.1 400 [^]*encryption key not found/);
    t.ok(performance.now() - began < 5000);
    client.destroy();
  }
});

test('who hangs up in a stream is no fault of the agent, and leaves its place to others', async (t) => {
  const { instance } = await setUp(t);
  const head =
    'PUT /v1/sidekey/stream/decrypt/backup HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf';
  for (let times = 0; times < 40; times++) {
    const socket = connect(instance.api);
    await once(socket, 'connect');
    socket.write(head);
    await setTimeout(5);
    socket.destroy();
  }
  const { status } = await stream(instance, 'encrypt/backup', [Buffer.from('still served')]);
  t.equal(status, 200, 'a process has places for 16');
  t.match(instance.log, 'the client hung up');
  t.notMatch(instance.log, '"level":"error"');
});

test('a process that holds as many streams as it may leaves some to others', async (t) => {
  const { instance } = await setUp(t);
  const held = Array.from({ length: 16 }, () => {
    const outgoing = request({
      ...{ socketPath: instance.api, method: 'PUT', path: '/v1/sidekey/stream/encrypt/backup' },
      headers: { 'content-length': 1000 },
    });
    outgoing.on('error', () => undefined).write('the beginning');
    return outgoing;
  });
  t.teardown(() => held.forEach((each) => each.destroy()));
  let refused = await stream(instance, 'encrypt/backup', [Buffer.from('x')]);
  for (let tries = 0; refused.status === 200 && tries < 100; tries++)
    refused = await stream(instance, 'encrypt/backup', [Buffer.from('x')]);
  t.equal(refused.status, 503);
  t.match(String(refused.output), 'too busy');
  const url = 'http://localhost/v1/sidekey/stream/encrypt/backup';
  const args = [
    '-sS',
    '--fail',
    '-X',
    'PUT',
    '--data-binary',
    'of another',
    '--unix-socket',
    instance.api,
    url,
  ];
  const { stdout } = await promisify(execFile)('curl', args, { encoding: 'buffer' });
  t.equal(stdout.length, HEADER + 'of another'.length + 16);
});
