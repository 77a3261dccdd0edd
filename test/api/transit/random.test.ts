import { test } from 'tap';
import { startApi } from '../api-under-test.ts';

/** What the double's key service gives: bytes that could not come from the kernel. */
const OF_SERVICE = Buffer.alloc(32, 0x5a).toString('base64');

test('random bytes come from the kernel, from the key service, or from both', async (t) => {
  const { request } = await startApi(t);
  const take = async (path: string, body: object = {}) =>
    String((await request('POST', `/v1/transit/random${path}`, body)).data?.['random_bytes']);
  t.equal(await take('/seal/32'), OF_SERVICE);
  t.equal(await take('/seal'), OF_SERVICE, 'as many as ever');
  t.equal(await take('', { source: 'seal', bytes: 2, format: 'hex' }), '5a5a');
  const [one, two, platform] = [await take('/all/32'), await take('/all/32'), await take('/platform/32')];
  for (const each of [one, two, platform]) {
    t.equal(Buffer.from(each, 'base64').length, 32);
    t.not(each, OF_SERVICE);
  }
  t.not(one, two, 'neither source stands alone in it');
});

test('a source that is none, and too many bytes of a service, are refused', async (t) => {
  const { request } = await startApi(t);
  for (const [path, body] of [
    ['/tpm/32', {}],
    ['', { source: 'tpm' }],
    ['', { source: 'constructor' }],
    ['/toString/32', {}],
    ['/seal/1025', {}],
    ['/all/1025', {}],
    ['/seal/0', {}],
    ['/platform/131073', {}],
  ] as const)
    t.equal((await request('POST', `/v1/transit/random${path}`, body)).status, 400, path);
  t.equal((await request('POST', '/v1/transit/random/platform/1025')).status, 200);
});

test('a token that this process may not use gives none of its service', async (t) => {
  const { request, tokens } = await startApi(t);
  tokens.refusedUids.add(process.getuid?.() ?? 0);
  for (const source of ['seal', 'all', 'platform'])
    t.equal((await request('POST', `/v1/transit/random/${source}/8`)).status, 403, source);
});
