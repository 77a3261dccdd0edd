// NSS's software token as an HSM: its database is given by parameters of C_Initialize (`library-parameters`) only, not by the environment.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { PKCS11_HSM } from '../../src/providers/hsm/hsm-kind.ts';
import type { KeyService } from '../../src/providers/key-service.ts';
import { temporaryDirectory } from '../e2e/instance.ts';
import { SOFTHSM, SoftHsm } from './softhsm.ts';

const MACHINE = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
const SOFTOKEN = `/usr/lib/${MACHINE}-linux-gnu/libsoftokn3.so`;
const PASSWORD = 'of-the-database-1';

function open(t: Test, options: Record<string, unknown>): KeyService {
  const given = { kind: 'pkcs11-hsm', 'key-label': 'kek-1', timeout: '8s', 'try-timeout': '4s', ...options };
  const service = PKCS11_HSM.create(PKCS11_HSM.schema.parse(given), {
    ...{ name: 'hsm', log: createLogger('silent'), clock: SYSTEM_CLOCK, random: randomBytes },
    resolvePath: (path) => path,
  });
  t.teardown(() => service.close());
  return service;
}

const directory = temporaryDirectory(t);
const [database, pinFile] = [`sql:${directory}`, join(directory, 'pin')];
writeFileSync(pinFile, `${PASSWORD}\n`, { mode: 0o600 });
execFileSync('certutil', ['-N', '-d', database, '-f', pinFile]);
const key = ['-K', '-n', 'kek-1', '-t', 'aes', '-s', '32'];
execFileSync('symkeyutil', [...key, '-d', database, '-f', pinFile], { stdio: 'pipe' });

const parameters = `configdir='${database}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=`;
const options = { module: SOFTOKEN, 'token-label': 'NSS Certificate DB', 'pin-file': pinFile };

t.test('a KEK in a database of NSS', async (t) => {
  const service = open(t, { ...options, 'library-parameters': parameters });
  t.match(await service.health(), { ok: true, detail: /key label "kek-1" on token "NSS Certificate DB"/ });
  const { plaintext, wrapped } = await service.generateDataKey('a');
  t.ok((await service.unwrapDataKey(wrapped, 'a')).equals(plaintext));
  await t.rejects(service.unwrapDataKey(wrapped, 'b'), { code: 'provider_refused' });
});

t.test('without them, or with others, there is no such key, and that is said', async (t) => {
  const elsewhere = parameters.replace(directory, join(directory, 'nowhere'));
  for (const more of [{}, { 'library-parameters': elsewhere }]) {
    const service = open(t, { ...options, ...more });
    await t.rejects(service.generateDataKey('a'), { code: /^provider_(unreachable|refused)$/ });
    t.match(await service.health(), { ok: false });
  }
  t.throws(() => open(t, { ...options, 'library-parameters': 'a\0b' }), /no byte of zero/);
});

t.test('a library that knows no such parameters says so', async (t) => {
  const hsm = new SoftHsm(t);
  const softhsm = {
    module: SOFTHSM,
    'token-label': 'kek',
    'pin-file': hsm.pinFile,
    environment: hsm.environment,
  };
  hsm.makeKey('kek-1');
  t.match(await open(t, softhsm).health(), { ok: true });
  const service = open(t, { ...softhsm, 'library-parameters': parameters });
  t.match(await service.health(), { ok: false });
});
