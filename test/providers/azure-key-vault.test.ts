import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { SidekeyError } from '../../src/errors.ts';
import type { HttpReply } from '../../src/providers/http/http-client.ts';
import type { ServiceCaller } from '../../src/providers/http/service-call.ts';
import { AzureTokens } from '../../src/providers/azure/azure-tokens.ts';
import { checkResource, parseChallenge } from '../../src/providers/azure/azure-challenge.ts';
import { judgeAzure } from '../../src/providers/azure/azure-client.ts';
import { azureKind } from '../../src/providers/azure/azure-key-service.ts';
import { FakeAzure } from '../fakes/fake-azure.ts';
import { FakeService } from '../fakes/fake-service.ts';
import { testContract } from './contract.ts';

const PURPOSE = 'token 1';
const OVERALL_MS = 1500;
/** For tests that wait for a deadline; the others use the longest one, for slow machines. */
const SHORT = { timeout: `${OVERALL_MS}ms`, 'try-timeout': '400ms' };
const LONG = { timeout: '9s', 'try-timeout': '9s' };
const { privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});

// Only what a test sets, never the host's own identity.
for (const name of Object.keys(process.env)) if (/^(AZURE|IDENTITY)_/.test(name)) delete process.env[name];

function setEnvironment(t: Test, values: Record<string, string>): void {
  Object.assign(process.env, values);
  t.teardown(() => Object.keys(values).forEach((name) => delete process.env[name]));
}

const IDS = { 'tenant-id': 'tenant-1', 'client-id': 'client-1' };
const SECRET = { method: 'client-secret', ...IDS, 'client-secret-file': 'secret' };

async function scene(t: Test, options: Record<string, unknown> = {}) {
  t.testdir();
  const azure = new FakeAzure(privateKey);
  const server = new FakeService(azure.handle);
  await server.start();
  const secretFile = join(t.testdirName, 'secret');
  writeFileSync(secretFile, 'client-secret-1\n', { mode: 0o600 });
  const parsed = azureKind.schema.parse({
    kind: 'azure-key-vault',
    vault: server.url,
    key: 'kek',
    auth: SECRET,
    authority: server.url,
    resource: 'https://vault.azure.net',
    ...LONG,
    ...options,
  });
  const service = azureKind.create(parsed, {
    name: 'z',
    log: createLogger('silent'),
    clock: SYSTEM_CLOCK,
    random: randomBytes,
    resolvePath: (path) => resolve(t.testdirName, path),
  });
  t.teardown(async () => {
    await service.close();
    await server.stop();
  });
  const roundTrip = async (): Promise<boolean> => {
    const { plaintext, wrapped } = await service.generateDataKey(PURPOSE);
    return (await service.unwrapDataKey(wrapped, PURPOSE)).equals(plaintext);
  };
  return { azure, server, service, roundTrip, secretFile };
}

testContract(t, 'azure-key-vault', async (t) => {
  const { azure, server, service } = await scene(t, SHORT);
  return {
    service,
    overallMs: OVERALL_MS,
    credentialSeconds: [3500, 3600],
    deny: () => void (azure.behaviour.enabled = false),
    allow: () => void (azure.behaviour.enabled = true),
    stop: () => server.stop(),
    start: () => server.start(),
    hang: () => server.fail({ is: 'hang' }),
    resume: () => server.heal(),
  };
});

t.test(
  'login by client secret is done once for many; a wrong one is refused, a new one taken up',
  async (t) => {
    const { azure, roundTrip, secretFile } = await scene(t);
    t.ok((await Promise.all(Array.from({ length: 20 }, roundTrip))).every(Boolean));
    t.strictSame(azure.logins, ['secret']);
    azure.behaviour.secret = 'client-secret-2';
    azure.forget();
    await t.rejects(roundTrip(), {
      code: 'provider_refused',
      message: /^provider "z": token by client-secret: status 401: invalid_client AADSTS7000215: [^\r\n]*$/,
    });
    writeFileSync(secretFile, 'client-secret-2');
    t.ok(await roundTrip());
  },
);

