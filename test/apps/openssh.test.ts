/** OpenSSH: ssh-keygen -D, ssh-agent, login to an sshd of the test's own on loopback, git commits signed by ssh. */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { MODULE, PIN, startInstance } from '../e2e/instance.ts';
import { environment, freePort, makeKey, must, openDirectory, run, serve } from './application.ts';

const sidekey = await startInstance(t);
const dir = openDirectory(t);
const askpass = join(dir, 'askpass');
writeFileSync(askpass, `#!/bin/sh\necho ${PIN}\n`);
chmodSync(askpass, 0o700);
/** ssh-add and ssh ask this program for the PIN, since there is no terminal. */
const env = environment(sidekey, dir, {
  SSH_ASKPASS: askpass,
  SSH_ASKPASS_REQUIRE: 'force',
  SSH_AUTH_SOCK: join(dir, 'agent.sock'),
  HOME: dir,
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_SYSTEM: '/dev/null',
});

/** The token's public keys, as authorized_keys has them. */
async function listKeys(t: Test): Promise<string[]> {
  const listed = await must(t, 'ssh-keygen', ['-D', MODULE], { env });
  return listed.trim().split('\n');
}

/** An agent that may load the module although it is not below /usr/lib, with the token's keys added. */
async function startAgent(t: Test): Promise<void> {
  const socket = env['SSH_AUTH_SOCK'] ?? '';
  rmSync(socket, { force: true });
  const agent = spawn('ssh-agent', ['-D', '-a', socket, '-P', `${MODULE},/usr/lib/*`], {
    env,
    stdio: 'ignore',
  });
  t.teardown(() => agent.kill('SIGTERM'));
  for (const limit = Date.now() + 10_000; Date.now() < limit && !existsSync(socket);) await sleep(20);
  await must(t, 'ssh-add', ['-s', MODULE], { env });
}

async function startDaemon(t: Test, authorized: readonly string[]): Promise<number> {
  const port = await freePort();
  const [hostKey, keys, configuration] = [join(dir, 'host'), join(dir, 'keys'), join(dir, 'sshd_config')];
  if (!existsSync(hostKey)) spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', hostKey]);
  writeFileSync(keys, authorized.join('\n') + '\n');
  writeFileSync(
    configuration,
    `ListenAddress 127.0.0.1:${port}
HostKey ${hostKey}
PidFile none
AuthorizedKeysFile ${keys}
AuthenticationMethods publickey
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
`,
  );
  // sshd's fixed place for its unprivileged child; a system without a running sshd has none.
  if (!existsSync('/run/sshd')) {
    mkdirSync('/run/sshd', { mode: 0o755 });
    t.teardown(() => rmSync('/run/sshd', { recursive: true, force: true }));
  }
  await serve(t, port, '/usr/sbin/sshd', ['-D', '-e', '-f', configuration]);
  return port;
}

function login(port: number, ...options: string[]): string[] {
  const host = [
    '-o',
    'StrictHostKeyChecking=no',
    '-o',
    'UserKnownHostsFile=/dev/null',
    '-o',
    'LogLevel=ERROR',
  ];
  const where = ['-F', '/dev/null', '-p', String(port), '-l', userInfo().username];
  return [...where, ...host, ...options, '127.0.0.1', 'echo in as $USER'];
}

t.test('ssh-keygen -D lists the RSA and ECDSA keys of the token without a PIN', async (t) => {
  await makeKey(t, sidekey, 'rsa:2048', '61', 'ssh-rsa');
  await makeKey(t, sidekey, 'EC:prime256v1', '62', 'ssh-ecdsa');
  await makeKey(t, sidekey, 'EC:secp384r1', '63', 'ssh-ecdsa-384');
  const keys = await listKeys(t);
  t.match(keys.map((line) => line.split(' ')[0]).sort(), [
    'ecdsa-sha2-nistp256',
    'ecdsa-sha2-nistp384',
    'ssh-rsa',
  ]);
  t.match(keys.find((line) => line.startsWith('ssh-rsa'))?.split(' ')[2], 'ssh-rsa');
});

