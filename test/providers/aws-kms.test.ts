import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { judgeAws } from '../../src/providers/aws/aws-client.ts';
import { awsKind } from '../../src/providers/aws/aws-key-service.ts';
import { awsSchema, endpointOf } from '../../src/providers/aws/aws-options.ts';
import { FakeAwsKms } from '../fakes/fake-aws-kms.ts';
import { FakeService } from '../fakes/fake-service.ts';
import { testContract } from './contract.ts';

const PURPOSE = 'token 1';
const OVERALL_MS = 1500;
/** For tests that wait for a deadline; the others use the longest one, for slow machines. */
const SHORT = { timeout: `${OVERALL_MS}ms`, 'try-timeout': '400ms' };
const LONG = { timeout: '9s', 'try-timeout': '9s' };

// Only what a test sets, never the host's own identity.
for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name];
process.env['AWS_EC2_METADATA_DISABLED'] = 'true';

function writeCredentials(t: Test, id: string, secret: string, token?: string): void {
  const lines = ['[default]', `aws_access_key_id = ${id}`, `aws_secret_access_key = ${secret}`];
  if (token) lines.push(`aws_session_token = ${token}`);
  writeFileSync(join(t.testdirName, 'credentials'), `${lines.join('\n')}\n`);
}

async function serve(t: Test, kms: FakeAwsKms): Promise<FakeService> {
  const server = new FakeService(kms.handle);
  await server.start();
  t.teardown(() => server.stop());
  return server;
}

async function scene(t: Test, options: Record<string, unknown> = {}) {
  t.testdir();
  const kms = new FakeAwsKms();
  const server = await serve(t, kms);
  writeCredentials(t, 'AKIAEXAMPLE', 'secret-of-the-example');
  const parsed = awsKind.schema.parse({
    kind: 'aws-kms',
    region: 'eu-central-1',
    'key-id': 'alias/sidekey',
    endpoint: server.url,
    'credentials-file': 'credentials',
    ...LONG,
    ...options,
  });
  const service = awsKind.create(parsed, {
    name: 'a',
    log: createLogger('silent'),
    clock: SYSTEM_CLOCK,
    random: randomBytes,
    resolvePath: (path) => resolve(t.testdirName, path),
  });
  t.teardown(() => service.close());
  const roundTrip = async (): Promise<boolean> => {
    const { plaintext, wrapped } = await service.generateDataKey(PURPOSE);
    return (await service.unwrapDataKey(wrapped, PURPOSE)).equals(plaintext);
  };
  return { kms, server, service, roundTrip };
}

testContract(t, 'aws-kms', async (t) => {
  const { kms, server, service } = await scene(t, SHORT);
  return {
    service,
    overallMs: OVERALL_MS,
    deny: () => void (kms.behaviour.keyState = 'Disabled'),
    allow: () => void (kms.behaviour.keyState = 'Enabled'),
    stop: () => server.stop(),
    start: () => server.start(),
    hang: () => server.fail({ is: 'hang' }),
    resume: () => server.heal(),
  };
});

t.test('what the service refuses is told with its request id', async (t) => {
  const { kms, service } = await scene(t);
  kms.behaviour.keyState = 'PendingDeletion';
  await t.rejects(service.generateDataKey(PURPOSE), {
    code: 'provider_refused',
    message:
      /^provider "a", key alias\/sidekey in eu-central-1: GenerateDataKey: status 400: KMSInvalidStateException: .*pending deletion\.; request [0-9a-f-]{36}$/,
  });
  t.match(await service.health(), { ok: false, detail: /is PendingDeletion/ });
});

t.test('throttling, which is a 400, is tried again', async (t) => {
  const { server, roundTrip } = await scene(t);
  const throttled = { status: 400, body: { __type: 'ThrottlingException', message: 'Rate exceeded' } };
  server.fail({ is: 'reply', reply: throttled }, 2);
  t.ok(await roundTrip());
  t.equal(server.seen.length, 4);
});

