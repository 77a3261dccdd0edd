/** nginx: the master (root) reads the key by the engine, workers (www-data) fork and sign; a reload makes new workers. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { PIN, startInstance } from '../e2e/instance.ts';
import {
  environment,
  freePort,
  handshake,
  makeIdentity,
  must,
  openDirectory,
  serve,
  type Identity,
} from './application.ts';

const REQUEST = 'GET / HTTP/1.0\r\n\r\n';
const notRoot = process.getuid?.() !== 0 && 'only root can run workers under another uid';

function configuration(dir: string, port: number, identity: Identity): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `  ${name}_temp_path ${join(dir, name)};`)
    .join('\n');
  return `daemon off;
user www-data;
worker_processes 2;
pid ${join(dir, 'nginx.pid')};
error_log ${join(dir, 'error.log')} info;
env SIDEKEY_SOCKET;
env SIDEKEY_TRACE;
env OPENSSL_CONF;
ssl_engine pkcs11;
events { worker_connections 64; }
http {
  access_log off;
${temporary}
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${identity.certificate};
    ssl_certificate_key "engine:pkcs11:${identity.uri}?pin-value=${PIN}";
    ssl_session_cache off;
    ssl_session_tickets off;
    location / { return 200 "worker $pid of ${identity.label}"; }
  }
}
`;
}

t.test(
  'workers of nginx sign, through reloads to another key and the death of the keeper',
  { skip: notRoot },
  async (t) => {
    const sidekey = await startInstance(t, { allow: ['uid:0', 'user:www-data'] });
    const dir = openDirectory(t);
    mkdirSync(join(dir, 'logs'));
    const env = environment(sidekey, dir);
    const first = await makeIdentity(t, sidekey, dir, { label: 'first' });
    const second = await makeIdentity(t, sidekey, dir, { type: 'EC:prime256v1', id: '02', label: 'second' });
    const port = await freePort();
    const path = join(dir, 'nginx.conf');
    writeFileSync(path, configuration(dir, port, first));
    const args = ['-c', path, '-p', dir, '-e', join(dir, 'error.log')];
    await must(t, '/usr/sbin/nginx', ['-t', ...args], { env });
    const server = await serve(t, port, '/usr/sbin/nginx', args, { env });
    const log = (): string => readFileSync(join(dir, 'error.log'), 'utf8');

    const workers = new Set<string>();
    const ask = async (identity: Identity, version: 'TLSv1.2' | 'TLSv1.3'): Promise<void> => {
      const { peer, answer } = await handshake(port, identity, { send: REQUEST, maxVersion: version });
      t.equal(peer.fingerprint256, identity.x509.fingerprint256);
      t.match(answer, new RegExp(`worker \\d+ of ${identity.label}`));
      workers.add(/worker (\d+)/.exec(answer)?.[1] ?? '');
    };
    for (let i = 0; i < 4; i++) await ask(first, i % 2 ? 'TLSv1.2' : 'TLSv1.3');
    await Promise.all(Array.from({ length: 8 }, () => ask(first, 'TLSv1.3')));
    t.notOk(workers.has(String(server.pid)), 'a worker answers, not the master');
    for (const worker of workers)
      t.match(readFileSync(`/proc/${worker}/status`, 'utf8'), /^Uid:\s+33\s/m, 'as www-data');

    for (const next of [second, first]) {
      writeFileSync(path, configuration(dir, port, next));
      const before = log().match(/gracefully shutting down/g)?.length ?? 0;
      server.kill('SIGHUP');
      for (const limit = Date.now() + 10_000; Date.now() < limit; await sleep(30))
        if ((log().match(/gracefully shutting down/g)?.length ?? 0) >= before + 2) break;
      for (let i = 0; i < 4; i++) await ask(next, i % 2 ? 'TLSv1.2' : 'TLSv1.3');
    }

    process.kill(sidekey.keeperPid() ?? 0, 'SIGKILL');
    for (let i = 0; i < 4; i++) await ask(first, 'TLSv1.3');
    t.notMatch(log(), /\[(emerg|alert|crit|error)\]/);
  },
);
