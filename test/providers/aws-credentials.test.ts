// Every source of credentials of an AWS provider, against a strict server; the fake KMS accepts only the credentials issued last.
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { awsKind } from '../../src/providers/aws/aws-key-service.ts';
import { temporaryDirectory } from '../e2e/instance.ts';
import { makeCertificates, serverTls } from '../fakes/certificates.ts';
import { FakeAwsKms } from '../fakes/fake-aws-kms.ts';
import { FakeAwsSources } from '../fakes/fake-aws-sources.ts';
import { startConnectProxy } from '../fakes/connect-proxy.ts';
import { FakeService } from '../fakes/fake-service.ts';

const USER = 'aws_access_key_id = AKIAUSER\naws_secret_access_key = secret-of-the-user\n';
const ROLE = 'arn:aws:iam::111122223333:role';
const PURPOSE = 'token 1';
const OURS = /^(AWS_|HOME$|HTTPS_PROXY$|https_proxy$|NO_PROXY$|no_proxy$)/;

interface Place {
  readonly dir: string;
  readonly url: string;
  readonly kms: FakeAwsKms;
  readonly sources: FakeAwsSources;
}

interface Source {
  /** Files in the folder, and environment variables besides their paths. */
  setUp(place: Place): Record<string, string>;
  /** How credentials were issued, in order. */
  readonly issued: readonly string[];
  /** Makes the source refuse until `repair`, and says how it refuses. Absent: it cannot refuse. */
  readonly change?: {
    spoil(place: Place): void;
    repair(place: Place): void;
    readonly code: 'provider_refused' | 'provider_unreachable';
  };
  readonly ends: boolean;
}