t.test('login by certificate signs an assertion that verifies', async (t) => {
  const { azure, roundTrip } = await scene(t, {
    auth: { method: 'client-certificate', ...IDS, 'certificate-file': 'app.crt', 'key-file': 'app.key' },
  });
  const [key, certificate] = [join(t.testdirName, 'app.key'), join(t.testdirName, 'app.crt')];
  const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=app', '-keyout', key];
  execFileSync('openssl', [...args, '-out', certificate], { stdio: 'ignore' });
  chmodSync(key, 0o600);
  await t.rejects(roundTrip(), { code: 'provider_refused', message: /AADSTS700027/ });
  azure.behaviour.certificate = readFileSync(certificate, 'utf8');
  t.ok(await roundTrip());
  t.strictSame(azure.logins, ['certificate']);
});

t.test('login by workload identity takes its parts from the environment', async (t) => {
  const { azure, roundTrip } = await scene(t, { auth: { method: 'workload-identity' } });
  await t.rejects(roundTrip(), { code: 'provider_unreachable', message: /tenant-id is neither/ });
  const file = join(t.testdirName, 'federated');
  setEnvironment(t, {
    AZURE_TENANT_ID: 'tenant-1',
    AZURE_CLIENT_ID: 'client-1',
    AZURE_FEDERATED_TOKEN_FILE: file,
  });
  await t.rejects(roundTrip(), { code: 'provider_unreachable', message: /cannot read .*federated/ });
  writeFileSync(file, 'federated-1');
  t.ok(await roundTrip());
  t.strictSame(azure.logins, ['federated']);
});

t.test(
  'login by managed identity: the metadata service, which may still start, and App Service',
  async (t) => {
    const { azure, roundTrip, server } = await scene(t, { auth: { method: 'managed-identity' } });
    setEnvironment(t, { AZURE_POD_IDENTITY_AUTHORITY_HOST: server.url });
    server.fail({ is: 'reply', reply: { status: 410 } }, 1);
    t.ok(await roundTrip());
    azure.forget();
    setEnvironment(t, { IDENTITY_ENDPOINT: `${server.url}/msi/token`, IDENTITY_HEADER: 'header-1' });
    t.ok(await roundTrip());
    t.strictSame(azure.logins, ['metadata', 'app-service']);
  },
);

t.test('a token is replaced ahead of its end, and when the vault does not know it', async (t) => {
  const { azure, roundTrip } = await scene(t);
  azure.behaviour.tokenSeconds = 2;
  do {
    t.ok(await roundTrip());
    await sleep(25);
  } while (azure.logins.length < 2);
  azure.behaviour.tokenSeconds = 3600;
  t.ok(await roundTrip());
  const before = azure.logins.length;
  azure.forget();
  t.ok(await roundTrip());
  t.equal(azure.logins.length, before + 1);
});

t.test(
  'one login for many, replaced beside the calls after four fifths of its life, and used to its end',
  async (t) => {
    let [now, logins, isAway] = [0, 0, false];
    const call = async (): Promise<HttpReply> => {
      if (isAway) throw new SidekeyError('provider_unreachable', 'no token service');
      const body = { access_token: `token-${++logins}`, expires_in: 3600 };
      return { status: 200, headers: {}, body: Buffer.from(JSON.stringify(body)) };
    };
    const tokens = new AzureTokens({
      what: 'provider "z"',
      auth: { method: 'managed-identity' },
      caller: { call } as unknown as ServiceCaller,
      clock: { now: () => now, monotonic: () => now },
      random: () => Buffer.alloc(4),
      authority: null,
      environment: {},
      resolvePath: (path) => path,
      nowMs: () => now,
    });
    const get = () => tokens.get('https://vault.azure.net', new AbortController().signal);
    t.strictSame(await Promise.all([get(), get(), get()]), ['token-1', 'token-1', 'token-1']);
    now = 2_870_000;
    t.equal(await get(), 'token-1');
    t.equal(logins, 1, 'not before');
    isAway = true;
    now = 2_890_000;
    t.equal(await get(), 'token-1', 'nobody waits for its successor');
    await sleep(1);
    t.equal(await get(), 'token-1', 'which cannot be had yet');
    await sleep(1);
    isAway = false;
    t.equal(await get(), 'token-1');
    await sleep(1);
    t.equal(await get(), 'token-2');
    isAway = true;
    now += 3_600_000;
    await t.rejects(get(), { code: 'provider_unreachable' }, 'and not beyond its end');
  },
);

