import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { crc32c } from '../../src/providers/gcp/crc32c.ts';
import { judgeGcp } from '../../src/providers/gcp/gcp-client.ts';
import { gcpKind } from '../../src/providers/gcp/gcp-key-service.ts';
import { gcpSchema } from '../../src/providers/gcp/gcp-options.ts';
import { EMAIL, FakeGcpKms, KEY, slowCrc32c } from '../fakes/fake-gcp-kms.ts';
import { FakeService } from '../fakes/fake-service.ts';
import { testContract } from './contract.ts';

const PURPOSE = 'token 1';
const OVERALL_MS = 1500;
const PEM = { privateKeyEncoding: { type: 'pkcs8', format: 'pem' } } as const;
const pair = () =>
  generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    ...PEM,
  });
const ours = pair();

// Only what a test sets, never the host's own identity.
delete process.env['GOOGLE_APPLICATION_CREDENTIALS'];
process.env['METADATA_SERVER_DETECTION'] = 'none';

function writeAccount(t: Test, name: string, privateKey: string): void {
  const account = {
    type: 'service_account',
    project_id: 'p-1',
    client_email: EMAIL,
    private_key: privateKey,
  };
  writeFileSync(join(t.testdirName, name), JSON.stringify({ ...account, private_key_id: 'k1' }));
}

