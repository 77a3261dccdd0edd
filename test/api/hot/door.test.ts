/**
 * The door before node:http answers what it takes as node:http does, and hands over all else: by the same bytes to two APIs, one of which
 * takes nothing. SIDEKEY_CASES and SIDEKEY_SEED make a longer run.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test, type Test } from 'tap';
import { Metrics } from '../../../src/metrics/metrics.ts';
import { readAll, sendBytes, startApi, type Running } from '../api-under-test.ts';
import { aRequest, comparable, exchange, isWhole, makeRandom, split } from './raw-requests.ts';

const CASES = Number(process.env['SIDEKEY_CASES'] ?? 1500);
const SEED = Number(process.env['SIDEKEY_SEED'] ?? 20261127);
const TRIES = 3;
const AT_ONCE = 100;

const BODY = '{"plaintext":"aGVsbG8="}';
const HEAD = `POST /v1/transit/encrypt/k HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n`;
const PLAIN = Buffer.from(`${HEAD}\r\n${BODY}`);

/** Requests that node:http hears of. */
function countHttp(t: Test): () => number {
  let requests = 0;
  const hear = () => void requests++;
  subscribe('http.server.request.start', hear);
  t.teardown(() => unsubscribe('http.server.request.start', hear));
  return () => requests;
}

async function startWithKey(t: Test, overrides: Parameters<typeof startApi>[1] = {}): Promise<Running> {
  const running = await startApi(t, overrides);
  await running.request('POST', '/v1/transit/keys/k');
  return running;
}

/** A refusal by answerBare, which ends the connection. It may be lost on its way, when the client still writes. */
function isBrokenOff([only = '', ...others]: readonly string[]): boolean {
  if (others.length > 0) return false;
  return only === '' || /^HTTP\/1\.1 4\d\d [^\r]*\r\nContent-Type: application\/json\r\n/.test(only);
}

function closes(answers: readonly string[]): boolean {
  return /\r\nconnection: close\r\n/i.test(answers.at(-1) ?? '');
}

/**
 * Behind a request that is still worked for, node:http drops the first one's answer when the next one is broken (or is LIST, which its
 * parser does not know there), and behind an answer that ends the connection it answers broken bytes once more. Here each request has
 * one answer, and nothing comes after the end.
 */
function agree(ours: readonly string[], theirs: readonly string[], isOne: boolean): boolean {
  if (ours.join('') === theirs.join('')) return true;
  const before = theirs.slice(0, -1);
  if (!isBrokenOff(theirs.slice(-1))) return false;
  if (before.length > 0) return !isOne && closes(ours) && ours.join('') === before.join('');
  return (
    (!isOne && (ours.length > 1 || closes(ours))) || (isBrokenOff(ours) && [...ours, ...theirs].includes(''))
  );
}

