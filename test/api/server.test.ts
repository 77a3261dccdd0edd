// What the API does with clients that are slow, broken, too large or not welcome: by real sockets and literal bytes.
import { once } from 'node:events';
import { lstat } from 'node:fs/promises';
import { connect } from 'node:net';
import { test } from 'tap';
import { base64, OWN_PEER, readAll, sendBytes, startApi } from './api-under-test.ts';

test('a peer whose credentials cannot be read is not answered', async (t) => {
  const refuse = () => {
    throw new Error('no credentials');
  };
  const { path, logs } = await startApi(t, { peerOf: refuse });
  t.equal(await sendBytes(path, 'GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n'), '');
  t.match(logs, [{ msg: 'refused a connection: its peer cannot be read' }]);
});

test('a peer is read once for each connection, at accept', async (t) => {
  let times = 0;
  const { request, path } = await startApi(t, {
    peerOf: () => {
      times++;
      return OWN_PEER;
    },
  });
  for (let i = 0; i < 5; i++) await request('GET', '/v1/sys/health');
  t.equal(times, 1);
  const silent = connect(path);
  await once(silent, 'connect');
  await request('GET', '/v1/sys/health');
  t.equal(times, 2, 'before it has said anything');
  silent.destroy();
});

test('a body over the limit is refused, announced or not', async (t) => {
  const { request, path } = await startApi(t, { limits: { bodyBytes: 1000 } });
  await request('POST', '/v1/transit/keys/k');
  const fits = await request('POST', '/v1/transit/encrypt/k', { plaintext: base64(Buffer.alloc(700)) });
  t.equal(fits.status, 200);
  const announced = await request('POST', '/v1/transit/encrypt/k', { plaintext: base64(Buffer.alloc(1000)) });
  t.strictSame([announced.status, announced.errors], [413, ['request body too large']]);
  const head =
    'POST /v1/transit/encrypt/k HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n';
  t.match(await sendBytes(path, `${head}7d0\r\n${'x'.repeat(2000)}\r\n0\r\n\r\n`), /^HTTP\/1.1 413 /);
});

test('32 MiB are encrypted, one more byte is refused', async (t) => {
  const { request } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  const limit = 32 * 1024 * 1024;
  const bodyOf = (size: number) => {
    const shell = JSON.stringify({ plaintext: '' }).length;
    const plaintext = 'A'.repeat(Math.floor((limit - shell) / 4) * 4);
    return JSON.stringify({ plaintext }).padEnd(size, ' ');
  };
  const full = await request('POST', '/v1/transit/encrypt/k', bodyOf(limit));
  t.equal(full.status, 200);
  const over = await request('POST', '/v1/transit/encrypt/k', bodyOf(limit + 1));
  t.equal(over.status, 413);
});

test('a header over 16 KiB is refused', async (t) => {
  const { path } = await startApi(t);
  const text = await sendBytes(
    path,
    `GET /v1/sys/health HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(17000)}\r\n\r\n`,
  );
  t.match(text, /^HTTP\/1.1 431 /);
  t.match(text, /\{"errors":\["request header too large"\]\}$/);
});

test('a header that comes too slowly ends the connection', async (t) => {
  const { path } = await startApi(t, { limits: { headersTimeoutMs: 300, timeoutCheckMs: 50 } });
  const socket = connect(path);
  socket.write('GET /v1/sys/health HTTP/1.1\r\n');
  const drip = setInterval(() => socket.writable && socket.write('X: y\r\n'), 20);
  const text = await readAll(socket);
  clearInterval(drip);
  t.match(text, /^(HTTP\/1.1 408 |$)/);
});

test('a connection that says nothing at all is ended', async (t) => {
  const { path } = await startApi(t, { limits: { headersTimeoutMs: 300, timeoutCheckMs: 50 } });
  t.match(await readAll(connect(path)), /^(HTTP\/1.1 408 |$)/);
});

test('a body that comes too slowly ends the connection', async (t) => {
  const limits = { headersTimeoutMs: 200, requestTimeoutMs: 300, timeoutCheckMs: 50 };
  const { path } = await startApi(t, { limits });
  const socket = connect(path);
  socket.write('POST /v1/transit/random HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{');
  t.match(await readAll(socket), /^HTTP\/1.1 408 /);
});