t.test('a clock that is wrong is corrected by the service, within the call', async (t) => {
  const { kms, server, roundTrip } = await scene(t);
  kms.behaviour.aheadMs = 3_600_000;
  t.ok(await roundTrip());
  t.equal(server.seen.length, 3, 'one try more, once');
});

t.test('new credentials in the file are taken up', async (t) => {
  const { kms, roundTrip } = await scene(t);
  t.ok(await roundTrip());
  Object.assign(kms.behaviour, { accessKeyId: 'ASIANEW', secret: 'other', sessionToken: 'session-2' });
  await t.rejects(roundTrip(), { code: 'provider_refused', message: /UnrecognizedClientException/ });
  writeCredentials(t, 'ASIANEW', 'other', 'session-2');
  t.ok(await roundTrip());
});

t.test('a session that has expired is refused, and a new one in the file taken up', async (t) => {
  const { kms, roundTrip } = await scene(t);
  writeCredentials(t, 'AKIAEXAMPLE', 'secret-of-the-example', 'session-1');
  kms.behaviour.sessionToken = 'session-1';
  t.ok(await roundTrip());
  kms.behaviour.sessionToken = 'session-2';
  await t.rejects(roundTrip(), { code: 'provider_refused', message: /ExpiredTokenException/ });
  writeCredentials(t, 'AKIAEXAMPLE', 'secret-of-the-example', 'session-2');
  t.ok(await roundTrip());
});

t.test('a wrong secret is refused after one more try', async (t) => {
  const { kms, server, roundTrip } = await scene(t);
  kms.behaviour.secret = 'another';
  await t.rejects(roundTrip(), { code: 'provider_refused', message: /InvalidSignatureException/ });
  t.equal(server.seen.length, 2);
});

t.test('without credentials the provider says so, and heals', async (t) => {
  const { roundTrip, service } = await scene(t, { 'credentials-file': 'later' });
  await t.rejects(roundTrip(), { code: 'provider_unreachable', message: /no credentials/ });
  t.match(await service.health(), { ok: false });
  const lines = '[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret-of-the-example\n';
  writeFileSync(join(t.testdirName, 'later'), lines);
  t.ok(await roundTrip());
});

t.test('the environment is a source, too', async (t) => {
  const { roundTrip } = await scene(t, { 'credentials-file': undefined });
  process.env['AWS_ACCESS_KEY_ID'] = 'AKIAEXAMPLE';
  process.env['AWS_SECRET_ACCESS_KEY'] = 'secret-of-the-example';
  t.teardown(() => {
    delete process.env['AWS_ACCESS_KEY_ID'];
    delete process.env['AWS_SECRET_ACCESS_KEY'];
  });
  t.ok(await roundTrip());
});

t.test("the configuration's encryption context is bound, too", async (t) => {
  const { service, server } = await scene(t, { 'encryption-context': { app: 'billing' } });
  const { plaintext, wrapped } = await service.generateDataKey(PURPOSE);
  t.ok((await service.unwrapDataKey(wrapped, PURPOSE)).equals(plaintext));
  const other = await scene(t, { endpoint: server.url });
  await t.rejects(other.service.unwrapDataKey(wrapped, PURPOSE), { message: /InvalidCiphertextException/ });
});

t.test('grant tokens are shown', async (t) => {
  const { kms, roundTrip, service } = await scene(t, { 'grant-tokens-file': 'grants' });
  Object.assign(kms.behaviour, { allows: false, grantToken: 'grant-1' });
  await t.rejects(roundTrip(), { code: 'provider_unreachable', message: /grants/ });
  writeFileSync(join(t.testdirName, 'grants'), 'grant-1\n');
  t.ok(await roundTrip());
  t.match(await service.health(), { ok: true });
});

