// Requests that are not for the door go to node:http, and the connection comes back: by real sockets, whose bytes are looked at.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test, type Test } from 'tap';
import { base64, readAll, sendBytes, startApi, type Running } from '../api-under-test.ts';

const ENCRYPT = '{"plaintext":"aGVsbG8="}';

function countHttp(t: Test): () => number {
  let requests = 0;
  const hear = () => void requests++;
  subscribe('http.server.request.start', hear);
  t.teardown(() => unsubscribe('http.server.request.start', hear));
  return () => requests;
}

function ask(method: string, path: string, body = '', headers = ''): string {
  const length =
    method === 'GET' || method === 'LIST' ? '' : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
  return `${method} /v1/${path} HTTP/1.1\r\nHost: x\r\n${length}${headers}\r\n${body}`;
}

const PLAIN = ask('POST', 'transit/encrypt/k', ENCRYPT);
const LAST = ask('GET', 'sys/health', '', 'Connection: close\r\n');

async function startWithKey(t: Test, overrides: Parameters<typeof startApi>[1] = {}): Promise<Running> {
  const running = await startApi(t, overrides);
  await running.request('POST', '/v1/transit/keys/k');
  return running;
}

/** One answer, whose length is stated. */
async function answerOf(socket: Socket): Promise<{ status: number; body: string }> {
  let seen = '';
  for (;;) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    seen += chunk.toString('latin1');
    const [head = '', body] = seen.split('\r\n\r\n', 2);
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
    if (body !== undefined && body.length >= length) return { status: Number(seen.slice(9, 12)), body };
  }
}

async function exchange(socket: Socket, bytes: string | Buffer): Promise<{ status: number; body: string }> {
  socket.write(bytes);
  return answerOf(socket);
}

test('a plain request behind any other one on its connection is not one of node:http', async (t) => {
  const { path } = await startWithKey(t);
  const requests = countHttp(t);
  const socket = connect(path);
  t.teardown(() => void socket.destroy());
  const others = [
    [ask('GET', 'transit/keys/k'), 200],
    [ask('LIST', 'transit/keys'), 200],
    [ask('POST', 'transit/hash', '{"input":"YQ=="}'), 200],
    [ask('GET', 'nothing/here'), 404],
    [ask('DELETE', 'sys/health'), 405],
    [ask('POST', 'transit/encrypt/k?x=1', ENCRYPT), 200],
    [ask('POST', 'transit/encrypt/k', ENCRYPT, 'Content-Type: text/plain\r\n'), 200],
    [ask('POST', 'transit/encrypt/k', JSON.stringify({ plaintext: base64(Buffer.alloc(400_000)) })), 200],
  ] as const;
  for (const [index, [bytes, status]] of others.entries()) {
    t.equal((await exchange(socket, bytes)).status, status, bytes.slice(0, 60));
    t.equal((await exchange(socket, PLAIN)).status, 200);
    t.equal(requests(), index + 1);
  }
});

test('pipelined requests of both kinds are answered in their order', async (t) => {
  const { path } = await startWithKey(t);
  const hash = ask('POST', 'transit/hash', '{"input":"YQ=="}');
  const text = await sendBytes(
    path,
    [PLAIN, ask('LIST', 'transit/keys'), PLAIN, hash, ask('GET', 'transit/keys/k'), PLAIN, LAST].join(''),
  );
  const kinds = [
    'ciphertext',
    '"keys":["k"]',
    'ciphertext',
    '"sum"',
    '"latest_version"',
    'ciphertext',
    'sealed',
  ];
  const answers = text.split(/(?=HTTP\/1\.1 )/);
  t.equal(answers.length, kinds.length);
  for (const [index, kind] of kinds.entries()) t.ok(answers[index]?.includes(kind), `${index}: ${kind}`);
});