function write({ dir }: Place, name: string, text: string): string {
  const path = join(dir, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

/** For sources without a file to change: the service itself refuses. */
function refusing(code: 'provider_refused' | 'provider_unreachable') {
  const set = (isNo: boolean) => (place: Place) => void (place.sources.behaviour.refuses = isNo);
  return { spoil: set(true), repair: set(false), code };
}

/** One per test: the library waits half a minute before it refreshes the same one again. */
const sessionOf = ({ dir }: Place): string => `corp-${createHash('sha1').update(dir).digest('hex')}`;

/** As the AWS CLI writes it after `aws sso login`. */
function writeSsoToken(place: Place, accessToken: string, minutes: number, more: object = {}): void {
  const name = createHash('sha1').update(sessionOf(place)).digest('hex');
  const expiresAt = new Date(Date.now() + minutes * 60_000).toISOString();
  const token = { startUrl: 'https://corp.awsapps.com/start', accessToken, expiresAt, ...more };
  write(place, `.aws/sso/cache/${name}.json`, JSON.stringify(token));
}

function setUpSso(place: Place): Record<string, string> {
  const name = sessionOf(place);
  const where = 'sso_start_url = https://corp.awsapps.com/start\nsso_region = us-east-1\n';
  const what = 'sso_account_id = 111122223333\nsso_role_name = Admin\n';
  const profile = `[profile admin]\nsso_session = ${name}\n${what}`;
  write(place, '.aws/config', `[sso-session ${name}]\n${where}${profile}`);
  return { AWS_PROFILE: 'admin', AWS_ENDPOINT_URL_SSO: place.url, AWS_ENDPOINT_URL_SSO_OIDC: place.url };
}

const SOURCES: Readonly<Record<string, Source>> = {
  'static keys in the environment': {
    setUp: ({ kms }) => {
      Object.assign(kms.behaviour, { accessKeyId: 'ASIAENV', secret: 's', sessionToken: 'session-1' });
      return { AWS_ACCESS_KEY_ID: 'ASIAENV', AWS_SECRET_ACCESS_KEY: 's', AWS_SESSION_TOKEN: 'session-1' };
    },
    issued: [],
    ends: false,
  },
  'a shared profile': {
    setUp: (place) => {
      Object.assign(place.kms.behaviour, { accessKeyId: 'AKIAUSER', secret: 'secret-of-the-user' });
      write(place, '.aws/credentials', `[work]\n${USER}`);
      return { AWS_PROFILE: 'work' };
    },
    issued: [],
    change: {
      spoil: ({ kms }) => void (kms.behaviour.accessKeyId = 'AKIAOTHER'),
      repair: (place) => write(place, '.aws/credentials', `[work]\n${USER.replace('AKIAUSER', 'AKIAOTHER')}`),
      code: 'provider_refused',
    },
    ends: false,
  },
  'a chain of roles': {
    setUp: (place) => {
      write(place, '.aws/credentials', `[base]\n${USER}`);
      const one = `[profile one]\nrole_arn = ${ROLE}/role-1\nsource_profile = base\n`;
      write(place, '.aws/config', `${one}[profile two]\nrole_arn = ${ROLE}/role-2\nsource_profile = one\n`);
      return { AWS_PROFILE: 'two', AWS_ENDPOINT_URL_STS: place.url };
    },
    issued: ['role-1', 'role-2'],
    change: refusing('provider_refused'),
    ends: true,
  },
  'an SSO profile': {
    setUp: (place) => {
      writeSsoToken(place, 'sso-1', 60);
      return setUpSso(place);
    },
    issued: ['sso'],
    change: {
      spoil: ({ sources }) => void (sources.behaviour.ssoToken = 'sso-2'),
      repair: (place) => writeSsoToken(place, 'sso-2', 60),
      code: 'provider_unreachable',
    },
    ends: true,
  },
  'an SSO profile whose token is refreshed': {
    setUp: (place) => {
      const more = {
        clientId: 'client-1',
        clientSecret: 'client-secret-1',
        refreshToken: 'refresh-1',
        registrationExpiresAt: new Date(Date.now() + 3_600_000).toISOString(),
      };
      writeSsoToken(place, 'sso-of-before', -1, more);
      return setUpSso(place);
    },
    issued: ['sso-token', 'sso'],
    change: refusing('provider_unreachable'),
    ends: true,
  },
  "an instance's metadata service": {
    setUp: ({ url }) => ({
      AWS_EC2_METADATA_DISABLED: 'false',
      AWS_EC2_METADATA_SERVICE_ENDPOINT: url,
      AWS_EC2_METADATA_V1_DISABLED: 'true',
    }),
    issued: ['instance'],
    change: refusing('provider_unreachable'),
    ends: true,
  },
  "a container's endpoint, with a token in a file": {
    setUp: (place) => ({
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${place.url}/container`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: write(place, 'container-token', 'container-1'),
    }),
    issued: ['container'],
    change: {
      spoil: ({ sources }) => void (sources.behaviour.containerToken = 'container-2'),
      repair: (place) => write(place, 'container-token', 'container-2'),
      code: 'provider_unreachable',
    },
    ends: true,
  },
  'web identity (IRSA)': {
    setUp: (place) => ({
      AWS_ROLE_ARN: `${ROLE}/role-1`,
      AWS_WEB_IDENTITY_TOKEN_FILE: write(place, 'web-identity', 'web-identity-1'),
      AWS_ENDPOINT_URL_STS: place.url,
    }),
    issued: ['web-identity'],
    change: {
      spoil: ({ sources }) => void (sources.behaviour.webIdentity = 'web-identity-2'),
      repair: (place) => write(place, 'web-identity', 'web-identity-2'),
      code: 'provider_refused',
    },
    ends: true,
  },
  credential_process: {
    setUp: (place) => {
      const line = `curl -fsS ${place.url}/process`;
      write(place, '.aws/config', `[profile tool]\ncredential_process = ${line}\n`);
      return { AWS_PROFILE: 'tool' };
    },
    issued: ['process'],
    change: refusing('provider_unreachable'),
    ends: true,
  },
};

/** Hides the host's own identity; HOME is the folder. */
function takeEnvironment(t: Test): void {
  const before = { ...process.env };
  for (const name of Object.keys(process.env)) if (OURS.test(name)) delete process.env[name];
  Object.assign(process.env, { HOME: t.testdirName, AWS_EC2_METADATA_DISABLED: 'true' });
  t.teardown(() => {
    for (const name of Object.keys(process.env)) if (OURS.test(name)) delete process.env[name];
    for (const [name, value] of Object.entries(before)) if (OURS.test(name)) process.env[name] = value;
  });
}

async function scene(t: Test, options: Record<string, unknown> = {}) {
  const dir = t.testdir();
  takeEnvironment(t);
  const kms = new FakeAwsKms();
  Object.assign(kms.behaviour, { accessKeyId: 'nobody' });
  const sources = new FakeAwsSources(kms);
  const [keys, server] = [new FakeService(kms.handle), new FakeService(sources.handle)];
  await Promise.all([keys.start(), server.start()]);
  const fields = { region: 'eu-central-1', 'key-id': 'alias/sidekey', endpoint: keys.url };
  const bounds = { timeout: '9s', 'try-timeout': '9s' };
  const parsed = awsKind.schema.parse({ kind: 'aws-kms', ...fields, ...bounds, ...options });
  const service = awsKind.create(parsed, {
    name: 'a',
    log: createLogger('silent'),
    clock: SYSTEM_CLOCK,
    random: randomBytes,
    resolvePath: (path) => resolve(dir, path),
  });
  t.teardown(() => Promise.all([service.close(), keys.stop(), server.stop()]));
  const roundTrip = async (): Promise<boolean> => {
    const { plaintext, wrapped } = await service.generateDataKey(PURPOSE);
    return (await service.unwrapDataKey(wrapped, PURPOSE)).equals(plaintext);
  };
  return { place: { dir, url: server.url, kms, sources }, server, service, roundTrip };
}

for (const [name, source] of Object.entries(SOURCES)) {
  t.test(`credentials from ${name}`, async (t) => {
    const { place, service, roundTrip } = await scene(t);
    await t.rejects(roundTrip(), { code: 'provider_unreachable', message: /no credentials/ });
    Object.assign(process.env, source.setUp(place));
    t.ok(await roundTrip(), 'they come while it runs');
    t.strictSame(place.sources.issued, source.issued, 'by this way, and once');
    const left = service.credentialSecondsLeft?.() ?? null;
    if (source.ends) t.ok(left !== null && left > 3500 && left <= 3600, `${left} s`);
    else t.equal(left, null);
    if (!source.change) return;
    source.change.spoil(place);
    if (source.ends) place.kms.behaviour.accessKeyId = 'revoked';
    await t.rejects(roundTrip(), { code: source.change.code });
    source.change.repair(place);
    t.ok(await inTime(roundTrip), 'and are got anew');
  });
}

/** The SDK allows a metadata service one second, which may be too little on a busy machine. */
async function inTime(roundTrip: () => Promise<boolean>): Promise<boolean> {
  const begin = performance.now();
  while (performance.now() - begin < 10_000) {
    if (await roundTrip().catch(() => false)) return true;
    await sleep(100);
  }
  return false;
}

for (const [name, source] of Object.entries(SOURCES).filter(([, { ends }]) => ends)) {
  t.test(
    `credentials from ${name} are replaced ahead of their end, and no call waits or fails`,
    async (t) => {
      const { place, server, roundTrip } = await scene(t);
      Object.assign(process.env, source.setUp(place));
      place.sources.behaviour.seconds = 6;
      t.ok(await roundTrip());
      const begin = performance.now();
      const before = place.sources.issued.length;
      server.fail({ is: 'delay', ms: 300 });
      while (place.sources.issued.length === before && performance.now() - begin < 6000) {
        t.ok(await roundTrip());
        await sleep(50);
      }
      t.ok(place.sources.issued.length > before, 'replaced');
      t.ok(performance.now() - begin < 5500, `ahead of the end: after ${performance.now() - begin} ms`);
    },
  );
}

t.test(
  'a metadata service that is too many hops away is unreachable, and found when it is not',
  async (t) => {
    const { place, roundTrip } = await scene(t, { timeout: '2500ms', 'try-timeout': '2500ms' });
    Object.assign(process.env, SOURCES["an instance's metadata service"]?.setUp(place));
    place.sources.behaviour.isTooFar = true;
    await t.rejects(roundTrip(), { code: 'provider_unreachable' });
    place.sources.behaviour.isTooFar = false;
    while (!(await roundTrip().catch(() => false))) await sleep(100);
    t.strictSame(place.sources.issued, ['instance']);
  },
);

t.test('a token service that hangs is given up, and asked anew', async (t) => {
  const { place, server, roundTrip } = await scene(t, { timeout: '1s', 'try-timeout': '1s' });
  Object.assign(process.env, SOURCES['web identity (IRSA)']?.setUp(place));
  server.fail({ is: 'hang' });
  await t.rejects(roundTrip(), { code: 'provider_unreachable', message: /no answer/ });
  server.heal();
  const begin = performance.now();
  while (!(await roundTrip().catch(() => false))) await sleep(100);
  t.ok(performance.now() - begin < 10_000, `${Math.round(performance.now() - begin)} ms`);
});

t.test('token services are asked through the proxy, in the region that is theirs', async (t) => {
  const certificates = makeCertificates(temporaryDirectory(t));
  const { place, roundTrip, server } = await scene(t, { 'ca-file': certificates.ca });
  const tls = new FakeService(place.sources.handle, serverTls(certificates));
  await tls.start();
  t.teardown(() => tls.stop());
  const proxy = await startConnectProxy(t, tls.port);
  Object.assign(process.env, { HTTPS_PROXY: proxy.url, NO_PROXY: '' });
  for (const name of ['an SSO profile', 'web identity (IRSA)']) {
    const { AWS_PROFILE: _, ...environment } = SOURCES[name]?.setUp(place) ?? {};
    for (const variable of Object.keys(environment))
      if (variable.startsWith('AWS_ENDPOINT_URL')) delete environment[variable];
    if (_ !== undefined) environment['AWS_PROFILE'] = _;
    Object.assign(process.env, environment);
    // The server's certificate does not contain these names.
    await t.rejects(roundTrip(), { code: 'provider_unreachable' });
    delete process.env['AWS_PROFILE'];
  }
  t.strictSame(
    [...new Set(proxy.asked)],
    ['portal.sso.us-east-1.amazonaws.com:443', 'sts.eu-central-1.amazonaws.com:443'],
  );
  t.strictSame(server.seen, []);
});
