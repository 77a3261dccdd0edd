// The stream of events, by a WebSocket client over the Unix socket.
import { once } from 'node:events';
import { test, type Test } from 'tap';
import { WebSocket } from 'ws';
import { EventRing } from '../../../src/events/event-ring.ts';
import { OWN_PEER, sendBytes, startApi } from '../api-under-test.ts';

function makeRing() {
  return new EventRing({ max: 100, run: 'aa', now: () => 0 });
}

interface Watcher {
  readonly socket: WebSocket;
  /** The next message. */
  next(): Promise<{ type: string; id?: string }>;
}

async function watch(t: Test, path: string, query = ''): Promise<Watcher> {
  const socket = new WebSocket(`ws+unix://${path}:/v1/sidekey/events${query}`);
  t.teardown(() => socket.terminate());
  const waiting: ((message: { type: string }) => void)[] = [];
  const come: { type: string }[] = [];
  socket.on('message', (data) => {
    const message = JSON.parse(String(data));
    const taker = waiting.shift();
    if (taker) taker(message);
    else come.push(message);
  });
  await once(socket, 'open');
  const next = async () => come.shift() ?? new Promise<{ type: string }>((done) => waiting.push(done));
  return { socket, next };
}

test('events are told as they happen, and a client that comes back gets what it missed', async (t) => {
  const events = makeRing();
  const { path } = await startApi(t, { events });
  const first = await watch(t, path);
  events.publish('login', { token: 'main', uid: 5 });
  t.strictSame(await first.next(), {
    ...{ id: 'aa.1', time: '1970-01-01T00:00:00.000Z', type: 'login' },
    fields: { token: 'main', uid: 5 },
  });
  first.socket.close();
  await once(first.socket, 'close');
  events.publish('logout', {});
  const second = await watch(t, path, '?after=aa.1');
  t.match(await second.next(), { id: 'aa.2', type: 'logout' });
  const stranger = await watch(t, path, '?after=bb.7');
  t.match([await stranger.next(), await stranger.next()], [{ type: 'gap' }, { id: 'aa.1' }]);
});

test('the same by polling', async (t) => {
  const events = makeRing();
  const { request } = await startApi(t, { events });
  events.publish('login', {});
  events.publish('logout', {});
  t.match((await request('GET', '/v1/sidekey/events')).body, { gap: false, events: [{}, { id: 'aa.2' }] });
  t.match((await request('GET', '/v1/sidekey/events?after=aa.1')).body, { events: [{ type: 'logout' }] });
});

test('a stranger, one too many and what is no WebSocket are refused', async (t) => {
  const stranger = { ...OWN_PEER, uid: 54321 };
  const { path } = await startApi(t, { peerOf: () => stranger });
  const head = 'GET /v1/sidekey/events HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n';
  const whole = `${head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;
  t.match(await sendBytes(path, whole), /^HTTP\/1.1 403 [^]*\{"errors":\["permission denied"\]\}$/);

  const full = await startApi(t, { limits: { eventConnections: 1 } });
  await watch(t, full.path);
  t.match(await sendBytes(full.path, whole), /^HTTP\/1.1 503 /);

  const open = await startApi(t);
  t.match(await sendBytes(open.path, `${head}\r\n`), /^HTTP\/1.1 400 /, 'no key');
  const other = head.replace('/v1/sidekey/events', '/v1/sys/health').replace('GET', 'GET');
  const answer = await sendBytes(open.path, `${other.replace('Upgrade\r\n', 'Upgrade, close\r\n')}\r\n`);
  t.match(answer, /^HTTP\/1.1 200 /, 'other paths are not upgraded');
});

test('a client that speaks too much, or answers no ping, is dropped', async (t) => {
  const { path } = await startApi(t, { limits: { eventPingMs: 100 } });
  const loud = await watch(t, path);
  loud.socket.on('error', () => {});
  loud.socket.send('x'.repeat(2000));
  const [code] = await once(loud.socket, 'close');
  t.equal(code, 1009);
  const deaf = await watch(t, path);
  const alive = await watch(t, path);
  deaf.socket.pause();
  const bare = Reflect.get(deaf.socket, '_socket');
  await new Promise((done) => setTimeout(done, 500));
  t.equal(alive.socket.readyState, WebSocket.OPEN);
  bare.resume();
  await once(deaf.socket, 'close');
});

test('closing the API ends the streams at once', async (t) => {
  const { api, path } = await startApi(t);
  const { socket } = await watch(t, path);
  socket.on('error', () => {});
  const closed = once(socket, 'close');
  const startedAt = Date.now();
  await api.close();
  await closed;
  t.ok(Date.now() - startedAt < 4000, 'before the bound of an orderly close');
});