t.test('ssh-agent signs for a login with each key', async (t) => {
  const keys = await listKeys(t);
  await startAgent(t);
  const added = await must(t, 'ssh-add', ['-L'], { env });
  for (const key of keys) {
    t.match(added, key.split(' ')[1]);
    const port = await startDaemon(t, [key]);
    const publicKey = join(dir, 'one.pub');
    writeFileSync(publicKey, key + '\n');
    const only = ['-o', 'IdentitiesOnly=yes', '-i', publicKey];
    t.equal(await must(t, 'ssh', login(port, ...only), { env }), `in as ${userInfo().username}\n`);
  }
  await must(t, 'ssh-add', ['-e', MODULE], { env });
  t.match((await run('ssh-add', ['-l'], { env })).stdout, /no identities/);
  await must(t, 'ssh-add', ['-s', MODULE], { env });
  t.equal(
    (await must(t, 'ssh-add', ['-l'], { env })).trim().split('\n').length,
    keys.length,
    'and back again',
  );
});

t.test(
  'ssh logs in by PKCS11Provider, asking for the PIN, and a key that is not authorised does not',
  async (t) => {
    const keys = await listKeys(t);
    const own = ['-o', `PKCS11Provider=${MODULE}`, '-o', 'IdentityAgent=none'];
    const port = await startDaemon(t, keys.slice(0, 1));
    t.equal(await must(t, 'ssh', login(port, ...own), { env }), `in as ${userInfo().username}\n`);
    const strangers = await startDaemon(t, []);
    t.not((await run('ssh', login(strangers, ...own), { env })).status, 0);
  },
);

t.test('an authority in the token signs a certificate, which logs in', async (t) => {
  const [authority] = (await listKeys(t)).filter((key) => key.startsWith('ecdsa-sha2-nistp256'));
  const [authorityFile, user] = [join(dir, 'authority.pub'), join(dir, 'user')];
  writeFileSync(authorityFile, `${authority}\n`);
  spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', user]);
  const sign = ['-D', MODULE, '-s', authorityFile, '-I', 'test', '-n', userInfo().username, `${user}.pub`];
  await must(t, 'ssh-keygen', sign, { env });
  const port = await startDaemon(t, [`cert-authority ${authority}`]);
  const own = ['-o', 'IdentitiesOnly=yes', '-o', 'IdentityAgent=none', '-i', user];
  t.equal(await must(t, 'ssh', login(port, ...own), { env }), `in as ${userInfo().username}\n`);
});

t.test('git signs a commit by ssh, and verifies it without agent and token', async (t) => {
  const keys = await listKeys(t);
  await startAgent(t);
  const signers = join(dir, 'signers');
  writeFileSync(signers, keys.map((key) => `me@example.org ${key}\n`).join(''));
  for (const [i, key] of keys.entries()) {
    const repository = join(dir, `repository${i}`);
    const git = (...args: string[]): readonly string[] => [
      ...['-c', 'user.name=me', '-c', 'user.email=me@example.org', '-c', 'gpg.format=ssh'],
      ...['-c', `gpg.ssh.allowedSignersFile=${signers}`, '-c', `user.signingKey=key::${key}`],
      ...args,
    ];
    mkdirSync(repository);
    const here = { env, cwd: repository };
    await must(t, 'git', git('init', '-q'), here);
    await must(t, 'git', git('commit', '-q', '--allow-empty', '-S', '-m', 'signed'), here);
    const { SSH_AUTH_SOCK: _, SIDEKEY_SOCKET: __, ...apart } = env;
    const verified = await run('git', git('verify-commit', 'HEAD'), { env: apart, cwd: repository });
    t.equal(verified.status, 0, verified.stderr);
    t.match(verified.stderr, /Good "git" signature for me@example\.org/);
    t.match(readFileSync(join(repository, '.git/HEAD'), 'utf8'), /ref:/);
  }
});
