// The Vault adapter against a real OpenBao server, over TLS: both contracts, every login, a namespace, renewal, and what an unchanged program sees
// when the server is killed, silent, sealed or says no.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { vaultKind } from '../../src/providers/vault/vault-key-service.ts';
import { testContract } from '../providers/contract.ts';
import { testResidentKeys } from '../providers/resident-contract.ts';
import { checkHvac } from './hvac.ts';
import { OpenBao } from './openbao.ts';
import { startResident } from './resident-program.ts';
import { enableLogins } from './openbao-logins.ts';
import { makePair, outlives, PAIRS_OK, runResident, startUnder } from './token-under.ts';

const PURPOSE = 'token 1';
const OVERALL_MS = 3000;

const bao = await OpenBao.start(t);
await bao.allow(true);
const logins = await enableLogins(t, bao);

function makeService(t: Test, options: Record<string, unknown>) {
  const parsed = vaultKind.schema.parse({
    kind: 'vault',
    address: bao.url,
    key: 'kek',
    'ca-file': bao.certificates.ca,
    timeout: `${OVERALL_MS}ms`,
    'try-timeout': '1s',
    ...options,
  });
  const deps = { name: 'bao', log: createLogger('silent'), clock: SYSTEM_CLOCK, random: randomBytes };
  const service = vaultKind.create(parsed, { ...deps, resolvePath: (path) => path });
  t.teardown(() => service.close());
  const roundTrip = async (): Promise<boolean> => {
    const { plaintext, wrapped } = await service.generateDataKey(PURPOSE);
    return (await service.unwrapDataKey(wrapped, PURPOSE)).equals(plaintext);
  };
  return { service, roundTrip };
}

testContract(t, 'vault by OpenBao', async (t) => {
  const { service } = makeService(t, { auth: logins.approle });
  return {
    service,
    overallMs: OVERALL_MS,
    credentialSeconds: [3500, 3600],
    deny: () => bao.deny(),
    allow: () => bao.allow(true),
    stop: () => bao.stop(),
    start: () => bao.restart(),
    hang: () => bao.freeze(),
    resume: () => bao.thaw(),
  };
});

testResidentKeys(t, 'OpenBao', async (t) => {
  const { service } = makeService(t, { auth: logins.token, timeout: '9s', 'try-timeout': '9s' });
  if (!service.resident) throw new Error('no resident keys');
  // RSA-4096 takes a busy machine longer than the longest deadline now and then.
  const specs = service.resident.creates.filter((spec) => spec !== 'rsa-4096');
  return { keys: service.resident, specs };
});

for (const [method, auth] of Object.entries(logins)) {
  t.test(`login by ${method} works, and its token is given back`, async (t) => {
    const { service, roundTrip } = makeService(t, { auth, ...certificateOf(method) });
    t.ok((await Promise.all(Array.from({ length: 10 }, roundTrip))).every(Boolean));
    t.match(await service.health(), { ok: true, detail: /aes256-gcm96, version 1, token for \d+ s/ });
    const { body } = await bao.call('LIST', 'auth/token/accessors');
    await service.close();
    const after = (await bao.call('LIST', 'auth/token/accessors')).body;
    const count = (listed: typeof body): number =>
      (Reflect.get(Object(listed['data']), 'keys') as unknown[]).length;
    t.equal(count(after), count(body) - (method === 'token' ? 0 : 1));
  });
}

function certificateOf(method: string): Record<string, string> {
  const { certificate, key } = bao.certificates.client;
  return method === 'certificate' ? { 'client-certificate-file': certificate, 'client-key-file': key } : {};
}

t.test('a login that is refused says why, and not its secret', async (t) => {
  const bad = bao.secretFile('secret-id', 'not-the-secret-id');
  const { roundTrip } = makeService(t, { auth: { ...logins.approle, 'secret-id-file': bad } });
  const error: Error = await roundTrip().then(
    () => new Error('nothing'),
    (reason) => reason,
  );
  t.match(error, { code: 'provider_refused', message: /login by approle: status 400: invalid/ });
  t.notMatch(error.message, /not-the-secret-id/);
});

t.test('a token is renewed ahead of its end, and replaced when it may not live longer', async (t) => {
  await bao.must('POST', 'auth/approle/role/short', {
    token_policies: ['sidekey'],
    token_ttl: '2s',
    token_max_ttl: '5s',
  });
  const roleId = await bao.read('GET', 'auth/approle/role/short/role-id', {}, 'data', 'role_id');
  const secret = await bao.read('POST', 'auth/approle/role/short/secret-id', {}, 'data', 'secret_id');
  const file = bao.secretFile('secret-id', secret);
  const auth = { method: 'approle', 'role-id': roleId, 'secret-id-file': file };
  const { roundTrip } = makeService(t, { auth });
  for (const end = Date.now() + 8000; Date.now() < end;) {
    t.ok(await roundTrip());
    await new Promise((done) => setTimeout(done, 400));
  }
});

