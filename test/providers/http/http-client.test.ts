/** The client against a real server on loopback. */
import { randomBytes } from 'node:crypto';
import { copyFileSync, chmodSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK, SYSTEM_TIMER } from '../../../src/clock.ts';
import { HttpClient, type HttpClientOptions } from '../../../src/providers/http/http-client.ts';
import { ServiceCaller } from '../../../src/providers/http/service-call.ts';
import { NO_TLS_FILES } from '../../../src/providers/http/tls-files.ts';
import { makeCertificates, makeExpired, makeNamed, serverTls } from '../../fakes/certificates.ts';
import { FakeService, type Handler } from '../../fakes/fake-service.ts';

const echo: Handler = ({ method, body, clientName }) => ({
  status: 200,
  body: { method, text: body.toString(), clientName },
});

async function serve(t: Test, tls: ConstructorParameters<typeof FakeService>[1] = null, host = '127.0.0.1') {
  const service = new FakeService(echo, tls, host);
  await service.start();
  t.teardown(() => service.stop());
  return service;
}

function client(
  t: Test,
  service: FakeService,
  options: Partial<HttpClientOptions> = {},
  overallMs = 1500,
  tryMs = 300,
) {
  const http = new HttpClient({ tls: NO_TLS_FILES, ...options });
  t.teardown(() => http.close());
  const caller = new ServiceCaller({
    http,
    clock: SYSTEM_CLOCK,
    timer: SYSTEM_TIMER,
    random: randomBytes,
    tryMs,
    overallMs,
  });
  const post = async (text: string): Promise<unknown> => {
    const reply = await caller.call({
      what: 'post',
      prepare: () => ({
        method: 'POST',
        url: new URL('/x', service.url),
        headers: {},
        body: Buffer.from(text),
      }),
      judge: ({ status }) =>
        status === 200
          ? { is: 'ok' }
          : { is: status >= 429 ? 'again' : 'refused', reason: `status ${status}` },
    });
    return JSON.parse(reply.body.toString());
  };
  return { post, http };
}

t.test('connections are kept and few', async (t) => {
  const service = await serve(t);
  const { post } = client(t, service, {}, 9000, 9000);
  for (let i = 0; i < 5; i++) t.match(await post(`${i}`), { method: 'POST', text: `${i}` });
  // The pool may open a second connection while the first reply is still being processed.
  t.ok(service.peakConnections <= 2, `${service.peakConnections} connections`);
  await Promise.all(Array.from({ length: 100 }, (_, i) => post(`${i}`)));
  t.ok(service.peakConnections <= 18, `${service.peakConnections} connections`);
});

const PASSING = [
  ['hangs', { is: 'hang' }],
  ['hangs after its headers', { is: 'hang-after-headers' }],
  ['resets the connection', { is: 'reset' }],
  ['resets it amid the body', { is: 'reset-mid-body' }],
  ['answers 429', { is: 'reply', reply: { status: 429 } }],
  ['answers 503', { is: 'reply', reply: { status: 503 } }],
  ['is slow', { is: 'delay', ms: 200 }],
] as const;

for (const [what, fault] of PASSING) {
  t.test(`a service that ${what} once is asked again`, async (t) => {
    const service = await serve(t);
    service.fail(fault, 1);
    t.match(await client(t, service).post('a'), { text: 'a' });
  });
}

for (const [what, fault] of PASSING.slice(0, 6)) {
  t.test(`a service that ${what} always is unreachable within the deadline`, async (t) => {
    const service = await serve(t);
    service.fail(fault);
    const { post } = client(t, service);
    const begin = performance.now();
    await t.rejects(post('a'), { code: 'provider_unreachable' });
    t.ok(performance.now() - begin < 1800);
    service.heal();
    t.match(await post('b'), { text: 'b' }, 'and it heals');
  });
}

t.test('a service that is not there is unreachable, and found when it comes', async (t) => {
  const service = await serve(t);
  const { post } = client(t, service);
  await service.stop();
  await t.rejects(post('a'), { code: 'provider_unreachable', message: /ECONNREFUSED/ });
  await service.start();
  t.match(await post('b'), { text: 'b' });
});

t.test('an endless body is not read to its end', async (t) => {
  const service = await serve(t);
  service.fail({ is: 'reply', reply: { status: 200, body: 'x'.repeat(3 << 20) } });
  await t.rejects(client(t, service).post('a'), { message: /a body of more than/ });
});

