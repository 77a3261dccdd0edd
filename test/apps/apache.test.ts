/** Apache with mod_ssl: the parent reads key and certificate by the engine, children of www-data sign; graceful restarts. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { startInstance } from '../e2e/instance.ts';
import {
  environment,
  freePort,
  handshake,
  makeIdentity,
  openDirectory,
  serve,
  storeCertificate,
  type Identity,
} from './application.ts';

const notRoot = process.getuid?.() !== 0 && 'only root can run children under another uid';

function configuration(dir: string, mpm: string, port: number, identity: Identity): string {
  return `ServerRoot ${dir}
ServerName localhost
PidFile ${join(dir, 'apache.pid')}
ErrorLog ${join(dir, 'error.log')}
DefaultRuntimeDir ${dir}
LoadModule mpm_${mpm}_module /usr/lib/apache2/modules/mod_mpm_${mpm}.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
User www-data
Group www-data
StartServers 2
Listen 127.0.0.1:${port}
DocumentRoot ${join(dir)}
SSLCryptoDevice pkcs11
SSLSessionTickets off
<VirtualHost 127.0.0.1:${port}>
  SSLEngine on
  SSLCertificateFile "pkcs11:token=test;object=${identity.label};type=cert"
  SSLCertificateKeyFile "${identity.uri}"
</VirtualHost>
<Location />
  Require all granted
</Location>
`;
}

async function serveAndReload(t: Test, mpm: string): Promise<void> {
  const sidekey = await startInstance(t, { allow: ['uid:0', 'user:www-data'] });
  const dir = openDirectory(t);
  const first = await makeIdentity(t, sidekey, dir, { label: 'first' });
  const second = await makeIdentity(t, sidekey, dir, { type: 'EC:prime256v1', id: '02', label: 'second' });
  await storeCertificate(t, sidekey, first);
  await storeCertificate(t, sidekey, second, '02');
  const port = await freePort();
  const path = join(dir, 'apache.conf');
  writeFileSync(join(dir, 'file'), 'a file of Apache\n');
  writeFileSync(path, configuration(dir, mpm, port, first));
  const env = environment(sidekey, dir);
  const server = await serve(t, port, '/usr/sbin/apache2', ['-f', path, '-DFOREGROUND'], { env });
  const log = (): string => readFileSync(join(dir, 'error.log'), 'utf8');
  const ask = async (identity: Identity, maxVersion: 'TLSv1.2' | 'TLSv1.3'): Promise<void> => {
    const send = 'GET /file HTTP/1.0\r\nHost: localhost\r\n\r\n';
    const { peer, answer } = await handshake(port, identity, { send, maxVersion });
    t.equal(peer.fingerprint256, identity.x509.fingerprint256);
    t.match(answer, /200 OK[^]*a file of Apache/);
  };
  await Promise.all(Array.from({ length: 8 }, (_, i) => ask(first, i % 2 ? 'TLSv1.2' : 'TLSv1.3')));
  for (const next of [second, first]) {
    writeFileSync(path, configuration(dir, mpm, port, next));
    const before = log().match(/resuming normal operations/g)?.length ?? 0;
    server.kill('SIGUSR1');
    for (const limit = Date.now() + 10_000; Date.now() < limit; await sleep(30))
      if ((log().match(/resuming normal operations/g)?.length ?? 0) > before) break;
    // Children of the generation before may still take a connection or two; from then on it is the new key's.
    for (const limit = Date.now() + 10_000; Date.now() < limit; await sleep(50)) {
      const seen = await handshake(port, next).catch(() => null);
      if (seen?.peer.fingerprint256 === next.x509.fingerprint256) break;
    }
    for (let i = 0; i < 4; i++) await ask(next, i % 2 ? 'TLSv1.2' : 'TLSv1.3');
  }
  t.notMatch(log(), /:(emerg|alert|crit|error)\]/);
  t.notMatch(log(), /exit signal/);
}

t.test('Apache with threads in children (event)', { skip: notRoot }, (t) => serveAndReload(t, 'event'));
t.test('Apache with a process for each connection (prefork)', { skip: notRoot }, (t) =>
  serveAndReload(t, 'prefork'),
);
