// Requests that are refused by the thousand are a bounded number of lines.
import { test } from 'tap';
import { sendBytes, startApi } from './api-under-test.ts';

const TOO_MANY = 100;

test('refused requests are sixty lines a minute for a uid', async (t) => {
  const { request, logs } = await startApi(t);
  for (let i = 0; i < TOO_MANY; i++) {
    t.equal((await request('GET', '/v1/transit/keys/none')).status, 404);
    t.equal((await request('POST', '/v1/transit/encrypt/none', { plaintext: 'aGk=' })).status, 400);
  }
  t.equal(logs.filter(({ msg }) => msg === 'API request refused').length, 60);
});

test('and so are connections that break off', async (t) => {
  const { path, logs } = await startApi(t);
  for (let i = 0; i < TOO_MANY; i++) t.match(await sendBytes(path, 'NOT HTTP\r\n\r\n'), /^HTTP\/1.1 400/);
  t.equal(logs.filter(({ msg }) => msg === 'API connection broke off').length, 60);
});