t.test('only the configured authority is believed', async (t) => {
  const certificates = makeCertificates(t.testdir());
  const service = await serve(t, serverTls(certificates));
  const begin = performance.now();
  await t.rejects(client(t, service).post('a'), { code: 'provider_unreachable', message: /TLS: / });
  t.ok(performance.now() - begin < 1000, 'without trying again');
  const tls = { ...NO_TLS_FILES, ca: certificates.ca };
  t.match(await client(t, service, { tls }).post('a'), { text: 'a' });
  const missing = client(t, service, { tls: { ...NO_TLS_FILES, ca: '/nowhere.pem' } });
  await t.rejects(missing.post('a'), { code: 'provider_unreachable', message: /cannot read \/nowhere/ });
});

t.test('an authority that is replaced in its file holds from the next connection on', async (t) => {
  const dir = t.testdir({ own: {}, other: {} });
  const [own, other] = [makeCertificates(join(dir, 'own')), makeCertificates(join(dir, 'other'))];
  const ca = join(dir, 'ca.crt');
  copyFileSync(own.ca, ca);
  const service = await serve(t, serverTls(own));
  const { post } = client(t, service, { tls: { ...NO_TLS_FILES, ca } });
  t.match(await post('a'), { text: 'a' });
  await service.restart(serverTls(other));
  await t.rejects(post('b'), { code: 'provider_unreachable', message: /TLS: / });
  copyFileSync(other.ca, ca);
  t.match(await post('c'), { text: 'c' });
});

t.test('a redirect is not followed, whatever asks', async (t) => {
  const [service, elsewhere] = [await serve(t), await serve(t)];
  service.fail({ is: 'reply', reply: { status: 307, headers: { location: `${elsewhere.url}/x` } } });
  const { post, http } = client(t, service, {}, 9000);
  await t.rejects(post('secret'), { code: 'provider_unreachable', message: /status 307: it points to / });
  const answer = await http.fetch(`${service.url}/x`, { method: 'POST', body: 'secret' });
  t.equal(answer.status, 307);
  t.strictSame(elsewhere.seen, []);
});

t.test('a certificate for another name is not believed', async (t) => {
  const dir = t.testdir();
  const certificates = makeCertificates(dir);
  const other = makeNamed(dir, ['another.services.invalid']);
  const service = await serve(t, serverTls({ ...certificates, server: other }));
  const tls = { ...NO_TLS_FILES, ca: certificates.ca };
  const { post } = client(t, service, { tls });
  await t.rejects(post('a'), {
    code: 'provider_unreachable',
    message: /TLS: .*ERR_TLS_CERT_ALTNAME_INVALID/,
  });
  t.strictSame(service.seen, [], 'nothing was sent');
});

t.test('a certificate past its end is said to be so, and a new one taken', async (t) => {
  const dir = t.testdir();
  const certificates = makeCertificates(dir);
  const service = await serve(t, serverTls({ ...certificates, server: makeExpired(dir) }));
  const tls = { ...NO_TLS_FILES, ca: certificates.ca };
  const { post } = client(t, service, { tls });
  await t.rejects(post('a'), { code: 'provider_unreachable', message: /TLS: .*CERT_HAS_EXPIRED/ });
  await service.stop();
  const renewed = new FakeService(echo, serverTls(certificates));
  t.teardown(() => renewed.stop());
  await renewed.start(service.port);
  t.match(await post('b'), { text: 'b' }, 'without a restart');
});

for (const status of [429, 503]) {
  t.test(
    `a Retry-After beside ${status} is waited for when there is time, and ends the call when there is none`,
    async (t) => {
      const service = await serve(t);
      const reply = (seconds: number) => ({ status, headers: { 'retry-after': `${seconds}` } });
      service.fail({ is: 'reply', reply: reply(1) }, 1);
      const begin = performance.now();
      t.match(await client(t, service, {}, 9000).post('a'), { text: 'a' });
      t.ok(performance.now() - begin >= 990);
      service.fail({ is: 'reply', reply: reply(60) });
      const late = performance.now();
      await t.rejects(client(t, service, {}, 9000).post('a'), { code: 'provider_unreachable' });
      t.ok(performance.now() - late < 5000, 'at once');
      t.equal(service.seen.length, 3, 'and asked once');
    },
  );
}

