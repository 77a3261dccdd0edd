/** NSS (Firefox's and Chromium's library): modutil, certutil, pk12util, cmsutil, TLS by selfserv and tstclnt. */
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createServer, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { MODULE, PIN, startInstance } from '../e2e/instance.ts';
import { freePort, handshake, must, openDirectory, run, serve } from './application.ts';

const sidekey = await startInstance(t);
const dir = openDirectory(t);
const env = { ...process.env, SIDEKEY_SOCKET: sidekey.socket };
const db = `sql:${dir}`;
const file = (name: string, content: string): string => {
  const path = join(dir, name);
  writeFileSync(path, content);
  return path;
};
const pin = file('pin', `${PIN}\n`);
const pins = file('pins', `test:${PIN}\n`);
const noise = file('noise', 'the token has random numbers of its own');
const TOKEN = ['-d', db, '-h', 'test', '-f', pin];

/** A certificate of the token, from NSS's own mouth. */
async function certificate(nickname: string): Promise<{ path: string; x509: X509Certificate }> {
  const pem = await must(t, 'certutil', [...TOKEN, '-L', '-n', `test:${nickname}`, '-a'], { env });
  return { path: file(`${nickname}.pem`, pem), x509: new X509Certificate(pem) };
}

t.test('modutil takes the module and lists its token', async (t) => {
  await must(t, 'certutil', ['-N', '-d', db, '--empty-password'], { env });
  await must(t, 'modutil', ['-dbdir', db, '-add', 'sidekey', '-libfile', MODULE, '-force'], { env });
  t.match(await must(t, 'modutil', ['-dbdir', db, '-list', 'sidekey'], { env }), /Token Name: test/);
});

t.test('certutil makes keys whose certificates and requests verify elsewhere', async (t) => {
  for (const [name, ...kind] of [
    ['nss-rsa', '-m', '1', '-k', 'rsa', '-g', '2048'],
    ['nss-ec', '-m', '2', '-k', 'ec', '-q', 'nistp256'],
  ] as const) {
    // Two certificates of one subject are one thing to NSS, and it takes the newer one for either name.
    const self = ['-S', '-n', name, '-s', `CN=${name}`, '-8', 'localhost', '-x', '-t', 'C,C,C'];
    await must(t, 'certutil', [...TOKEN, ...self, ...kind, '-z', noise], { env });
    const { x509 } = await certificate(name);
    t.ok(x509.verify(x509.publicKey), name);
  }
  const request = join(dir, 'request.der');
  const ask = ['-R', '-s', 'CN=request', '-k', 'rsa', '-g', '2048', '-z', noise, '-o', request];
  await must(t, 'certutil', [...TOKEN, ...ask], { env });
  await must(t, 'openssl', ['req', '-inform', 'DER', '-in', request, '-verify', '-noout']);
});

t.test('pk12util imports a key made elsewhere; cmsutil signs and opens with it', async (t) => {
  const [key, cert, p12] = [join(dir, 'p12.key'), join(dir, 'p12.pem'), join(dir, 'p12.p12')];
  const self = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=imported'];
  await must(t, 'openssl', [...self, '-keyout', key, '-out', cert]);
  const pack = ['pkcs12', '-export', '-inkey', key, '-in', cert, '-name', 'imported', '-out', p12];
  await must(t, 'openssl', [...pack, '-passout', 'pass:abc']);
  await must(t, 'pk12util', ['-d', db, '-h', 'test', '-k', pin, '-W', 'abc', '-i', p12], { env });
  await must(t, 'certutil', [...TOKEN, '-M', '-n', 'test:imported', '-t', 'C,C,C'], { env });

  const [text, signed] = [file('text', 'signed by NSS\n'), join(dir, 'signed.cms')];
  const sign = ['-S', '-d', db, '-N', 'test:imported', '-i', text, '-o', signed, '-p', PIN];
  await must(t, 'cmsutil', sign, { env });
  const check = ['cms', '-verify', '-inform', 'DER', '-in', signed, '-CAfile', cert, '-purpose', 'any'];
  t.match(await must(t, 'openssl', check), /signed by NSS/);

  const sealed = join(dir, 'sealed.cms');
  const seal = ['cms', '-encrypt', '-aes256', '-binary', '-in', text, '-outform', 'DER', '-out', sealed];
  await must(t, 'openssl', [...seal, cert]);
  const open = ['-D', '-d', db, '-i', sealed, '-f', pins, '-p', PIN];
  t.equal(await must(t, 'cmsutil', open, { env }), 'signed by NSS\n');
  const out = [
    '-d',
    db,
    '-h',
    'test',
    '-k',
    pin,
    '-W',
    'abc',
    '-o',
    join(dir, 'out.p12'),
    '-n',
    'test:imported',
  ];
  t.not((await run('pk12util', out, { env })).status, 0, 'a sensitive key is not exported');
});

