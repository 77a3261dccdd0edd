import { chmodSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { judgeVault } from '../../src/providers/vault/vault-client.ts';
import { vaultKind } from '../../src/providers/vault/vault-key-service.ts';
import { makeCertificates, serverTls } from '../fakes/certificates.ts';
import { FakeService } from '../fakes/fake-service.ts';
import { FakeVault } from '../fakes/fake-vault.ts';
import { testContract } from './contract.ts';

const PURPOSE = 'token 1';
const OVERALL_MS = 1500;
/** For tests that wait for a deadline; the others use the longest one, for slow machines. */
const SHORT = { timeout: `${OVERALL_MS}ms`, 'try-timeout': '400ms' };
const LONG = { timeout: '9s', 'try-timeout': '9s' };

function secretFile(t: Test, name: string, text: string): string {
  const path = join(t.testdirName, name);
  writeFileSync(path, `${text}\n`, { mode: 0o600 });
  return path;
}

async function scene(
  t: Test,
  options: Record<string, unknown> = {},
  tls: ConstructorParameters<typeof FakeService>[1] = null,
) {
  if (!tls) t.testdir();
  const vault = new FakeVault();
  const server = new FakeService(vault.handle, tls);
  await server.start();
  const files = {
    token: secretFile(t, 'token', vault.issue('hvs.operator')),
    secretId: secretFile(t, 'secret-id', 'secret-1'),
    jwt: secretFile(t, 'jwt', vault.behaviour.jwt),
  };
  chmodSync(files.jwt, 0o644);
  const approle = { method: 'approle', 'role-id': 'role-1', 'secret-id-file': files.secretId };
  const parsed = vaultKind.schema.parse({
    kind: 'vault',
    address: server.url,
    key: 'kek',
    auth: approle,
    ...LONG,
    ...options,
  });
  const service = vaultKind.create(parsed, {
    name: 'v',
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
  return { vault, server, service, files, roundTrip };
}

testContract(t, 'vault', async (t) => {
  const { vault, server, service } = await scene(t, SHORT);
  return {
    service,
    overallMs: OVERALL_MS,
    credentialSeconds: [3500, 3600],
    deny: () => void (vault.behaviour.allows = false),
    allow: () => void (vault.behaviour.allows = true),
    stop: () => server.stop(),
    start: () => server.start(),
    hang: () => server.fail({ is: 'hang' }),
    resume: () => server.heal(),
  };
});

const LOGINS: readonly Record<string, string>[] = [
  { method: 'token', 'token-file': 'token' },
  { method: 'approle', 'role-id': 'role-1', 'secret-id-file': 'secret-id' },
  { method: 'kubernetes', role: 'app', 'jwt-file': 'jwt' },
  { method: 'jwt', role: 'app', 'jwt-file': 'jwt' },
];

for (const auth of LOGINS) {
  t.test(`login by ${auth['method']} works, is done once for many, and its token given back`, async (t) => {
    const { vault, service, roundTrip } = await scene(t, { auth });
    t.ok((await Promise.all(Array.from({ length: 20 }, roundTrip))).every(Boolean));
    t.equal(vault.tokenEvents.length, 1);
    await service.close();
    t.equal(vault.tokenEvents.at(-1), auth['method'] === 'token' ? 'lookup' : 'revoke');
  });
}

t.test('login by TLS certificate works', async (t) => {
  const certificates = makeCertificates(t.testdir());
  const tls = { ...serverTls(certificates), requestCert: true, rejectUnauthorized: false };
  const paths = {
    'ca-file': certificates.ca,
    'client-certificate-file': certificates.client.certificate,
    'client-key-file': certificates.client.key,
  };
  const { roundTrip, vault } = await scene(t, { auth: { method: 'certificate' }, ...paths }, tls);
  t.ok(await roundTrip());
  t.strictSame(vault.tokenEvents, ['login cert']);
});

t.test('what a login is refused for is said, without the secret', async (t) => {
  const { vault, roundTrip, files } = await scene(t);
  vault.behaviour.secretId = 'other';
  const error: Error = await roundTrip().then(
    () => new Error('nothing'),
    (reason) => reason,
  );
  t.match(error, {
    code: 'provider_refused',
    message: /provider "v": login by approle: status 400: invalid role or secret ID/,
  });
  t.notMatch(error.message, /secret-1/);
  writeFileSync(files.secretId, 'other');
  t.ok(await roundTrip(), 'a new secret id is taken from the file');
});

t.test('a token that the server forgot is replaced once; one that it knows is not', async (t) => {
  const { vault, roundTrip } = await scene(t);
  await roundTrip();
  vault.tokens.clear();
  t.ok(await roundTrip());
  t.strictSame(vault.tokenEvents, ['login approle', 'lookup', 'login approle']);
  vault.behaviour.allows = false;
  await t.rejects(roundTrip(), { code: 'provider_refused', message: /permission denied/ });
  t.strictSame(vault.tokenEvents.slice(3), ['lookup']);
});

t.test('a token is renewed ahead of its end', async (t) => {
  const { vault, roundTrip } = await scene(t);
  vault.behaviour.ttl = 3;
  await roundTrip();
  while (vault.tokenEvents.filter((event) => event === 'renew').length < 2) await sleep(25);
  t.ok(await roundTrip());
  t.equal(vault.tokenEvents.filter((event) => event.startsWith('login')).length, 1);
});

t.test('a token that cannot be renewed is replaced ahead of its end', async (t) => {
  const { vault, roundTrip } = await scene(t);
  Object.assign(vault.behaviour, { ttl: 1, renewable: false });
  await roundTrip();
  while (vault.tokenEvents.filter((event) => event.startsWith('login')).length < 2) await sleep(25);
});

t.test('a renewal that gives little, since the longest life is near, is followed by a login', async (t) => {
  const { vault, roundTrip } = await scene(t);
  vault.behaviour.ttl = 3;
  t.ok(await roundTrip());
  vault.behaviour.ttl = 1;
  while (!vault.tokenEvents.includes('renew')) await sleep(25);
  vault.behaviour.ttl = 3600;
  const end = performance.now() + 10_000;
  while (vault.tokenEvents.at(-1) === 'renew' && performance.now() < end) await sleep(25);
  t.equal(vault.tokenEvents.at(-1), 'login approle');
});

t.test('a token file that changes is read again', async (t) => {
  const { vault, server, roundTrip, files } = await scene(t, { auth: LOGINS[0] });
  await roundTrip();
  vault.tokens.clear();
  await t.rejects(roundTrip(), { code: 'provider_refused' });
  writeFileSync(files.token, vault.issue('hvs.another'));
  t.ok(await roundTrip());
  writeFileSync(files.token, vault.issue('hvs.a-third-one'));
  const before = server.seen.length;
  t.ok(await roundTrip());
  t.match(server.seen[before], /lookup-self/, 'also while the former token is good');
});

t.test('without its credentials the provider says which file is missing, and heals', async (t) => {
  const { roundTrip, service } = await scene(t, { auth: { method: 'token', 'token-file': 'later' } });
  await t.rejects(roundTrip(), { code: 'provider_unreachable', message: /later/ });
  t.match(await service.health(), { ok: false, detail: /later/ });
  secretFile(t, 'later', 'hvs.operator');
  t.ok(await roundTrip());
});

t.test('namespaces and derived keys', async (t) => {
  const { vault, roundTrip } = await scene(t, { namespace: 'a/b', derived: true });
  Object.assign(vault.behaviour, { namespace: 'a/b', derived: true });
  t.ok(await roundTrip());
});

t.test('a server that ignores associated data cannot be used for another purpose', async (t) => {
  const { vault, service } = await scene(t);
  vault.behaviour.ignoresAssociatedData = true;
  const { wrapped } = await service.generateDataKey(PURPOSE);
  await t.rejects(service.unwrapDataKey(wrapped, 'token 2'), {
    code: 'provider_refused',
    message: /belongs to another token or purpose/,
  });
});

t.test('an older server that says 500 to a changed ciphertext has refused it', async (t) => {
  const { vault, service, server } = await scene(t);
  vault.behaviour.tamperedStatus = 500;
  const { wrapped } = await service.generateDataKey(PURPOSE);
  const before = server.seen.length;
  await t.rejects(service.unwrapDataKey(wrapped, 'token 2'), { code: 'provider_refused' });
  t.equal(server.seen.length, before + 1);
});

t.test('a sealed server is unreachable, and its health says why', async (t) => {
  const { vault, service, roundTrip } = await scene(t);
  vault.behaviour.sealed = true;
  await t.rejects(roundTrip(), { code: 'provider_unreachable', message: /Vault is sealed/ });
  t.match(await service.health(), { ok: false, detail: /sealed/ });
});

t.test('statuses mean what the table says', async (t) => {
  const expected = {
    200: 'ok',
    204: 'ok',
    400: 'refused',
    403: 'reauthenticate',
    404: 'refused',
    405: 'refused',
    412: 'again',
    429: 'again',
    473: 'again',
    500: 'again',
    502: 'again',
    503: 'again',
  };
  for (const [status, is] of Object.entries(expected))
    t.equal(judgeVault({ status: Number(status), headers: {}, body: Buffer.from('{}') }, true).is, is);
  const denied = { status: 403, headers: {}, body: Buffer.from('{"errors":["permission denied"]}') };
  t.match(judgeVault(denied, false), { is: 'refused', reason: 'status 403: permission denied' });
});
