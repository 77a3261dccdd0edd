// What clients of Vault send that is not plain JSON to a plain path: answered as OpenBao 2.7.2 answers it (the same bytes were sent to both by hand).
import { test } from 'tap';
import { sendBytes, startApi } from './api-under-test.ts';

const FORM = 'application/x-www-form-urlencoded';
const HELLO = 'aGVsbG8=';

test('a form is read as one, and JSON that is called one as JSON', async (t) => {
  const { path, request } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  const send = (where: string, body: string, type: string, how = `Content-Length: ${body.length}`) =>
    sendBytes(
      path,
      `POST /v1/transit/${where} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\n${how}\r\nConnection: close\r\n\r\n${body}`,
    );
  const good = /^HTTP\/1\.1 200 .*"ciphertext":"vault:v1:/s;
  const form = `plaintext=${encodeURIComponent(HELLO)}`;
  t.match(await send('encrypt/k', form, FORM), good);
  t.match(await send('encrypt/k', `${form}&key_version=1`, `${FORM}; charset=utf-8`), good);
  t.match(await send('encrypt/k', ` \n{"plaintext":"${HELLO}"}`, FORM), good);
  const chunked = `${form.length.toString(16)}\r\n${form}\r\n0\r\n\r\n`;
  t.match(await send('encrypt/k', chunked, FORM, 'Transfer-Encoding: chunked'), good);
  t.match(await send('keys/made', 'type=ed25519&exportable=true', FORM), /"type":"ed25519"/);
  t.match(await send('keys/k/config', 'deletion_allowed=yes', FORM), /expected true or false/);
  t.match(await send('encrypt/k', `${form}&${form}`, FORM), /^HTTP\/1\.1 400 .*expected string/s);
  t.match(await send('encrypt/k', '__proto__=1', FORM), /^HTTP\/1\.1 400 .*missing plaintext/s);
  t.match(await send('encrypt/k', form, 'application/json'), /^HTTP\/1\.1 400 .*failed to parse JSON/s);
  t.match(await send('encrypt/k', '', FORM), /^HTTP\/1\.1 400 .*missing plaintext/s);
});

test('a form comes through the door as through node:http', async (t) => {
  const { path, request } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  const body = `plaintext=${encodeURIComponent(HELLO)}`;
  const head = `POST /v1/transit/encrypt/k HTTP/1.1\r\nHost: x\r\nContent-Type: ${FORM}\r\nContent-Length: ${body.length}\r\n`;
  // The second one ends what the door takes.
  const text = await sendBytes(path, `${head}\r\n${body}${head}Connection: close\r\n\r\n${body}`);
  t.equal(text.match(/"ciphertext":"vault:v1:/g)?.length, 2);
});

test('list= is what Go takes for true', async (t) => {
  const { request } = await startApi(t);
  await request('POST', '/v1/transit/keys/k');
  const status = async (value: string) => (await request('GET', `/v1/transit/keys?list=${value}`)).status;
  for (const value of ['true', '1', 't', 'TRUE']) t.equal(await status(value), 200, value);
  for (const value of ['false', '0', '']) t.equal(await status(value), 405, value);
  t.equal(await status('yes'), 400);
});

test('a path that is not plain is sent to where it is', async (t) => {
  const { path } = await startApi(t);
  const go = (target: string) =>
    sendBytes(path, `POST ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  const moves: [string, string][] = [
    ['//v1/transit/keys/k', '/v1/transit/keys/k'],
    ['/v1//transit/keys/k?list=true', '/v1/transit/keys/k?list=true'],
    ['/v1/transit/../transit/./keys/k', '/v1/transit/keys/k'],
    ['//elsewhere.example/v1', '/elsewhere.example/v1'],
    ['/v1/sys/../../../x', '/x'],
  ];
  for (const [from, to] of moves) {
    const text = await go(from);
    t.match(text, /^HTTP\/1\.1 307 /, from);
    t.equal(/^location: (.*)\r$/m.exec(text)?.[1], to);
  }
  t.match(await go('/v1/nothing/here'), /^HTTP\/1\.1 404 /);
});

test('a wrapping for no time is none', async (t) => {
  const { request } = await startApi(t);
  for (const [ttl, status] of [
    ['0', 200],
    ['0s', 200],
    ['', 200],
    ['60', 400],
    ['1h', 400],
    ['soon', 400],
  ] as const)
    t.equal(
      (await request('POST', '/v1/transit/random', {}, { 'x-vault-wrap-ttl': ttl })).status,
      status,
      ttl,
    );
});

test('what a client does with its token when it ends, or before the token does', async (t) => {
  const { request } = await startApi(t);
  const renewed = await request('POST', '/v1/auth/token/renew-self', { increment: 60 });
  t.strictSame([renewed.status, renewed.errors], [400, ['lease is not renewable']]);
  t.equal((await request('POST', '/v1/auth/token/revoke-self')).status, 204);
});