test('a body in pieces and one that node:http does not wait for both leave the connection in step', async (t) => {
  const { path } = await startWithKey(t, { limits: { bodyBytes: 2_000_000 } });
  const socket = connect(path);
  t.teardown(() => void socket.destroy());
  const long = ask('POST', 'transit/encrypt/k', JSON.stringify({ plaintext: base64(Buffer.alloc(900_000)) }));
  const answer = answerOf(socket);
  for (let at = 0; at < long.length; at += 100_000) {
    socket.write(long.slice(at, at + 100_000));
    await new Promise((done) => setImmediate(done));
  }
  t.equal((await answer).status, 200);
  const unread = ask('POST', 'transit/hash', 'x'.repeat(300_000), 'X-Vault-Wrap-TTL: 60\r\n');
  t.equal((await exchange(socket, unread.slice(0, 1000))).status, 400, 'before its body is there');
  socket.write(unread.slice(1000));
  t.equal((await exchange(socket, PLAIN)).status, 200);
});

test('an answer that ends the connection ends it', async (t) => {
  const { path } = await startWithKey(t, { limits: { bodyBytes: 1000 } });
  const text = await sendBytes(path, ask('POST', 'transit/encrypt/k', 'x'.repeat(2000)) + PLAIN);
  t.match(text, /^HTTP\/1\.1 413 .*connection: close.*"request body too large"\]\}$/is);
  t.match(await sendBytes(path, 'GET /v1/sys/health HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /, 'no Host');
});

test('a body that comes too slowly has the time that node:http gives', async (t) => {
  const limits = { headersTimeoutMs: 200, requestTimeoutMs: 300, timeoutCheckMs: 50 };
  const { path } = await startWithKey(t, { limits });
  const begun = ask('POST', 'transit/hash', '{"input":"YQ=="}').slice(0, -5);
  t.match(await sendBytes(path, begun), /^HTTP\/1\.1 408 /);
});

test('a client that takes no answers from node:http is cut off, and one that is idle after them', async (t) => {
  const limits = { keepAliveTimeoutMs: 100, timeoutCheckMs: 50, idleSocketTimeoutMs: 300 };
  const { path } = await startWithKey(t, { limits });
  t.match(await sendBytes(path, ask('GET', 'sys/health')), /^HTTP\/1\.1 200 /);
  const deaf = connect(path);
  deaf.on('error', () => {});
  deaf.pause();
  const length = 100_000;
  for (let i = 0; i < 20; i++) deaf.write(ask('POST', `transit/random/${length}?x=1`));
  await new Promise((done) => setTimeout(done, 800));
  deaf.resume();
  t.ok((await readAll(deaf)).length < 20 * length);
});

test('clients that go away in a request give their places back', async (t) => {
  const { path, request, tokens } = await startWithKey(t, { limits: { peerInFlight: 1 } });
  tokens.delayMs = 20;
  for (const bytes of [
    ask('POST', 'transit/encrypt/k?x=1', ENCRYPT),
    ask('POST', 'transit/hash', 'xxx').slice(0, -1),
  ])
    for (let i = 0; i < 5; i++) {
      const socket = connect(path);
      socket.write(bytes, () => socket.destroy());
      await once(socket, 'close');
      await new Promise((done) => setTimeout(done, 10));
    }
  await new Promise((done) => setTimeout(done, 50));
  t.equal((await request('GET', '/v1/transit/keys/k')).status, 200);
});

test('closing waits for what node:http answers, and ends what is idle behind it', async (t) => {
  const { api, path, tokens } = await startWithKey(t);
  const [idle, asking] = [connect(path), connect(path)];
  t.equal((await exchange(idle, ask('GET', 'transit/keys/k'))).status, 200);
  tokens.delayMs = 150;
  const answered = readAll(asking);
  asking.write(ask('POST', 'transit/encrypt/k?x=1', ENCRYPT));
  await new Promise((done) => setTimeout(done, 50));
  const closed = api.close();
  await once(idle, 'close');
  t.match(await answered, /^HTTP\/1\.1 200 .*connection: close.*ciphertext/is);
  await closed;
});
