// What one process may take: bounds by simulated time, and by real connections.
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'tap';
import { PeerLimits } from '../../src/api/peer-limits.ts';
import { OWN_PEER, sendBytes, startApi } from './api-under-test.ts';

const BOUNDS = {
  ...{ peerConnections: 2, uidConnections: 3, peerInFlight: 2 },
  ...{ peerBodyBytes: 100, peerRate: 10, bodyBytes: 60 },
};
const TOO_MANY = { message: 'too many requests of this process' };
const HEALTH = 'GET /v1/sys/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';

function makeLimits(bounds = {}) {
  const time = { ms: 0 };
  const refused: string[] = [];
  const limits = new PeerLimits(
    { ...BOUNDS, ...bounds },
    () => time.ms,
    (bound) => refused.push(bound),
  );
  return { limits, time, refused };
}

const OTHER = { ...OWN_PEER, pid: 7 };
const STRANGER = { ...OWN_PEER, pid: 8, uid: 54321 };

/** Each connection learns of its peer anew. */
const again = () => ({ ...OWN_PEER });

test('connections are bounded by process and by uid, and given back', async (t) => {
  const { limits, refused } = makeLimits();
  const leave = limits.connect(again());
  t.ok(limits.connect(again()));
  t.equal(limits.connect(again()), null, 'of one process');
  t.ok(limits.connect(OTHER));
  t.equal(limits.connect(OTHER), null, 'of one uid');
  t.ok(limits.connect(STRANGER), 'others are not hurt');
  leave?.();
  t.ok(limits.connect(OTHER));
  t.same(refused, ['connections', 'connections']);
});

test('requests in flight, and the bytes of their bodies, are bounded', async (t) => {
  const { limits, refused } = makeLimits();
  const end = limits.begin(OWN_PEER, 60);
  t.throws(() => limits.begin(OWN_PEER, 41), TOO_MANY);
  t.throws(() => limits.begin(OWN_PEER, null), TOO_MANY, 'unannounced counts as the longest');
  limits.begin(OWN_PEER, 40);
  t.throws(() => limits.begin(OWN_PEER, 0), TOO_MANY);
  limits.begin(OTHER, 60);
  end();
  limits.begin(OWN_PEER, 60);
  t.same(refused, ['in_flight', 'in_flight', 'in_flight']);
});

test('a second has so many requests, and connecting anew does not begin a new one', async (t) => {
  const { limits, time, refused } = makeLimits();
  const leave = limits.connect(again());
  for (let i = 0; i < 10; i++) limits.begin(again(), 0)();
  leave?.();
  limits.connect(again());
  t.throws(() => limits.begin(again(), 0), TOO_MANY);
  limits.begin(OTHER, 0)();
  time.ms += 100;
  limits.begin(again(), 0)();
  t.throws(() => limits.begin(again(), 0), TOO_MANY);
  time.ms += 60_000;
  for (let i = 0; i < 10; i++) limits.begin(again(), 0)();
  t.throws(() => limits.begin(again(), 0), TOO_MANY, 'what was saved up is one second');
  t.same(refused, ['rate', 'rate', 'rate']);
});

test('a process with too many connections loses the next, and others are served', async (t) => {
  let peer = OWN_PEER;
  const { path, request } = await startApi(t, { limits: { peerConnections: 3 }, peerOf: () => peer });
  const idle = Array.from({ length: 3 }, () => connect(path));
  await Promise.all(idle.map((socket) => once(socket, 'connect')));
  t.equal(await sendBytes(path, HEALTH), '');
  peer = STRANGER;
  t.equal((await request('GET', '/v1/sys/health')).status, 200);
  for (const socket of idle) socket.destroy();
  peer = OWN_PEER;
  let answer = '';
  for (let i = 0; answer === '' && i < 100; i++) answer = await sendBytes(path, HEALTH);
  t.match(answer, /^HTTP\/1.1 200 /, 'the places are given back');
});

test('a process with too many requests in flight is answered 429, and places come back when it goes away', async (t) => {
  const { path, request, tokens } = await startApi(t, { limits: { peerInFlight: 2 } });
  await request('POST', '/v1/transit/keys/k');
  const body = JSON.stringify({ plaintext: '' });
  const head = `POST /v1/transit/encrypt/k HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n`;
  tokens.delayMs = 1500;
  const slow = [0, 1].map(() => {
    const socket = connect(path);
    socket.write(`${head}\r\n${body}`);
    return socket;
  });
  await new Promise((done) => setTimeout(done, 300));
  const refused = await sendBytes(path, `${head}Connection: close\r\n\r\n${body}`);
  t.match(refused, /^HTTP\/1.1 429 [^]*\{"errors":\["too many requests of this process"\]\}$/);
  slow[0]?.destroy();
  await new Promise((done) => setTimeout(done, 300));
  tokens.delayMs = 0;
  t.match(await sendBytes(path, HEALTH), /^HTTP\/1.1 200 /);
  const [answer] = await once(slow[1]!, 'data');
  t.match(String(answer), /^HTTP\/1.1 200 /);
  slow[1]?.destroy();
});