test('a connection that is idle between requests is ended', async (t) => {
  const { path } = await startApi(t, { limits: { keepAliveTimeoutMs: 200 } });
  t.match(await sendBytes(path, 'GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n'), /^HTTP\/1.1 200 /);
});

test('a half-closed connection gets its answer', async (t) => {
  const { path } = await startApi(t);
  const socket = connect({ path, allowHalfOpen: true });
  socket.end('GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n');
  t.match(await readAll(socket), /^HTTP\/1.1 200 [^]*"initialized":true/);
});

test('a client that ends in the middle of a request hurts nobody', async (t) => {
  const { path, request } = await startApi(t);
  for (const bytes of [
    'POST /v1/tra',
    'POST /v1/transit/random HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{',
  ]) {
    const socket = connect({ path, allowHalfOpen: true });
    socket.end(bytes);
    await readAll(socket);
  }
  for (let i = 0; i < 20; i++) {
    const socket = connect(path);
    await once(socket, 'connect');
    socket.write('POST /v1/transit/random HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{');
    socket.destroy();
  }
  t.equal((await request('GET', '/v1/sys/health')).status, 200);
});

test('bytes that are not HTTP are answered 400 in the form of the dialect', async (t) => {
  const { path } = await startApi(t);
  for (const bytes of [
    '\x16\x03\x01\x02\x00\x01\n\n',
    'FROB / HTTP/1.1\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    'LISTEN / HTTP/1.1\r\n\r\n',
  ]) {
    const text = await sendBytes(path, bytes);
    t.match(text, /^HTTP\/1.1 400 [^]*\{"errors":\["malformed request"\]\}$/, JSON.stringify(bytes));
  }
});