async function scene(t: Test, options: Record<string, unknown> = {}) {
  t.testdir();
  const kms = new FakeGcpKms(ours.publicKey);
  const server = new FakeService(kms.handle);
  await server.start();
  writeAccount(t, 'account.json', ours.privateKey);
  const parsed = gcpKind.schema.parse({
    kind: 'gcp-kms',
    key: KEY,
    endpoint: server.url,
    'credentials-file': 'account.json',
    timeout: `${OVERALL_MS}ms`,
    'try-timeout': '400ms',
    ...options,
  });
  const service = gcpKind.create(parsed, {
    name: 'g',
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
  return { kms, server, service, roundTrip };
}

// First, and with a long deadline: the first use of Google's library is slow.
t.test('a data key is wrapped and opened', async (t) => {
  const { roundTrip } = await scene(t, { timeout: '9s', 'try-timeout': '9s' });
  t.ok(await roundTrip());
});

testContract(t, 'gcp-kms', async (t) => {
  const { kms, server, service } = await scene(t);
  return {
    service,
    overallMs: OVERALL_MS,
    credentialSeconds: [3500, 3600],
    deny: () => void (kms.behaviour.state = 'DISABLED'),
    allow: () => void (kms.behaviour.state = 'ENABLED'),
    stop: () => server.stop(),
    start: () => server.start(),
    hang: () => server.fail({ is: 'hang' }),
    resume: () => server.heal(),
  };
});

t.test('CRC-32C', async (t) => {
  t.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  t.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa, 'RFC 3720, B.4');
  t.equal(crc32c(Buffer.alloc(32, 0xff)), 0x62a8ab43);
  const bytes = randomBytes(1000);
  t.equal(String(crc32c(bytes)), slowCrc32c(bytes));
});

t.test('an answer that changed on its way is asked for again, and not believed', async (t) => {
  const { kms, service, server } = await scene(t);
  kms.behaviour.corrupt = 1;
  const { plaintext, wrapped } = await service.generateDataKey(PURPOSE);
  t.equal(server.seen.length, 2);
  kms.behaviour.corrupt = 1;
  t.ok((await service.unwrapDataKey(wrapped, PURPOSE)).equals(plaintext));
  t.equal(server.seen.length, 4);
  kms.behaviour.corrupt = 100;
  await t.rejects(service.unwrapDataKey(wrapped, PURPOSE), {
    code: 'provider_unreachable',
    message: /the plaintext changed on its way/,
  });
});

for (const [what, encrypted, said] of [
  ['saw another plaintext', { verifiedPlaintextCrc32c: false }, /the plaintext changed/],
  ['does not say which plaintext it saw', { verifiedPlaintextCrc32c: undefined }, /the plaintext changed/],
  [
    'saw other associated data',
    { verifiedAdditionalAuthenticatedDataCrc32c: false },
    /the associated data changed/,
  ],
  ['used another key', { name: `${KEY}-2/cryptoKeyVersions/1` }, /another key was used/],
] as const)
  t.test(`a service that ${what} is not believed, and asked again`, async (t) => {
    const { kms, server, service, roundTrip } = await scene(t);
    kms.behaviour.encrypted = encrypted;
    await t.rejects(service.generateDataKey(PURPOSE), { code: 'provider_unreachable', message: said });
    t.ok(server.seen.length > 1);
    kms.behaviour.encrypted = {};
    t.ok(await roundTrip());
  });

t.test('random bytes that changed on their way are asked for again, and not given out', async (t) => {
  const { kms, server, service } = await scene(t);
  kms.behaviour.corrupt = 1;
  t.equal((await service.random?.(32))?.length, 32);
  t.equal(server.seen.length, 2);
  kms.behaviour.corrupt = 100;
  await t.rejects(async () => service.random?.(32), {
    code: 'provider_unreachable',
    message: /the random bytes changed/,
  });
});

t.test('what the service refuses is told', async (t) => {
  const { kms, service } = await scene(t);
  kms.behaviour.allows = false;
  await t.rejects(service.generateDataKey(PURPOSE), {
    code: 'provider_refused',
    message: /^provider "g", key projects\/p-1\/.*: encrypt: status 403: PERMISSION_DENIED: /,
  });
  Object.assign(kms.behaviour, { allows: true, state: 'DESTROY_SCHEDULED' });
  t.match(await service.health(), { ok: false, detail: /DESTROY_SCHEDULED/ });
});

t.test(
  'a key of another account is refused after one more try; the file is read again when it changes',
  async (t) => {
    const { roundTrip, server } = await scene(t);
    writeAccount(t, 'account.json', pair().privateKey);
    await t.rejects(roundTrip(), { code: 'provider_refused', message: /UNAUTHENTICATED/ });
    t.equal(server.seen.length, 2);
    writeAccount(t, 'account.json', ours.privateKey);
    t.ok(await roundTrip());
  },
);

t.test('without credentials the provider says so, and heals', async (t) => {
  const { roundTrip, service } = await scene(t, { 'credentials-file': 'later.json' });
  await t.rejects(roundTrip(), { code: 'provider_unreachable', message: /no credentials/ });
  t.match(await service.health(), { ok: false });
  writeAccount(t, 'later.json', ours.privateKey);
  t.ok(await roundTrip());
});

t.test('the metadata server gives tokens, and a new one for a refused one', async (t) => {
  const { roundTrip, server, kms } = await scene(t, {
    'credentials-file': undefined,
    'quota-project': 'p-2',
    // Google's library takes a second to look for credentials on this host.
    timeout: '8s',
    'try-timeout': '3s',
  });
  kms.behaviour.quotaProject = 'p-2';
  process.env['GCE_METADATA_HOST'] = `127.0.0.1:${server.port}`;
  process.env['METADATA_SERVER_DETECTION'] = 'assume-present';
  t.teardown(() => {
    delete process.env['GCE_METADATA_HOST'];
    process.env['METADATA_SERVER_DETECTION'] = 'none';
  });
  t.ok(await roundTrip());
  kms.behaviour.accessToken = 'ya29.second';
  t.ok(await roundTrip());
});

t.test('the key is named whole', async (t) => {
  const good = { kind: 'gcp-kms', key: KEY };
  t.ok(gcpSchema.safeParse(good).success);
  for (const key of ['kek', `${KEY}/cryptoKeyVersions/1`, `${KEY}:encrypt`, `${KEY}/../x`])
    t.notOk(gcpSchema.safeParse({ ...good, key }).success, key);
});

t.test('errors mean what the table says', async (t) => {
  const rows = [
    [400, 'INVALID_ARGUMENT', 'Decryption failed', 'refused'],
    [400, 'INVALID_ARGUMENT', 'The checksum in field plaintext_crc32c did not match', 'again'],
    [400, 'FAILED_PRECONDITION', '', 'refused'],
    [401, 'UNAUTHENTICATED', '', 'reauthenticate'],
    [403, 'PERMISSION_DENIED', '', 'refused'],
    [404, 'NOT_FOUND', '', 'refused'],
    [409, 'ABORTED', '', 'again'],
    [409, 'ALREADY_EXISTS', '', 'refused'],
    [429, 'RESOURCE_EXHAUSTED', '', 'again'],
    [500, 'INTERNAL', '', 'again'],
    [501, 'UNIMPLEMENTED', '', 'refused'],
    [503, 'UNAVAILABLE', '', 'again'],
    [504, 'DEADLINE_EXCEEDED', '', 'again'],
  ] as const;
  for (const [status, name, message, is] of rows) {
    const body = Buffer.from(JSON.stringify({ error: { code: status, status: name, message } }));
    t.equal(judgeGcp({ status, headers: {}, body }).is, is, name);
  }
});