t.test('a name that does not resolve is unreachable', async (t) => {
  const gone = { url: 'http://no-such-service.invalid' } as FakeService;
  const { post } = client(t, gone, {}, 1500, 1500);
  await t.rejects(post('a'), { code: 'provider_unreachable', message: /ENOTFOUND|EAI_AGAIN|no answer/ });
});

t.test('two seconds for every answer are slow, not too slow', async (t) => {
  const service = await serve(t);
  service.fail({ is: 'delay', ms: 2000 });
  t.match(await client(t, service, {}, 9000, 6000).post('a'), { text: 'a' });
  t.equal(service.seen.length, 1);
});

t.test('the client shows its certificate, and takes up a new one from the file', async (t) => {
  const dir = t.testdir();
  const certificates = makeCertificates(dir);
  const service = await serve(t, { ...serverTls(certificates), requestCert: true, rejectUnauthorized: true });
  const [certificate, key] = [join(dir, 'my.crt'), join(dir, 'my.key')];
  const { post } = client(t, service, { tls: { ca: certificates.ca, certificate, key } });
  await t.rejects(post('a'), { code: 'provider_unreachable' });
  copyFileSync(certificates.client.certificate, certificate);
  copyFileSync(certificates.client.key, key);
  chmodSync(key, 0o644);
  await t.rejects(post('a'), { code: 'provider_refused', message: /chmod 600/ });
  chmodSync(key, 0o600);
  t.match(await post('a'), { clientName: 'client' });
});

t.test('a proxy is used when there is one, and not for hosts that are excepted', async (t) => {
  const certificates = makeCertificates(t.testdir());
  const service = await serve(t, serverTls(certificates));
  let tunnels = 0;
  const proxy = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (head) => {
      if (!head.toString().startsWith(`CONNECT 127.0.0.1:${service.port} `)) return void socket.destroy();
      tunnels++;
      const to = connect(service.port, '127.0.0.1', () => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
      to.on('error', () => {});
      socket.pipe(to).pipe(socket);
    });
  });
  await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done));
  t.teardown(() => proxy.close());
  const httpsProxy = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const tls = { ...NO_TLS_FILES, ca: certificates.ca };
  t.match(await client(t, service, { tls, proxy: { httpsProxy } }).post('a'), { text: 'a' });
  t.equal(tunnels, 1);
  await client(t, service, { tls, proxy: { httpsProxy, noProxy: '127.0.0.1' } }).post('a');
  t.equal(tunnels, 1);
});

t.test(
  'a service is reached by IPv6, and NO_PROXY knows it, its port, and hosts by their ends',
  async (t) => {
    const certificates = makeCertificates(t.testdir());
    const [old, six] = [
      await serve(t, serverTls(certificates)),
      await serve(t, serverTls(certificates), '::1'),
    ];
    let asked = 0;
    const proxy = createServer((socket) => {
      asked++;
      socket.on('error', () => {});
      socket.destroy();
    });
    await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done));
    t.teardown(() => proxy.close());
    const httpsProxy = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const tls = { ...NO_TLS_FILES, ca: certificates.ca };
    const post = (service: FakeService, noProxy: string): Promise<unknown> =>
      client(t, service, { tls, proxy: { httpsProxy, noProxy } }, 400).post('a');
    for (const noProxy of ['::1', '[::1]', `[::1]:${six.port}`, 'example.org, ::1', '*'])
      t.match(await post(six, noProxy), { text: 'a' }, `${noProxy} excepts ${six.url}`);
    for (const noProxy of [`127.0.0.1:${old.port}`, '127.0.0.1,[::1]'])
      t.match(await post(old, noProxy), { text: 'a' }, `${noProxy} excepts ${old.url}`);
    t.equal(asked, 0);
    for (const [service, noProxy] of [
      [six, '[::1]:1'],
      [six, '127.0.0.1'],
      [old, `127.0.0.1:1`],
      [old, '1127.0.0.1,27.0.0.1'],
    ] as const) {
      const before = asked;
      await t.rejects(post(service, noProxy), { code: 'provider_unreachable' });
      t.ok(asked > before, `${noProxy} does not except ${service.url}`);
    }
  },
);