test('a body that looks like a LIST request is left alone', async (t) => {
  const { path, request, tokens } = await startApi(t);
  await request('POST', '/v1/transit/keys/k', { type: 'hmac' });
  const socket = connect(path);
  const body = '{"type": "LIST /v1/transit/keys HTTP/1.1"}';
  socket.write(
    `POST /v1/transit/keys/x HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n{"type": "`,
  );
  await new Promise((done) => setTimeout(done, 50));
  socket.write(body.slice('{"type": "'.length));
  const [first] = (await once(socket, 'data')) as [Buffer];
  t.match(first.toString(), /unknown key type/);
  socket.write('LIST /v1/transit/keys HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  t.match(await readAll(socket), /"keys":\["k"\]/, 'and the next request of the same connection is one');
  t.equal(tokens.held.size, 1);
});

test('connections over the bound are dropped', async (t) => {
  const { path } = await startApi(t, { limits: { connections: 3 } });
  const sockets = Array.from({ length: 3 }, () => connect(path));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  t.equal(await sendBytes(path, 'GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n'), '');
  for (const socket of sockets) socket.destroy();
});

test('an operation that takes too long is answered', async (t) => {
  const limits = { handlerTimeoutMs: 100, timeoutCheckMs: 50 };
  const { request, tokens } = await startApi(t, { limits });
  await request('POST', '/v1/transit/keys/k');
  tokens.delayMs = 400;
  const answer = await request('POST', '/v1/transit/encrypt/k', { plaintext: '' });
  t.strictSame([answer.status, answer.errors], [503, ['not done within the deadline']]);
  await new Promise((done) => setTimeout(done, 400));
});

test('failures behind the API have a status and a text of the table, and are logged once with the peer', async (t) => {
  const { request, tokens, logs } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  for (const [code, status] of [
    ['keeper_absent', 503],
    ['deadline', 503],
    ['provider_unreachable', 503],
    ['provider_refused', 502],
    ['key_function_not_permitted', 400],
    ['user_not_logged_in', 403],
    ['store_failed', 500],
  ] as const) {
    logs.length = 0;
    tokens.failures.push(code);
    const answer = await request('POST', '/v1/transit/encrypt/k', { plaintext: '' });
    t.equal(answer.status, status, code);
    t.notMatch(answer.text, 'refused by the double');
    const peer = { pid: OWN_PEER.pid, uid: OWN_PEER.uid };
    t.match(logs, [{ peer, requestId: /^[0-9a-f-]{36}$/, status, code }]);
    t.equal(logs.length, 1);
  }
});

test('an answer that was to be wrapped is not given unwrapped', async (t) => {
  const { request } = await startApi(t);
  const { status, errors } = await request('POST', '/v1/transit/random', {}, { 'x-vault-wrap-ttl': '60s' });
  t.strictSame([status, errors], [400, ['response wrapping is not supported']]);
});

test('health and seal-status say what the agent says, to any local process', async (t) => {
  let health = { initialized: true, sealed: false };
  const peer = { ...OWN_PEER, uid: 54321 };
  const { request } = await startApi(t, { health: () => health, peerOf: () => peer });
  const good = await request('GET', '/v1/sys/health');
  t.match(
    [good.status, good.body],
    [200, { initialized: true, sealed: false, standby: false, version: '1.2.3' }],
  );
  health = { initialized: true, sealed: true };
  t.equal((await request('GET', '/v1/sys/health')).status, 503);
  t.equal((await request('GET', '/v1/sys/health?sealedcode=299')).status, 299);
  t.equal((await request('GET', '/v1/sys/health?sealedcode=9999')).status, 400);
  health = { initialized: false, sealed: true };
  t.equal((await request('HEAD', '/v1/sys/health')).status, 501);
  const status = await request('GET', '/v1/sys/seal-status');
  t.match([status.status, status.body], [200, { initialized: false, sealed: true, type: 'sidekey' }]);
  const leader = await request('GET', '/v1/sys/leader');
  t.match([leader.status, leader.body], [200, { ha_enabled: false, is_self: false, leader_address: '' }]);
});

test('the agent tells of itself to its owner and to root alone', async (t) => {
  const stranger = { ...OWN_PEER, uid: 54321 };
  const { request } = await startApi(t, { peerOf: () => stranger });
  const paths = ['/v1/sidekey/status', '/v1/sidekey/keys', '/v1/sidekey/keys/main/1'];
  for (const url of paths) t.equal((await request('GET', url)).status, 403, url);

  for (const uid of [OWN_PEER.uid, 0]) {
    const welcome = await startApi(t, { peerOf: () => ({ ...OWN_PEER, uid }) });
    await welcome.request('POST', '/v1/transit/keys/k');
    t.strictSame((await welcome.request('GET', '/v1/sidekey/status')).body, { ok: true, boot: '7' });
    t.match((await welcome.request('GET', '/v1/sidekey/keys?token=main')).body, [
      { label: 'k', kind: 'aes' },
    ]);
    const attributes = await welcome.request('GET', '/v1/sidekey/keys/main/1');
    t.strictSame(attributes.body, [{ type: 3, value: '6c6162656c' }]);
    t.equal((await welcome.request('GET', '/v1/sidekey/keys/main/2')).status, 404);
    t.equal((await welcome.request('GET', '/v1/sidekey/keys/nowhere/1')).status, 404);
    t.equal((await welcome.request('GET', '/v1/sidekey/keys/main/x')).status, 400);
  }
});

test('closing waits for the answer that is under way, says so, and removes the socket', async (t) => {
  const { api, path, request, tokens } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  tokens.delayMs = 200;
  const answer = request('POST', '/v1/transit/encrypt/k', { plaintext: '' });
  await new Promise((done) => setTimeout(done, 50));
  const closed = api.close();
  const { status, headers } = await answer;
  t.strictSame([status, headers['connection']], [200, 'close']);
  await closed;
  await t.rejects(lstat(path), { code: 'ENOENT' });
});

test('closing ends within its bound, whatever clients do', async (t) => {
  const { api, path, request, tokens } = await startApi(t, { limits: { closeMs: 300 } });
  await request('POST', '/v1/transit/keys/k');
  tokens.delayMs = 2000;
  request('POST', '/v1/transit/encrypt/k', { plaintext: '' }).catch(() => {});
  const stuck = connect(path);
  stuck.on('error', () => {});
  stuck.write('POST /v1/transit/random HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{');
  await new Promise((done) => setTimeout(done, 50));
  const start = performance.now();
  await api.close();
  t.ok(performance.now() - start < 1000);
});
