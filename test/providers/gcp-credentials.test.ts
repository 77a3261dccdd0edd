// Every source of credentials of a Google provider, against strict token services behind a proxy; the fake KMS accepts only the token
// issued last.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { gcpKind } from '../../src/providers/gcp/gcp-key-service.ts';
import { temporaryDirectory } from '../e2e/instance.ts';
import { makeCertificates, makeNamed } from '../fakes/certificates.ts';
import { startConnectProxy } from '../fakes/connect-proxy.ts';
import { EMAIL, FakeGcpKms, KEY } from '../fakes/fake-gcp-kms.ts';
import { AUDIENCE, FakeGoogleSources, GOOGLE_HOSTS, TARGET } from '../fakes/fake-google-sources.ts';
import { FakeService } from '../fakes/fake-service.ts';

const OURS = /^(GOOGLE_|GCE_|METADATA_|HOME$|HTTPS_PROXY$|https_proxy$|NO_PROXY$|no_proxy$)/;
const IMPERSONATION = `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${TARGET}:generateAccessToken`;
const makePair = () =>
  generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
const [ours, others] = [makePair(), makePair()];
const authority = temporaryDirectory(t);
const { ca } = makeCertificates(authority);
const named = makeNamed(authority, GOOGLE_HOSTS);

interface Place {
  readonly dir: string;
  readonly url: string;
  readonly kms: FakeGcpKms;
  readonly sources: FakeGoogleSources;
}

interface Source {
  /** Contents of the credentials file; null: there is none. */
  file(place: Place): object | null;
  readonly issued: readonly string[];
  readonly hosts: readonly string[];
  /** How the source refuses until `repair`. */
  readonly change: { spoil(place: Place): void; repair(place: Place): void };
  readonly code?: 'provider_unreachable';
}

const write = ({ dir }: Place, name: string, text: string): string => {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};
const user = (refreshToken: string): object => ({
  type: 'authorized_user',
  client_id: 'client-1',
  client_secret: 'client-secret-1',
  refresh_token: refreshToken,
});
const account = (privateKey: string): object => ({
  type: 'service_account',
  project_id: 'p-1',
  client_email: EMAIL,
  private_key: privateKey,
  private_key_id: 'k1',
});
const federated = (source: object): object => ({
  type: 'external_account',
  audience: AUDIENCE,
  subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  token_url: 'https://sts.googleapis.com/v1/token',
  credential_source: source,
});
const writeMain = (place: Place, content: object): void =>
  void write(place, 'adc.json', JSON.stringify(content));
const fromFile = (place: Place): object => ({ file: write(place, 'subject', 'subject-1') });
const newSubject = {
  spoil: ({ sources, kms }: Place) => {
    sources.behaviour.subject = 'subject-2';
    kms.behaviour.accessToken = 'revoked';
  },
  repair: (place: Place) => void write(place, 'subject', 'subject-2'),
};
const refused = {
  spoil: ({ sources, kms }: Place) => {
    sources.behaviour.refuses = true;
    kms.behaviour.accessToken = 'revoked';
  },
  repair: ({ sources }: Place) => void (sources.behaviour.refuses = false),
};

const SOURCES: Readonly<Record<string, Source>> = {
  'the key file of a service account': {
    file: () => account(ours.privateKey),
    issued: [],
    hosts: [],
    change: {
      spoil: (place) => writeMain(place, account(others.privateKey)),
      repair: (place) => writeMain(place, account(ours.privateKey)),
    },
  },
  'a user (authorized_user)': {
    file: () => user('refresh-1'),
    issued: ['refresh'],
    hosts: ['oauth2.googleapis.com:443'],
    change: {
      spoil: ({ sources, kms }) => {
        sources.behaviour.refreshToken = 'refresh-2';
        kms.behaviour.accessToken = 'revoked';
      },
      repair: (place) => writeMain(place, user('refresh-2')),
    },
  },
  'workload identity federation, subject token from a file': {
    file: (place) => federated(fromFile(place)),
    issued: ['exchange'],
    hosts: ['sts.googleapis.com:443'],
    change: newSubject,
  },
  'workload identity federation, subject token from a URL': {
    file: ({ url }) =>
      federated({
        url: `${url}/subject`,
        headers: { 'X-Idp-Key': 'idp-1' },
        format: { type: 'json', subject_token_field_name: 'id_token' },
      }),
    issued: ['exchange'],
    hosts: ['sts.googleapis.com:443'],
    change: refused,
  },
  'workload identity federation with impersonation': {
    file: (place) => ({
      ...federated(fromFile(place)),
      service_account_impersonation_url: IMPERSONATION,
    }),
    issued: ['exchange', 'impersonation'],
    hosts: ['sts.googleapis.com:443', 'iamcredentials.googleapis.com:443'],
    change: newSubject,
  },
  'an impersonated service account': {
    file: () => ({
      type: 'impersonated_service_account',
      service_account_impersonation_url: IMPERSONATION,
      source_credentials: user('refresh-1'),
      delegates: [],
    }),
    issued: ['refresh', 'impersonation'],
    hosts: ['oauth2.googleapis.com:443', 'iamcredentials.googleapis.com:443'],
    change: refused,
  },
};

