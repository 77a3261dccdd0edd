// Libraries of Debian other than SoftHSM as the HSM: NSS's software token, and p11-kit's client, which leads to SoftHSM in another process.
// One unchanged program runs on tokens whose KEK or whose resident keys they hold.
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { PKCS11_HSM } from '../../src/providers/hsm/hsm-kind.ts';
import { compile, initInstance, MODULE, temporaryDirectory } from '../e2e/instance.ts';
import { SOFTHSM, SoftHsm } from '../providers/softhsm.ts';
import { PAIRS_OK } from './token-under.ts';

const LIBRARIES = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;

type Options = Readonly<Record<string, unknown>>;

/** Its database is named by parameters at C_Initialize. */
async function nss(t: Test): Promise<Options> {
  const directory = temporaryDirectory(t);
  const [database, pin] = [`sql:${directory}`, join(directory, 'pin')];
  writeFileSync(pin, 'of-the-database-1\n', { mode: 0o600 });
  execFileSync('certutil', ['-N', '-d', database, '-f', pin]);
  const key = ['-K', '-n', 'kek-1', '-t', 'aes', '-s', '32'];
  execFileSync('symkeyutil', [...key, '-d', database, '-f', pin], { stdio: 'pipe' });
  return {
    module: join(LIBRARIES, 'libsoftokn3.so'),
    ...{ 'token-label': 'NSS Certificate DB', 'key-label': 'kek-1', 'pin-file': pin },
    'library-parameters': `configdir='${database}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=`,
  };
}

/** SoftHSM in another process, its calls by a Unix socket. */
async function p11Kit(t: Test): Promise<Options> {
  const hsm = new SoftHsm(t);
  hsm.writeKey('kek-1');
  const env = { ...process.env, ...hsm.environment };
  const socket = join(temporaryDirectory(t), 'socket');
  const args = ['server', '--foreground', '--name', socket, '--provider', SOFTHSM, 'pkcs11:token=kek'];
  const server = spawn('p11-kit', args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => server.kill('SIGKILL'));
  await once(server.stdout, 'data');
  return {
    module: join(LIBRARIES, 'pkcs11/p11-kit-client.so'),
    ...{ 'token-label': 'kek', 'key-label': 'kek-1', 'pin-file': hsm.pinFile },
    environment: { P11_KIT_SERVER_ADDRESS: `unix:path=${socket}` },
  };
}

async function useBy(t: Test, options: Options, resident: boolean): Promise<Record<string, string>> {
  const yaml = JSON.stringify({ ...options, kind: 'pkcs11-hsm' });
  const more = resident ? '    resident: { prefix: proof-, refresh: 1s, create: true, destroy: true }\n' : '';
  const token = `label: "one"\n    provider: hsm\n    login: none\n${more}`;
  const instance = initInstance(t, {
    edit: (text) =>
      text
        .replace(/label: "test"\n    provider: local\n/, token)
        .replace(/^providers:\n/m, `providers:\n  hsm: ${yaml}\n`),
  });
  await instance.start();
  const { stdout, stderr, status } = instance.run(compile(t, '../interop/resident.c'), [MODULE, 'one']);
  t.equal(status, 0, stderr);
  const lines = stdout.trim().split('\n');
  const said = Object.fromEntries(lines.map((line) => /^(.*?): (.*)$/.exec(line)?.slice(1) ?? ['', line]));
  await instance.stopAgent();
  return said;
}

const SECRETS_OK = {
  ...{ 'generic secret': 'ok', SHA256_HMAC: 'ok', 'AES-256': 'ok', AES_GCM: 'ok' },
  ...{ ECDH1_DERIVE: 'ok', 'keys wrapped by AES_GCM': 'ok', 'keys wrapped by AES_CBC_PAD': 'ok' },
};

for (const resident of [false, true])
  t.test(`NSS's software token, ${resident ? 'with resident keys' : 'as the holder of a KEK'}`, async (t) => {
    t.same(await useBy(t, await nss(t), resident), { ...PAIRS_OK, ...SECRETS_OK });
  });

t.test("p11-kit's client with resident keys", async (t) => {
  t.match(await useBy(t, await p11Kit(t), true), PAIRS_OK);
});

/** p11-kit 0.24 passes on neither AES-GCM nor AES key wraps: the caller is told, and nothing else is harmed. */
t.test("p11-kit's client cannot hold a KEK, and health says why", async (t) => {
  const parsed = PKCS11_HSM.schema.parse({ kind: 'pkcs11-hsm', ...(await p11Kit(t)) });
  const deps = { name: 'hsm', log: createLogger('silent'), clock: SYSTEM_CLOCK, random: randomBytes };
  const service = PKCS11_HSM.create(parsed, { ...deps, resolvePath: (path) => path });
  t.teardown(() => service.close());
  t.match(await service.health(), { ok: false, detail: /do not both support any of: aes-gcm, aes-key-wrap/ });
  await t.rejects(service.generateDataKey('a'), { code: 'provider_refused' });
});
