// With PyKMIP's server: GCM with associated data (1.4, 2.0), and CBC with an HMAC key of the server (1.2).
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../../src/clock.ts';
import { createLogger } from '../../../src/log/logger.ts';
import type { KeyService } from '../../../src/providers/key-service.ts';
import { KMIP } from '../../../src/providers/kmip/kmip-kind.ts';
import { makeCertificates, makeExpiredClient } from '../../fakes/certificates.ts';
import { testContract } from '../contract.ts';
import { PyKmip } from './pykmip.ts';

const DEADLINE_MS = 2500;

function createService(t: Test, options: Record<string, unknown>): KeyService {
  const parsed: unknown = KMIP.schema.parse({
    timeout: `${DEADLINE_MS}ms`,
    'try-timeout': '1s',
    ...options,
  });
  const service = KMIP.create(parsed, {
    name: 'kmip',
    log: createLogger('silent'),
    clock: SYSTEM_CLOCK,
    random: randomBytes,
    resolvePath: (path) => path,
  });
  t.teardown(() => service.close());
  return service;
}

// One server for all tests; each leaves it as it was.
const server = await PyKmip.start(t);

for (const [newest, withMac] of [
  ['2.1', false],
  ['1.4', false],
  ['1.2', true],
] as const)
  testContract(t, `PyKMIP, at most ${newest}${withMac ? ', CBC and HMAC' : ''}`, async (t) => {
    const id = await server.makeKey('aes');
    const mac = withMac ? { 'mac-key-id': await server.makeKey('hmac') } : {};
    return {
      service: createService(t, server.options(id, { 'newest-version': newest, ...mac })),
      overallMs: DEADLINE_MS,
      // It does not support RNG Retrieve.
      refusesRandom: true,
      // The certificate is valid for a few days.
      credentialSeconds: [3600, 100 * 86_400],
      deny: () => server.setState(id, 'deactivated'),
      allow: () => server.setState(id, 'active'),
      stop: () => server.stop(),
      start: () => server.start(),
      hang: () => server.signal('SIGSTOP'),
      resume: () => server.signal('SIGCONT'),
    };
  });

t.test('PyKMIP, and what only one server is needed for', async (t) => {
  const id = await server.makeKey('aes');

  t.test('health tells state and version', async (t) => {
    const service = createService(t, server.options(id));
    t.match(await service.health(), { ok: true, detail: `key ${id} is Active, by KMIP 2.0` });
    server.setState(id, 'deactivated');
    t.match(await service.health(), { ok: false, detail: `key ${id} is Deactivated, by KMIP 2.0` });
    server.setState(id, 'active');
    const missing = createService(t, server.options('999'));
    t.match(await missing.health(), { ok: false, detail: /key 999/ });
    await t.rejects(missing.generateDataKey('a'), {
      code: 'provider_refused',
      message: /key 999.*ItemNotFound|PermissionDenied/,
    });
  });

  t.test(
    'a public key is registered, by which the server does not wrap: data keys at it are refused',
    async (t) => {
      for (const newest of ['2.0', '1.4', '1.1', '1.0']) {
        const more = { 'data-keys': 'at-server', 'newest-version': newest };
        const service = createService(t, server.options(id, more));
        const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
        const info = publicKey.export({ format: 'der', type: 'spki' });
        t.match(await service.health(), { ok: true, detail: `key ${id} is Active, by KMIP ${newest}` });
        await t.rejects(async () => service.carried?.generate('a', info), {
          code: 'provider_refused',
          message: /Get: /,
        });
        await service.close();
      }
    },
  );

  t.test('before 1.4 there is no GCM, and without mac-key-id nothing else', async (t) => {
    const service = createService(t, server.options(id, { 'newest-version': '1.2' }));
    await t.rejects(service.generateDataKey('a'), {
      code: 'provider_refused',
      message: /needs KMIP 1\.4.*speaks 1\.2/,
    });
  });

  t.test('a server of another authority is unreachable; a client of another one is refused', async (t) => {
    const other = makeCertificates(t.testdir());
    const foreign = createService(t, server.options(id, { 'ca-file': other.ca }));
    await t.rejects(foreign.generateDataKey('a'), { code: 'provider_unreachable', message: /certificate/ });
    execFileSync('chmod', ['600', other.client.key]);
    const stranger = { 'certificate-file': other.client.certificate, 'key-file': other.client.key };
    const refused = createService(t, server.options(id, stranger));
    await t.rejects(refused.generateDataKey('a'), { code: 'provider_refused', message: /ALERT_UNKNOWN_CA/ });
  });

  t.test('a name that does not resolve is unreachable', async (t) => {
    const service = createService(t, server.options(id, { host: 'nowhere.invalid' }));
    await t.rejects(service.generateDataKey('a'), { code: 'provider_unreachable' });
  });

  t.test('files that come or change later are taken up', async (t) => {
    const dir = t.testdir();
    const [certificate, key] = [join(dir, 'crt'), join(dir, 'key')];
    const service = createService(
      t,
      server.options(id, { 'certificate-file': certificate, 'key-file': key }),
    );
    await t.rejects(service.generateDataKey('a'), {
      code: 'provider_unreachable',
      message: /cannot be read/,
    });
    const { client } = server.certificates;
    copyFileSync(client.certificate, certificate);
    copyFileSync(client.key, key);
    const { plaintext, wrapped } = await service.generateDataKey('a');
    t.ok((await service.unwrapDataKey(wrapped, 'a')).equals(plaintext));
    copyFileSync(server.certificates.server.certificate, certificate);
    copyFileSync(server.certificates.server.key, key);
    await t.rejects(
      service.unwrapDataKey(wrapped, 'a'),
      { code: 'provider_refused' },
      'a certificate for servers',
    );
    copyFileSync(client.certificate, certificate);
    copyFileSync(client.key, key);
    t.ok((await service.unwrapDataKey(wrapped, 'a')).equals(plaintext));
  });

  t.test(
    'a client certificate past its end is refused and said to be so, and its renewal taken up',
    async (t) => {
      const dir = t.testdir();
      const [certificate, key] = [join(dir, 'crt'), join(dir, 'key')];
      const expired = makeExpiredClient(server.dir);
      copyFileSync(expired.certificate, certificate);
      copyFileSync(expired.key, key);
      execFileSync('chmod', ['600', key]);
      const files = { 'certificate-file': certificate, 'key-file': key };
      const service = createService(t, server.options(id, files));
      await t.rejects(service.generateDataKey('a'), {
        code: 'provider_refused',
        message: /CERTIFICATE_EXPIRED/i,
      });
      const { client } = server.certificates;
      copyFileSync(client.certificate, certificate);
      copyFileSync(client.key, key);
      const { plaintext, wrapped } = await service.generateDataKey('a');
      t.ok((await service.unwrapDataKey(wrapped, 'a')).equals(plaintext), 'without a restart');
      t.ok((service.credentialSecondsLeft?.() ?? 0) > 3600);
    },
  );

  t.test('a blob names its key: another key-id opens what the former one wrapped', async (t) => {
    const { plaintext, wrapped } = await createService(t, server.options(id)).generateDataKey('a');
    const later = createService(t, server.options(await server.makeKey('aes')));
    t.ok((await later.unwrapDataKey(wrapped, 'a')).equals(plaintext));
  });
});
