// The managed identity of a server on Azure Arc: its challenge names a file, of which only some may be read and sent.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK, SYSTEM_TIMER } from '../../src/clock.ts';
import { AzureTokens } from '../../src/providers/azure/azure-tokens.ts';
import { HttpClient } from '../../src/providers/http/http-client.ts';
import { ServiceCaller } from '../../src/providers/http/service-call.ts';
import { NO_TLS_FILES } from '../../src/providers/http/tls-files.ts';
import { FakeAzure } from '../fakes/fake-azure.ts';
import { FakeService } from '../fakes/fake-service.ts';

const RESOURCE = 'https://vault.azure.net';
const { privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});

async function scene(t: Test, auth: { 'client-id'?: string } = {}) {
  const folder = t.testdir();
  const azure = new FakeAzure(privateKey);
  azure.behaviour.arcFolder = folder;
  const server = new FakeService(azure.handle);
  await server.start();
  const http = new HttpClient({ tls: NO_TLS_FILES });
  t.teardown(() => Promise.all([http.close(), server.stop()]));
  const bounds = { tryMs: 3000, overallMs: 9000 };
  const deps = { clock: SYSTEM_CLOCK, random: randomBytes };
  const tokens = new AzureTokens({
    ...deps,
    what: 'provider "z"',
    auth: { method: 'managed-identity', ...auth },
    caller: new ServiceCaller({ http, timer: SYSTEM_TIMER, ...deps, ...bounds }),
    authority: null,
    environment: { IDENTITY_ENDPOINT: `${server.url}/arc/token`, IMDS_ENDPOINT: server.url },
    resolvePath: (path) => path,
    nowMs: () => Date.now(),
    arcTokensFolder: folder,
  });
  return { azure, server, folder, get: () => tokens.get(RESOURCE, AbortSignal.timeout(9000)), tokens };
}

t.test('login by managed identity on Azure Arc answers its challenge', async (t) => {
  const { azure, server, get, tokens } = await scene(t);
  t.match(await get(), /^eyJ\./);
  t.strictSame(azure.logins, ['arc']);
  t.strictSame(server.seen, ['GET /arc/token', 'GET /arc/token']);
  t.ok((tokens.secondsLeft ?? 0) > 3500);
});

t.test('whoever listens there is shown no other file', async (t) => {
  const { azure, server, folder, get } = await scene(t);
  writeFileSync(join(folder, 'long.key'), 'x'.repeat(4097));
  symlinkSync('/etc/hostname', join(folder, 'other'));
  for (const [realm, code] of [
    ['/etc/shadow', 'provider_refused'],
    [`${folder}/../secret.key`, 'provider_refused'],
    [`${folder}/sub/x.key`, 'provider_refused'],
    [join(folder, 'other'), 'provider_refused'],
    ['', 'provider_refused'],
    [join(folder, 'absent.key'), 'provider_unreachable'],
    [join(folder, 'long.key'), 'provider_unreachable'],
  ] as const) {
    azure.behaviour.arcRealm = realm;
    const before = server.seen.length;
    await t.rejects(get(), { code }, realm);
    t.equal(server.seen.length, before + 1, 'and nothing was sent');
  }
  azure.behaviour.arcRealm = null;
  t.match(await get(), /^eyJ\./, 'and the next one is good');
});

t.test('a wrong answer is refused after one more try, and an identity of the user is refused', async (t) => {
  const { azure, server, folder, get } = await scene(t);
  writeFileSync(join(folder, 'old.key'), 'of yesterday');
  azure.behaviour.arcRealm = join(folder, 'old.key');
  await t.rejects(get(), { code: 'provider_refused', message: /401/ });
  t.equal(server.seen.length, 2);
  const other = await scene(t, { 'client-id': 'c' });
  await t.rejects(other.get(), { code: 'provider_refused', message: /omit client-id/ });
});
