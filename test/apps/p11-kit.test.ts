/** p11-kit: the module by a configuration file, and through `p11-kit server`, whose wire is the standard output. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createHash, publicDecrypt, verify } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { MODULE, PIN, startInstance } from '../e2e/instance.ts';
import { environment, makeIdentity, must, openDirectory, run } from './application.ts';

const CLIENT = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/pkcs11/p11-kit-client.so`;
const PROXY = CLIENT.replace('pkcs11/p11-kit-client.so', 'p11-kit-proxy.so');
const NOBODY = 65534;

t.test('a module configuration file of a user is all that p11-kit needs', async (t) => {
  // p11-kit reads the modules of a user for every uid but root's.
  const root = process.getuid?.() === 0;
  const sidekey = await startInstance(t, root ? { allow: ['uid:0', `uid:${NOBODY}`] } : {});
  const dir = openDirectory(t);
  const module = join(dir, 'sidekey-pkcs11.so');
  copyFileSync(MODULE, module);
  chmodSync(module, 0o755);
  const modules = join(dir, '.config/pkcs11/modules');
  mkdirSync(modules, { recursive: true });
  writeFileSync(join(modules, 'sidekey.module'), `module: ${module}\ncritical: yes\n`);
  writeFileSync(join(dir, '.config/pkcs11/pkcs11.conf'), 'user-config: only\n');
  const env = { ...environment(sidekey, dir), HOME: dir, XDG_CONFIG_HOME: join(dir, '.config') };
  const options = { env, cwd: dir, ...(root ? { uid: NOBODY, gid: NOBODY } : {}) };
  const listed = await must(t, 'p11-kit', ['list-modules'], options);
  t.match(listed, /^(module: )?sidekey/m);
  t.match(listed, /token: test\n/);
  t.match(listed, /model: Sidekey/);
  t.match(listed, /flags:\n[^]*login-required\n[^]*token-initialized/);

  // p11-kit-proxy.so shows what is configured to programs that load one fixed module.
  const key = ['--keypairgen', '--key-type', 'EC:prime256v1', '--label', 'proxied', '--id', '51'];
  const token = ['--module', PROXY, '--token-label', 'test', '--login', '--pin', PIN];
  await must(t, 'pkcs11-tool', [...token, ...key], options);
  t.match(await must(t, 'pkcs11-tool', [...token, '--list-objects'], options), /label: +proxied/);
});

t.test('signing and decrypting through p11-kit server', async (t) => {
  const sidekey = await startInstance(t);
  const dir = openDirectory(t);
  const env = environment(sidekey, dir);
  const identity = await makeIdentity(t, sidekey, dir, { id: '52', label: 'remote' });
  const socket = join(dir, 'p11-kit.sock');
  const server = spawn(
    'p11-kit',
    ['server', '--foreground', '--name', socket, '--provider', MODULE, 'pkcs11:'],
    {
      env,
      stdio: 'ignore',
    },
  );
  t.teardown(async () => {
    const ended = once(server, 'exit');
    server.kill('SIGTERM');
    await ended;
  });
  for (const limit = Date.now() + 10_000; Date.now() < limit && !existsSync(socket);) await sleep(20);

  // The program has no way to Sidekey but p11-kit's.
  const { SIDEKEY_SOCKET: _, ...apart } = env;
  const remote = { env: { ...apart, P11_KIT_SERVER_ADDRESS: `unix:path=${socket}` } };
  const token = ['--module', CLIENT, '--token-label', 'test', '--login', '--pin', PIN];
  t.match(
    await must(t, 'pkcs11-tool', ['--module', CLIENT, '--list-token-slots'], remote),
    /token label +: test\n/,
  );
  const [data, signature] = [join(dir, 'data'), join(dir, 'signature')];
  writeFileSync(data, 'signed far away');
  const sign = ['--sign', '--id', '52', '-m', 'SHA256-RSA-PKCS', '-i', data, '-o', signature];
  await must(t, 'pkcs11-tool', [...token, ...sign], remote);
  t.ok(verify('sha256', readFileSync(data), identity.x509.publicKey, readFileSync(signature)));

  const digest = createHash('sha256').update('raw').digest();
  writeFileSync(data, digest);
  await must(
    t,
    'pkcs11-tool',
    [...token, '--sign', '--id', '52', '-m', 'RSA-PKCS', '-i', data, '-o', signature],
    remote,
  );
  t.ok(publicDecrypt(identity.x509.publicKey, readFileSync(signature)).equals(digest));

  // Two programs at once, each with its own remote process behind the server.
  const several = await Promise.all(
    ['53', '54', '55'].map((id) =>
      run('pkcs11-tool', [...token, '--keypairgen', '--key-type', 'EC:prime256v1', '--id', id], remote),
    ),
  );
  for (const { status, stdout, stderr } of several) t.equal(status, 0, stdout + stderr);
});
