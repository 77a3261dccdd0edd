/**
 * OpenVPN by pkcs11-helper: a client that becomes a daemon after it loaded the module, with key and certificate in the token and its
 * PIN by the management socket. No tunnel device: what is shown is the handshake.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { MODULE, PIN, startInstance } from '../e2e/instance.ts';
import {
  environment,
  freePort,
  makeIdentity,
  must,
  openDirectory,
  run,
  storeCertificate,
} from './application.ts';

const FINISH_MS = 60_000;

async function until(what: string, found: () => boolean): Promise<void> {
  const limit = Date.now() + FINISH_MS;
  while (!found()) {
    if (Date.now() > limit) throw new Error(`${what} did not come`);
    await sleep(50);
  }
}

/** Answers the question for the token's PIN. */
async function giveThePin(t: Test, path: string): Promise<Socket> {
  await until('the management socket', () => existsSync(path));
  const socket = connect(path);
  t.teardown(() => socket.destroy());
  socket.setEncoding('utf8');
  let heard = '';
  for await (const [chunk] of onData(socket)) {
    heard += chunk;
    const [, token] = /Need '([^']+)' password/.exec(heard) ?? [];
    if (token === undefined) continue;
    socket.write(`password "${token}" ${PIN}\n`);
    return socket;
  }
  throw new Error(`no PIN was asked for: ${heard}`);
}

async function* onData(socket: Socket): AsyncGenerator<[string]> {
  const signal = AbortSignal.timeout(FINISH_MS);
  while (!socket.destroyed) yield (await once(socket, 'data', { signal })) as [string];
}

for (const type of ['rsa:2048', 'EC:prime256v1'])
  t.test(`a client's ${type} key stays in the token`, { timeout: 120_000 }, async (t) => {
    const sidekey = await startInstance(t);
    const dir = openDirectory(t);
    const env = environment(sidekey, dir);
    const usage = ['keyUsage=digitalSignature', 'extendedKeyUsage=clientAuth'];
    const identity = await makeIdentity(t, sidekey, dir, { type, extensions: usage });
    await storeCertificate(t, sidekey, identity);
    const server = {
      key: join(dir, 'server.key'),
      certificate: join(dir, 'server.pem'),
    };
    const self = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=server'];
    await must(t, 'openssl', [...self, '-keyout', server.key, '-out', server.certificate]);
    const shown = await must(t, 'openvpn', ['--show-pkcs11-ids', MODULE], { env });
    const [, id] = /Serialized id:\s+(\S+)/.exec(shown) ?? [];
    t.ok(id, shown);

    const port = String(await freePort());
    const common = ['--dev', 'null', '--verb', '3', '--local', '127.0.0.1'];
    const logs = { server: join(dir, 'server.log'), client: join(dir, 'client.log') };
    const daemon = (name: 'server' | 'client'): string[] => [
      ...['--daemon', name, '--log', logs[name], '--writepid', join(dir, `${name}.pid`)],
    ];
    t.teardown(() => {
      for (const name of ['server', 'client'])
        if (existsSync(join(dir, `${name}.pid`)))
          execFileSync('kill', [readFileSync(join(dir, `${name}.pid`), 'utf8').trim()]);
    });
    const files = [
      '--ca',
      identity.certificate,
      '--cert',
      server.certificate,
      '--key',
      server.key,
      '--dh',
      'none',
    ];
    await must(t, 'openvpn', [...common, '--port', port, '--tls-server', ...files, ...daemon('server')]);
    const management = join(dir, 'management');
    const token = ['--pkcs11-providers', MODULE, '--pkcs11-id', id ?? ''];
    const asking = ['--management', management, 'unix', '--management-query-passwords'];
    const remote = [
      '--remote',
      '127.0.0.1',
      port,
      '--lport',
      '0',
      '--tls-client',
      '--ca',
      server.certificate,
    ];
    const started = run('openvpn', [...common, ...remote, ...token, ...asking, ...daemon('client')], { env });
    await giveThePin(t, management);
    t.equal((await started).status, 0);
    const read = (name: 'server' | 'client'): string =>
      existsSync(logs[name]) ? readFileSync(logs[name], 'utf8') : '';
    await until('the handshake', () => /Initialization Sequence Completed/.test(read('client'))).catch(
      (error: unknown) => t.fail(`${String(error)}\n${read('client')}\n${read('server')}`),
    );
    t.match(
      read('server'),
      /VERIFY OK: depth=0, CN=localhost/,
      'the server saw the certificate of the token',
    );
    t.match(read('server'), /Peer Connection Initiated/);
  });