function takeEnvironment(t: Test, values: Record<string, string>): void {
  const before = { ...process.env };
  const clear = (): void => {
    for (const name of Object.keys(process.env)) if (OURS.test(name)) delete process.env[name];
  };
  clear();
  Object.assign(process.env, values);
  t.teardown(() => {
    clear();
    for (const [name, value] of Object.entries(before)) if (OURS.test(name)) process.env[name] = value;
  });
}

async function scene(t: Test, options: Record<string, unknown> = {}) {
  const dir = t.testdir();
  const kms = new FakeGcpKms(ours.publicKey);
  const sources = new FakeGoogleSources(kms);
  const tls = { cert: readFileSync(named.certificate), key: readFileSync(named.key) };
  const [keys, plain, server] = [
    new FakeService(kms.handle),
    new FakeService(sources.handle),
    new FakeService(sources.handle, tls),
  ];
  await Promise.all([keys.start(), plain.start(), server.start()]);
  const proxy = await startConnectProxy(t, server.port);
  const adc = join(dir, 'adc.json');
  takeEnvironment(t, {
    HOME: dir,
    METADATA_SERVER_DETECTION: 'none',
    GOOGLE_APPLICATION_CREDENTIALS: adc,
    HTTPS_PROXY: proxy.url,
  });
  const fields = { kind: 'gcp-kms', key: KEY, endpoint: keys.url, 'ca-file': ca };
  const parsed = gcpKind.schema.parse({ ...fields, timeout: '9s', 'try-timeout': '9s', ...options });
  const service = gcpKind.create(parsed, {
    name: 'g',
    log: createLogger('silent'),
    clock: SYSTEM_CLOCK,
    random: randomBytes,
    resolvePath: (path) => resolve(dir, path),
  });
  t.teardown(() => Promise.all([service.close(), keys.stop(), plain.stop(), server.stop()]));
  const roundTrip = async (): Promise<boolean> => {
    const { plaintext, wrapped } = await service.generateDataKey('token 1');
    return (await service.unwrapDataKey(wrapped, 'token 1')).equals(plaintext);
  };
  return { place: { dir, url: plain.url, kms, sources }, server, proxy, service, roundTrip };
}

for (const [name, source] of Object.entries(SOURCES)) {
  t.test(`credentials from ${name}`, async (t) => {
    const { place, proxy, service, roundTrip } = await scene(t);
    await t.rejects(roundTrip(), { code: 'provider_unreachable', message: /no credentials/ });
    writeMain(place, source.file(place) ?? {});
    t.ok(await roundTrip(), 'they come while it runs');
    t.strictSame(place.sources.issued, source.issued, 'by this way, and once');
    t.strictSame([...new Set(proxy.asked)], source.hosts, 'through the proxy');
    const left = service.credentialSecondsLeft?.() ?? null;
    t.ok(left !== null && left > 3500 && left <= 3600, `${left} s`);
    source.change.spoil(place);
    await t.rejects(roundTrip(), { code: 'provider_refused' });
    source.change.repair(place);
    t.ok(await roundTrip(), 'and are got anew');
  });
}

for (const [name, source] of Object.entries(SOURCES).filter(([, { issued }]) => issued.length > 0)) {
  t.test(
    `credentials from ${name} are replaced ahead of their end, and no call waits or fails`,
    async (t) => {
      const { place, server, roundTrip } = await scene(t);
      writeMain(place, source.file(place) ?? {});
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

t.test('a token service that hangs is given up, and asked anew', async (t) => {
  const { place, server, roundTrip } = await scene(t, { timeout: '1s', 'try-timeout': '1s' });
  writeMain(place, user('refresh-1'));
  server.fail({ is: 'hang' });
  await t.rejects(roundTrip(), { code: 'provider_unreachable', message: /no answer/ });
  server.heal();
  const begin = performance.now();
  while (!(await roundTrip().catch(() => false))) await sleep(100);
  t.ok(performance.now() - begin < 15_000, `${Math.round(performance.now() - begin)} ms`);
});

t.test('a token service that redirects is not followed with the secret that it was sent', async (t) => {
  const { place, server, roundTrip } = await scene(t);
  const elsewhere = new FakeService(() => ({ status: 200, body: {} }));
  await elsewhere.start();
  t.teardown(() => elsewhere.stop());
  writeMain(place, user('refresh-1'));
  server.fail({ is: 'reply', reply: { status: 307, headers: { location: `${elsewhere.url}/token` } } });
  await t.rejects(roundTrip(), { code: 'provider_unreachable', message: /no credentials: .*307/ });
  t.strictSame(elsewhere.seen, []);
  server.heal();
  t.ok(await roundTrip(), 'and is asked again');
});