t.test('a replica in another region serves while the first is down, and only then', async (t) => {
  const second = new FakeAwsKms('eu-west-1');
  const replica = await serve(t, second);
  const { roundTrip, server, service, kms } = await scene(t, {
    replicas: [{ region: 'eu-west-1', 'key-id': second.arn, endpoint: replica.url }],
  });
  const { plaintext, wrapped } = await service.generateDataKey(PURPOSE);
  t.equal(replica.seen.length, 0);
  await server.stop();
  t.ok((await service.unwrapDataKey(wrapped, PURPOSE)).equals(plaintext), 'what the first region wrapped');
  const begin = performance.now();
  t.ok(await roundTrip());
  t.ok(performance.now() - begin < 300, 'the first is not asked each time');
  await server.start();
  await replica.stop();
  t.ok(await roundTrip(), 'and the first serves again');
  kms.behaviour.allows = false;
  await replica.start();
  await service.close();
});

t.test('a no of the first region is final', async (t) => {
  const second = new FakeAwsKms('eu-west-1');
  const replica = await serve(t, second);
  const { roundTrip, kms } = await scene(t, {
    replicas: [{ region: 'eu-west-1', 'key-id': second.arn, endpoint: replica.url }],
  });
  kms.behaviour.allows = false;
  await t.rejects(roundTrip(), { code: 'provider_refused', message: /AccessDeniedException/ });
  t.equal(replica.seen.length, 0);
});

t.test('random bytes that are too few are not taken', async (t) => {
  const { kms, service } = await scene(t);
  kms.behaviour.randomShort = 1;
  await t.rejects(async () => void (await service.random?.(32)), {
    code: 'provider_unreachable',
    message: /returned 31 random bytes instead of 32/,
  });
  kms.behaviour.randomShort = 0;
  t.equal((await service.random?.(32))?.length, 32);
});

t.test('endpoints of regions', async (t) => {
  const of = (region: string, fips = false, endpoint?: string) =>
    endpointOf({ region, 'key-id': 'k', endpoint }, fips).href;
  t.equal(of('eu-central-1'), 'https://kms.eu-central-1.amazonaws.com/');
  t.equal(of('us-gov-west-1', true), 'https://kms-fips.us-gov-west-1.amazonaws.com/');
  t.equal(of('cn-north-1'), 'https://kms.cn-north-1.amazonaws.com.cn/');
  t.equal(of('eu-west-1', true, 'https://vpce-1.kms.example/'), 'https://vpce-1.kms.example/');
  const good = { kind: 'aws-kms', region: 'eu-west-1', 'key-id': 'k' };
  t.ok(awsSchema.safeParse(good).success);
  for (const bad of [{ endpoint: 'http://10.0.0.1' }, { region: 'x' }, { 'key-id': 'a b' }, { colour: 1 }])
    t.notOk(awsSchema.safeParse({ ...good, ...bad }).success, JSON.stringify(bad));
});

t.test('errors mean what the table says', async (t) => {
  const rows = [
    [400, 'AccessDeniedException', 'refused'],
    [400, 'NotFoundException', 'refused'],
    [400, 'DisabledException', 'refused'],
    [400, 'KMSInvalidStateException', 'refused'],
    [400, 'InvalidCiphertextException', 'refused'],
    [400, 'IncorrectKeyException', 'refused'],
    [400, 'LimitExceededException', 'refused'],
    [400, 'ThrottlingException', 'again'],
    [500, 'KMSInternalException', 'again'],
    [500, 'KeyUnavailableException', 'again'],
    [503, '', 'again'],
    [400, 'ExpiredTokenException', 'reauthenticate'],
    [400, 'com.amazon.coral.service#UnrecognizedClientException:http://x/', 'reauthenticate'],
  ] as const;
  for (const [status, __type, is] of rows) {
    const body = Buffer.from(JSON.stringify({ __type }));
    t.equal(judgeAws({ status, headers: {}, body }).is, is, __type);
    t.equal(judgeAws({ status, headers: { 'x-amzn-errortype': __type }, body: Buffer.alloc(0) }).is, is);
  }
  const xml = Buffer.from('<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>');
  t.match(judgeAws({ status: 403, headers: {}, body: xml }), { is: 'reauthenticate', reason: /no$/ });
});