t.test('an answer under another version than the one that was asked to wrap is not taken', async (t) => {
  const { service, server, roundTrip } = await scene(t);
  t.ok(await roundTrip());
  const kid = `${server.url}/keys/kek/${'f'.repeat(32)}`;
  server.fail({ is: 'delay', ms: 0 }, 1);
  server.fail({ is: 'reply', reply: { status: 200, body: { kid, value: 'AAAA' } } }, 1);
  await t.rejects(service.generateDataKey('token 1'), { message: /returned no wrapped key/ });
  t.ok(await roundTrip());
});

t.test('claims that the vault demands are passed on', async (t) => {
  const { azure, roundTrip } = await scene(t);
  t.ok(await roundTrip());
  azure.behaviour.claims = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}';
  t.ok(await roundTrip());
});

t.test('a vault that wants a token for another domain gets none', async (t) => {
  const { azure, roundTrip, server } = await scene(t, { resource: undefined });
  await t.rejects(roundTrip(), {
    code: 'provider_refused',
    message: /127\.0\.0\.1 asks for a token for "https:\/\/vault\.azure\.net"/,
  });
  t.strictSame(azure.logins, []);
  t.strictSame(server.seen, ['GET /keys/kek'], 'and nothing was sent');
});

t.test('what unwraps is the version that wrapped', async (t) => {
  const { azure, service, server } = await scene(t);
  const { plaintext, wrapped } = await service.generateDataKey(PURPOSE);
  azure.behaviour.version = 'f'.repeat(32);
  t.ok((await service.unwrapDataKey(wrapped, PURPOSE)).equals(plaintext));
  const next = await service.generateDataKey(PURPOSE);
  t.match(server.seen.at(-1), `/keys/kek/${'f'.repeat(32)}/wrapkey`);
  t.ok((await service.unwrapDataKey(next.wrapped, PURPOSE)).equals(next.plaintext));
});

t.test('what the vault refuses is told with its request id', async (t) => {
  const { azure, service } = await scene(t);
  azure.behaviour.allows = false;
  await t.rejects(service.generateDataKey(PURPOSE), {
    code: 'provider_refused',
    message: /^provider "z", key kek: status 403: Forbidden: ForbiddenByRbac: .*; request [0-9a-f-]{36}$/,
  });
  Object.assign(azure.behaviour, { allows: true, enabled: false });
  t.match(await service.health(), { ok: false, detail: /is disabled/ });
});

t.test('a vault that is no managed HSM gives no random bytes', async (t) => {
  const { azure, service, roundTrip } = await scene(t);
  azure.behaviour.isHsm = false;
  await t.rejects(async () => void (await service.random?.(32)), {
    code: 'provider_refused',
    message: /rng/,
  });
  t.ok(await roundTrip());
});

t.test('challenges', async (t) => {
  const modern =
    'Bearer authorization="https://login.microsoftonline.com/t", resource="https://vault.azure.net"';
  t.strictSame(parseChallenge(modern), { resource: 'https://vault.azure.net', claims: null });
  const older = 'Bearer authorization="x", scope="https://managedhsm.azure.net/.default"';
  t.equal(parseChallenge(older).resource, 'https://managedhsm.azure.net');
  t.strictSame(parseChallenge(undefined), { resource: null, claims: null });
  const check = (vault: string, resource: string | null) => checkResource('p', new URL(vault), resource);
  t.equal(check('https://a.vault.azure.net', 'https://vault.azure.net'), 'https://vault.azure.net');
  for (const [vault, resource] of [
    ['https://a.vault.azure.net.evil.example', 'https://vault.azure.net'],
    ['https://avault.azure.net', 'https://vault.azure.net'],
    ['https://a.vault.azure.net', 'https://graph.microsoft.com'],
    ['https://a.vault.azure.net', 'https://net'],
    ['https://a.vault.azure.net', null],
  ] as const)
    t.throws(() => check(vault, resource), { code: 'provider_refused' }, `${vault} ${resource}`);
});

t.test('statuses mean what the table says', async (t) => {
  const expected = {
    200: 'ok',
    400: 'refused',
    401: 'reauthenticate',
    403: 'refused',
    404: 'refused',
    408: 'again',
    409: 'refused',
    429: 'again',
    500: 'again',
    503: 'again',
  };
  for (const [status, is] of Object.entries(expected))
    t.equal(judgeAzure({ status: Number(status), headers: {}, body: Buffer.from('{}') }).is, is, status);
});
