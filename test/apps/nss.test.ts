/** NSS (Firefox's and Chromium's library): modutil, certutil, pk12util, cmsutil, and a TLS server by selfserv. */
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
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
    const self = ['-S', '-n', name, '-s', 'CN=localhost', '-8', 'localhost', '-x', '-t', 'C,C,C'];
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
  for (const name of ['nss-rsa', 'nss-ec']) {
    const { path, x509 } = await certificate(name);
    const port = await freePort();
    const key = name.endsWith('ec') ? ['-e', `test:${name}`] : ['-n', `test:${name}`];
    await serve(t, port, 'selfserv', ['-d', db, ...key, '-p', `${port}`, '-f', pins], { env });
    const identity = { uri: '', label: name, certificate: path, x509 };
    const { peer, protocol } = await handshake(port, identity);
    t.ok(peer.raw.equals(x509.raw), name);
    t.equal(protocol, 'TLSv1.3');
  }
});

t.test('certutil removes a key, and the token has it no more', async (t) => {
  const objects = (): Promise<string> => must(t, 'certutil', [...TOKEN, '-K'], { env });
  const before = (await objects()).match(/^</gm)?.length ?? 0;
  await must(t, 'certutil', [...TOKEN, '-F', '-n', 'test:nss-ec'], { env });
  t.equal((await objects()).match(/^</gm)?.length, before - 1);
});
