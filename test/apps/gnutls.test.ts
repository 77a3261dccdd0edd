/**
 * GnuTLS: p11tool makes keys and certificates' objects, gnutls-serv and gnutls-cli shake hands with them.
 * gnutls-serv knows no address to bind, so for these seconds it listens on every interface; it only echoes.
 */
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MODULE, PIN, SO_PIN, startInstance } from '../e2e/instance.ts';
import {
  environment,
  freePort,
  handshake,
  makeIdentity,
  must,
  openDirectory,
  run,
  serve,
  storeCertificate,
} from './application.ts';

const sidekey = await startInstance(t);
const dir = openDirectory(t);
const env = environment(sidekey, dir, { GNUTLS_PIN: PIN });
const PROVIDER = ['--provider', MODULE];

t.test('p11tool lists the token, makes a key and exports its public half', async (t) => {
  t.match(await must(t, 'p11tool', [...PROVIDER, '--list-tokens'], { env }), /URL: pkcs11:.*token=test/);
  const ask = ['--batch', '--login', '--label', 'tool', '--id', '21'];
  const pem = join(dir, 'tool.pem');
  await must(
    t,
    'p11tool',
    [...PROVIDER, ...ask, '--generate-privkey=rsa', '--bits=2048', '--outfile', pem, 'pkcs11:token=test'],
    { env },
  );
  const objects = await must(t, 'p11tool', [...PROVIDER, '--login', '--list-all', 'pkcs11:token=test'], {
    env,
  });
  t.match(objects, /Label: tool/);
  t.match(objects, /CKA_PRIVATE;\s*CKA_(NEVER_EXTRACTABLE; CKA_)?SENSITIVE/, objects);
  const exported = join(dir, 'exported.pem');
  const uri = 'pkcs11:token=test;object=tool;type=public';
  await must(t, 'p11tool', [...PROVIDER, '--login', '--export-pubkey', uri, '--outfile', exported], { env });
  const read = spawnSync('openssl', ['pkey', '-pubin', '-in', exported, '-noout', '-text'], {
    encoding: 'utf8',
  });
  t.match(read.stdout, /2048 bit/);
});

t.test('p11tool signs and verifies by its own test, writes a certificate and deletes it', async (t) => {
  const identity = await makeIdentity(t, sidekey, dir, { id: '22', label: 'written' });
  const sign = await run('p11tool', [...PROVIDER, '--login', '--test-sign', identity.uri], { env });
  t.equal(sign.status, 0, sign.stdout + sign.stderr);
  t.match(sign.stderr + sign.stdout, /ok/);
  const label = ['--batch', '--login', '--label', 'written', '--id', '22'];
  const load = ['--load-certificate', identity.certificate, '--write', 'pkcs11:token=test'];
  await must(t, 'p11tool', [...PROVIDER, ...label, ...load], { env });
  const uri = 'pkcs11:token=test;object=written;type=cert';
  const back = await must(t, 'p11tool', [...PROVIDER, '--export', uri], { env });
  t.equal(new X509Certificate(back).fingerprint256, identity.x509.fingerprint256);
  await must(t, 'p11tool', [...PROVIDER, '--batch', '--login', '--delete', uri], { env });
  t.not((await run('p11tool', [...PROVIDER, '--export', uri], { env })).status, 0, 'it is gone');
});

t.test(
  'p11tool marks a certificate as trusted when the security officer logs in, and only then',
  async (t) => {
    const identity = await makeIdentity(t, sidekey, dir, { type: 'EC:prime256v1', id: '2c', label: 'root' });
    const what = [
      '--load-certificate',
      identity.certificate,
      '--mark-trusted',
      '--mark-ca',
      '--label',
      'root',
    ];
    const write = ['--batch', '--write', ...what, 'pkcs11:token=test'];
    const officer = { env: { ...env, GNUTLS_SO_PIN: SO_PIN } };
    t.not((await run('p11tool', [...PROVIDER, '--login', ...write], { env })).status, 0);
    await must(t, 'p11tool', [...PROVIDER, '--so-login', ...write], officer);
    const listed = await must(t, 'p11tool', [...PROVIDER, '--list-all-trusted', 'pkcs11:token=test'], {
      env,
    });
    t.match(listed, /Label: root[^]*CKA_TRUSTED/);
  },
);