t.test('a token that was revoked there is replaced', async (t) => {
  const { roundTrip } = makeService(t, { auth: logins.approle });
  t.ok(await roundTrip());
  await bao.must('POST', 'sys/leases/revoke-prefix/auth/approle', {});
  t.ok(await roundTrip());
});

t.test('hvac and the adapter open what the other encrypted by OpenBao', async (t) => {
  const { service } = makeService(t, { auth: logins.approle });
  const line = (path: string): string => readFileSync(path, 'utf8').trim();
  await checkHvac(t, service, {
    url: bao.url,
    token: line(logins.token['token-file']),
    roleId: logins.approle['role-id'],
    secretId: line(logins.approle['secret-id-file']),
    ca: bao.certificates.ca,
  });
});

t.test('OpenBao has no stream of events: that is taken for an answer, and the KEK works', async (t) => {
  const { service, roundTrip } = makeService(t, {
    auth: logins.approle,
    events: { type: 'kv-v2/data-write' },
  });
  let hints = 0;
  service.watch?.(() => (hints += 1));
  await new Promise((done) => setTimeout(done, 1000));
  t.ok(await roundTrip());
  t.equal(hints, 0);
});

t.test('a namespace has keys of its own', async (t) => {
  await bao.must('POST', 'sys/namespaces/team', {});
  await bao.must('POST', 'sys/mounts/transit', { type: 'transit' }, 'team');
  await bao.must('POST', 'transit/keys/team-kek', { type: 'aes256-gcm96', derived: true }, 'team');
  const auth = { method: 'token', 'token-file': bao.secretFile('root', bao.root) };
  const inside = makeService(t, { auth, key: 'team-kek', namespace: 'team', derived: true });
  t.ok(await inside.roundTrip());
  const outside = makeService(t, { auth, key: 'team-kek' });
  await t.rejects(
    outside.service.unwrapDataKey((await inside.service.generateDataKey(PURPOSE)).wrapped, ''),
    {
      code: 'provider_refused',
    },
  );
});

t.test('what an older version of the KEK wrapped opens until that version is withdrawn', async (t) => {
  const { service } = makeService(t, { auth: logins.token });
  const { plaintext, wrapped } = await service.generateDataKey(PURPOSE);
  await bao.must('POST', 'transit/keys/kek/rotate', {});
  t.ok((await service.unwrapDataKey(wrapped, PURPOSE)).equals(plaintext));
  await bao.must('POST', 'transit/keys/kek/config', { min_decryption_version: 2 });
  await t.rejects(service.unwrapDataKey(wrapped, PURPOSE), { code: 'provider_refused' });
  await bao.must('POST', 'transit/keys/kek/config', { min_decryption_version: 1 });
  t.ok((await service.unwrapDataKey(wrapped, PURPOSE)).equals(plaintext));
});

const YAML = `    kind: vault
    address: ${bao.url}
    ca-file: ${bao.certificates.ca}
    key: kek
    auth: { method: token, token-file: ${logins.token['token-file']} }
`;

t.test('pkcs11-tool on a token under OpenBao outlives all that befalls it', async (t) => {
  const instance = await startUnder(t, `${YAML}    timeout: 3s\n    try-timeout: 1s\n`);
  const made = makePair(instance);
  t.equal(made.status, 0, made.stdout + made.stderr + instance.log);
  const outages = {
    killed: { break: () => bao.stop(), mend: () => bao.restart() },
    silent: { break: () => bao.freeze(), mend: () => bao.thaw() },
    sealed: { break: () => bao.seal(), mend: () => bao.unseal() },
    forbidden: { break: () => bao.deny(), mend: () => bao.allow(true) },
  };
  for (const [name, outage] of Object.entries(outages)) await outlives(t, instance, name, outage);
});

t.test('a key in OpenBao is rotated through Sidekey: the former version is beside the new one', async (t) => {
  const instance = await startResident(t, YAML);
  const label = `turn-${randomBytes(3).toString('hex')}`;
  const token = ['--token-label', 'remote'];
  const pair = ['--keypairgen', '--key-type', 'EC:prime256v1', '--label', label, '--usage-sign'];
  t.equal(instance.pkcs11Tool(...token, ...pair).status, 0);
  const rotated = instance.sidekey('token', 'rotate-key', 'remote', label);
  t.equal(rotated.status, 0, rotated.stderr);
  const { stdout } = instance.pkcs11Tool(...token, '--list-objects', '--type', 'privkey');
  t.match(stdout, new RegExp(`label: +${label}\\n`));
  t.match(stdout, new RegExp(`label: +${label}:1\\n`));
  const refused = instance.sidekey('token', 'rotate-key', 'remote', 'nobody');
  t.not(refused.status, 0);
  t.match(refused.stderr, /arguments_bad: .*nobody/);
});

t.test('an unchanged program uses keys that live in OpenBao', async (t) => {
  const said = await runResident(t, YAML);
  t.same(said, {
    ...PAIRS_OK,
    ECDH1_DERIVE: 'not offered',
    'generic secret': 'ok',
    SHA256_HMAC: 'ok',
    'AES-256': 'not offered',
  });
});