t.test('selfserv completes TLS handshakes with keys of the token', async (t) => {
  for (const [name, version, ciphers] of [
    ['nss-rsa', 'TLSv1.3', ''],
    ['nss-ec', 'TLSv1.3', ''],
    ['nss-rsa', 'TLSv1.2', ''],
    ['nss-ec', 'TLSv1.2', ''],
    // The key decrypts instead of signing: NSS unwraps the premaster secret in the token.
    ['nss-rsa', 'TLSv1.2', 'AES128-SHA'],
  ] as const) {
    const { path, x509 } = await certificate(name);
    const port = await freePort();
    const key = name.endsWith('ec') ? ['-e', `test:${name}`] : ['-n', `test:${name}`];
    const suites = ciphers ? ['-c', ':002F'] : [];
    const args = ['-d', db, ...key, '-p', `${port}`, '-f', pins, ...suites];
    await serve(t, port, 'selfserv', args, { env });
    const identity = { uri: '', label: name, certificate: path, x509 };
    const options = { minVersion: version, maxVersion: version, ...(ciphers ? { ciphers } : {}) };
    const { peer, protocol } = await handshake(port, identity, options);
    t.ok(peer.raw.equals(x509.raw), `${name} ${ciphers}`);
    t.equal(protocol, version);
  }
});

/** What a server of Node saw of `tstclnt ARGS`: the client's certificate, once its signature was verified. */
async function seenByServer(
  t: Test,
  version: 'TLSv1.2' | 'TLSv1.3',
  args: readonly string[],
): Promise<Buffer | null> {
  const [key, cert] = [join(dir, 'server.key'), join(dir, 'server.pem')];
  const self = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost'];
  await must(t, 'openssl', [...self, '-keyout', key, '-out', cert]);
  let seen: Buffer | null = null;
  const ca = await Promise.all(['nss-rsa', 'nss-ec'].map(async (name) => (await certificate(name)).x509));
  const server = createServer({
    ...{ key: readFileSync(key), cert: readFileSync(cert), ca: ca.map((each) => each.toString()) },
    ...{ requestCert: true, rejectUnauthorized: true, minVersion: version, maxVersion: version },
  });
  server.on('secureConnection', (socket: TLSSocket) => {
    seen = socket.getPeerCertificate().raw;
    socket.end('seen');
  });
  server.on('tlsClientError', (_, socket) => socket.destroy());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  // -o: the server's own certificate is nobody's concern here.
  const to = ['-h', '127.0.0.1', '-a', 'localhost', '-p', `${port}`, '-o', '-f'];
  await run('tstclnt', ['-d', db, '-w', pins, '-W', pins, ...to, ...args], { env, input: 'hello\n' });
  server.close();
  return seen;
}

t.test('tstclnt proves itself by a key of the token, and is refused without', async (t) => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    for (const name of ['nss-rsa', 'nss-ec']) {
      const { x509 } = await certificate(name);
      const seen = await seenByServer(t, version, ['-n', `test:${name}`]);
      t.ok(seen?.equals(x509.raw), `${name} by ${version}`);
    }
    t.equal(await seenByServer(t, version, ['-n', 'none']), null, `without by ${version}`);
  }
});

t.test('certutil removes a key, and the token has it no more', async (t) => {
  const objects = (): Promise<string> => must(t, 'certutil', [...TOKEN, '-K'], { env });
  const before = (await objects()).match(/^</gm)?.length ?? 0;
  await must(t, 'certutil', [...TOKEN, '-F', '-n', 'test:nss-ec'], { env });
  t.equal((await objects()).match(/^</gm)?.length, before - 1);
});