test('requests of all sorts, cut anywhere, are answered as node:http answers them', async (t) => {
  const limits = { headersTimeoutMs: 600, requestTimeoutMs: 600, timeoutCheckMs: 50 };
  const ours = await startWithKey(t, { limits });
  const theirs = await startWithKey(t, { limits: { ...limits, hotHeadBytes: 0 } });
  const requests = countHttp(t);
  const random = makeRandom(SEED);
  let answers = 0;
  t.setTimeout(30_000 + CASES * 20);
  const compare = async (): Promise<void> => {
    const asked = Array.from({ length: 1 + random(2) }, () => aRequest(random));
    const isOne = asked.length === 1 && asked.every(isWhole);
    const pieces = split(random, Buffer.concat(asked));
    const both = async () =>
      (await Promise.all([exchange(ours.path, pieces), exchange(theirs.path, pieces)])).map(comparable);
    let [mine = [], other = []] = await both();
    answers += mine.length;
    // On a busy machine one of them may be out of time where the other was not: not twice for the same bytes.
    for (let tries = 1; tries < TRIES && !agree(mine, other, isOne); tries++)
      [mine = [], other = []] = await both();
    if (!agree(mine, other, isOne))
      t.same(mine, other, JSON.stringify(pieces.map((each) => each.toString('latin1'))));
  };
  let left = CASES;
  const work = async (): Promise<void> => {
    while (left-- > 0) await compare();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  t.ok(requests() < 2 * answers - CASES / 10, `${answers} answers, ${requests()} by node:http`);
});

test('plain requests never reach node:http, however they are cut or pipelined', async (t) => {
  const { path } = await startWithKey(t);
  const requests = countHttp(t);
  const pipelined = await exchange(path, [Buffer.concat([PLAIN, PLAIN, PLAIN])]);
  t.equal(comparable(pipelined).filter((each) => each.startsWith('HTTP/1.1 200 OK')).length, 4);
  t.equal(requests(), 1, 'the last one alone');
  for (let cut = 'POST /v1/'.length; cut < PLAIN.length; cut += 7) {
    const socket = connect(path);
    socket.write(PLAIN.subarray(0, cut));
    await new Promise((done) => setImmediate(done));
    socket.write(PLAIN.subarray(cut));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    t.match(answer.toString(), /^HTTP\/1\.1 200 OK\r\n/, `cut at ${cut}`);
    socket.destroy();
  }
  t.equal(requests(), 1);
});

/** As OpenBao's command line sends it, by the library that all of Go uses: without a type. */
const GO = `PUT /v1/transit/encrypt/k HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: ${BODY.length}\r\nX-Vault-Request: true\r\nAccept-Encoding: gzip\r\n\r\n${BODY}`;

test('a request of the Go client of Vault and OpenBao never reaches node:http', async (t) => {
  const { path } = await startWithKey(t);
  const requests = countHttp(t);
  const socket = connect(path);
  socket.write(GO);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  t.match(answer.toString(), /^HTTP\/1\.1 200 OK\r\n/);
  t.equal(requests(), 0);
  socket.destroy();
});

test('a request that stops half way, and a connection that says nothing, have the time that node:http gives', async (t) => {
  const { path } = await startWithKey(t, {
    limits: { headersTimeoutMs: 300, requestTimeoutMs: 300, timeoutCheckMs: 50 },
  });
  for (const bytes of ['', 'POST /v1/tra', HEAD, `${HEAD}\r\n{`])
    t.match(await sendBytes(path, bytes), /^HTTP\/1\.1 408 /, JSON.stringify(bytes));
});

test('an idle connection ends after its time, and a client that takes no answers too', async (t) => {
  const { path } = await startWithKey(t, {
    limits: { keepAliveTimeoutMs: 100, timeoutCheckMs: 50, idleSocketTimeoutMs: 300 },
  });
  t.match(await sendBytes(path, PLAIN), /^HTTP\/1\.1 200 OK/);
  const deaf = connect(path);
  deaf.on('error', () => {});
  deaf.pause();
  const length = 100_000;
  const many = Buffer.from(
    `POST /v1/transit/random/${length} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n`,
  );
  for (let i = 0; i < 20; i++) deaf.write(many);
  await new Promise((done) => setTimeout(done, 800));
  deaf.resume();
  const seen = await readAll(deaf);
  t.ok(seen.length < 20 * length, 'it was cut off');
});

test('a half-closed connection is ended, within a request with 400', async (t) => {
  const { path } = await startWithKey(t);
  const socket = connect(path);
  socket.end(`${HEAD}\r\n{`);
  t.match(await readAll(socket), /^HTTP\/1\.1 400 /);
  const idle = connect(path);
  idle.end();
  t.equal(await readAll(idle), '');
});

test('a client that goes away gives its place back, and is counted', async (t) => {
  const metrics = new Metrics();
  const { path, request } = await startWithKey(t, { metrics, limits: { peerInFlight: 1 } });
  for (let i = 0; i < 20; i++) {
    const socket = connect(path);
    socket.write(PLAIN, () => socket.destroy());
    await once(socket, 'close');
  }
  await new Promise((done) => setTimeout(done, 50));
  const answer = await request('POST', '/v1/transit/encrypt/k', BODY);
  t.equal(answer.status, 200);
  t.match(
    await metrics.text(),
    /sidekey_http_requests_total\{method="POST",route="\/v1\/:mount\/encrypt\/:name",status="200"\} /,
  );
});

test('a process over its rate is told so and its connection ends', async (t) => {
  const { path } = await startWithKey(t, { limits: { peerRate: 2 } });
  const text = await sendBytes(path, Buffer.concat([PLAIN, PLAIN, PLAIN]));
  t.match(text, /HTTP\/1\.1 200 OK.*HTTP\/1\.1 429 Too Many Requests\r\n.*connection: close/s);
  t.equal(comparable(text).length, 2);
});
