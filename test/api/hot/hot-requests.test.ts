/** Requests that are served before fastify are answered, counted and refused as fastify's are: a query sends the same one there. */
import test from 'tap';
import { Metrics } from '../../../src/metrics/metrics.ts';
import { base64, startApi, type Answer } from '../api-under-test.ts';

const CALLS: readonly (readonly [path: string, body: unknown])[] = [
  ['encrypt/orders', { plaintext: base64('hello') }],
  ['encrypt/orders', { batch_input: [{ plaintext: base64('a'), reference: 'é' }, { plaintext: '*' }] }],
  ['encrypt/orders', { plaintext: '' }],
  ['encrypt/orders', { plaintext: 'aGVsbG9=' }],
  ['encrypt/orders', '{"plaintext": "aGVsbG8="}'],
  ['encrypt/orders', '{"plaintext":"aGVs\\u0062G8="}'],
  ['encrypt/orders', '{"plaintext":"aGVsbG8="} '],
  ['encrypt/orders', '{"plaintext":"aGVsbG8="}}'],
  ['encrypt/orders', '{"plaintext":"aGVsbG8="'],
  ['encrypt/orders', { batch_input: [{ plaintext: base64('a') }, { plaintext: base64('bc') }] }],
  ['encrypt/orders', { batch_input: [{ plaintext: base64('a') }, { plaintext: '*' }] }],
  ['encrypt/orders', '{"batch_input": [{"plaintext": "aGVsbG8="}, {"plaintext": "aGVsbG8="}]}'],
  ['encrypt/orders', '{"batch_input":[{"plaintext":"aGVsbG8="},]}'],
  ['encrypt/orders', '{"batch_input":[{"plaintext":"aGVsbG8="}'],
  ['encrypt/orders', { batch_input: [] }],
  ['encrypt/orders', { batch_input: Array.from({ length: 257 }, () => ({ plaintext: 'AAAA' })) }],
  ['encrypt/orders', { ciphertext: base64('hello') }],
  ['encrypt/orders', { plaintext: 7 }],
  ['encrypt/orders', '{'],
  ['encrypt/nobody', { plaintext: base64('hello') }],
  ['decrypt/orders', { ciphertext: 'vault:v1:AAAA' }],
  ['decrypt/orders', { ciphertext: 'vault:v7:AAAA' }],
  ['decrypt/orders', { ciphertext: '' }],
  ['decrypt/orders', { ciphertext: `vault:v1:${base64('x'.repeat(40))}` }],
  [
    'decrypt/orders',
    {
      batch_input: [{ ciphertext: `vault:v1:${base64('x'.repeat(40))}` }, { ciphertext: 'vault:v1:AAAA' }],
    },
  ],
  ['encrypt/mac', { plaintext: base64('hello') }],
  ['encrypt/each', { plaintext: base64('hello') }],
  ['hmac/orders', {}],
  ['sign/orders', { input: base64('x') }],
  ['verify/orders', { input: base64('x') }],
  ['datakey/wrapped/orders', { bits: 7 }],
  ['datakey/neither/orders', {}],
  ['random/32', undefined],
  ['random/many', undefined],
];

/** What is fresh in each answer. */
function comparable({ status, headers, text }: Answer): object {
  const body = text.replace(/"request_id":"[^"]+"|vault:v1:[\w+/=]+|"random_bytes":"[^"]+"/g, '');
  const { date, connection, 'keep-alive': _, ...others } = headers;
  return { status, body, ...others, hasDate: date !== undefined };
}

test.test('both ways answer and count alike', async (t) => {
  const metrics = new Metrics();
  const { request } = await startApi(t, { metrics });
  await request('POST', '/v1/transit/keys/orders');
  await request('POST', '/v1/transit/keys/mac', { type: 'hmac', key_size: 32 });
  await request('POST', '/v1/transit/keys/each', { derived: true });
  for (const [path, body] of CALLS) {
    const plain = await request('POST', `/v1/transit/${path}`, body);
    const before = await metrics.text();
    const queried = await request('POST', `/v1/transit/${path}?x=1`, body);
    t.same(comparable(plain), comparable(queried), `${path} ${JSON.stringify(body)}`);
    t.not(await metrics.text(), before, 'counted');
  }
  const counted = [
    ...(await metrics.text()).matchAll(/^sidekey_http_requests_total\{.*\/v1\/:mount\/(?!keys).*\} (\d+)$/gm),
  ];
  t.equal(
    counted.reduce((sum, [, times]) => sum + Number(times), 0),
    2 * CALLS.length,
    'each request once',
  );
});

test.test('a faulty request is logged with its route, and never its content', async (t) => {
  const { request, logs } = await startApi(t);
  await request('POST', '/v1/transit/keys/orders');
  await request('POST', '/v1/transit/encrypt/orders', '{"plaintext": "c2VjcmV0"');
  const [line] = logs.filter(({ msg }) => msg === 'API request refused');
  t.match(line, { route: '/v1/:mount/encrypt/:name', status: 400, peer: { pid: process.pid } });
  t.notMatch(JSON.stringify(logs), 'c2VjcmV0');
});

test.test('a process over its rate is refused before its body is read', async (t) => {
  const { request } = await startApi(t, { limits: { peerRate: 1 } });
  await request('POST', '/v1/transit/random/8');
  const answer = await request('POST', '/v1/transit/random/8');
  t.equal(answer.status, 429);
});