t.test('certtool signs a certificate of its own with the key of the token', async (t) => {
  const identity = await makeIdentity(t, sidekey, dir, {
    type: 'EC:prime256v1',
    id: '23',
    label: 'authority',
  });
  const [template, certificate] = [join(dir, 'template'), join(dir, 'certtool.pem')];
  writeFileSync(template, 'cn = "by certtool"\nca\ncert_signing_key\nexpiration_days = 2\n');
  const key = ['--load-privkey', identity.uri];
  const made = ['--generate-self-signed', '--template', template, '--outfile', certificate];
  await must(t, 'certtool', [...PROVIDER, ...made, ...key], { env });
  const x509 = new X509Certificate(readFileSync(certificate));
  t.ok(x509.verify(identity.x509.publicKey), 'signed by the key that is in the token');
});

t.test(
  'gnutls-serv serves with the key and certificate of the token, gnutls-cli presents others',
  async (t) => {
    for (const [type, version, id] of [
      ['rsa:2048', '-VERS-ALL:+VERS-TLS1.2', '24'],
      ['rsa:2048', '-VERS-ALL:+VERS-TLS1.3', '26'],
      ['EC:prime256v1', '-VERS-ALL:+VERS-TLS1.3', '28'],
    ] as const) {
      const other = (Number.parseInt(id, 16) + 1).toString(16);
      const server = await makeIdentity(t, sidekey, dir, { type, id, label: `server${id}` });
      const client = await makeIdentity(t, sidekey, dir, { type, id: other, label: `client${id}` });
      await storeCertificate(t, sidekey, server, id);
      await storeCertificate(t, sidekey, client, other);
      const pair = (label: string): string[] => [
        '--x509keyfile',
        `pkcs11:token=test;object=${label};type=private`,
        '--x509certfile',
        `pkcs11:token=test;object=${label};type=cert`,
      ];
      const port = await freePort();
      const listen = ['--port', String(port), '--priority', `NORMAL:${version}`, '--echo'];
      const require = ['--require-client-cert', '--verify-client-cert', '--x509cafile', client.certificate];
      await serve(t, port, 'gnutls-serv', [...PROVIDER, ...listen, ...require, ...pair(server.label)], {
        env,
      });
      const trust = ['--x509cafile', server.certificate, '--verify-hostname', 'localhost'];
      const connect = ['--port', String(port), ...trust, ...pair(client.label), '127.0.0.1'];
      const said = await run('gnutls-cli', [...PROVIDER, ...connect], { env, input: 'an echo\n' });
      t.equal(said.status, 0, said.stdout + said.stderr);
      t.match(said.stdout, /The certificate is trusted/);
      t.match(said.stdout, /Successfully sent 1 certificate\(s\) to server/);
      t.match(said.stdout, /an echo/, 'the server took the client and answered');
    }
  },
);

t.test('gnutls-serv shakes hands with another library', async (t) => {
  const server = await makeIdentity(t, sidekey, dir, { id: '2a', label: 'served' });
  const port = await freePort();
  const pair = ['--x509keyfile', server.uri, '--x509certfile', server.certificate];
  await serve(t, port, 'gnutls-serv', [...PROVIDER, '--port', String(port), '--http', ...pair], { env });
  const { peer, answer } = await handshake(port, server, { send: 'GET / HTTP/1.0\r\n\r\n' });
  t.equal(peer.fingerprint256, server.x509.fingerprint256);
  t.match(answer, /200 OK/);
});
