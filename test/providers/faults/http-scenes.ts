/** The four services with an HTTP API: strict fakes over TLS, each with its own host name. */
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { awsKind } from '../../../src/providers/aws/aws-key-service.ts';
import { azureKind } from '../../../src/providers/azure/azure-key-service.ts';
import { gcpKind } from '../../../src/providers/gcp/gcp-key-service.ts';
import type { KeyServiceKind } from '../../../src/providers/key-service.ts';
import { vaultKind } from '../../../src/providers/vault/vault-key-service.ts';
import { serverTls, type Issued } from '../../fakes/certificates.ts';
import { FakeAwsKms } from '../../fakes/fake-aws-kms.ts';
import { FakeAzure } from '../../fakes/fake-azure.ts';
import { EMAIL, FakeGcpKms, KEY } from '../../fakes/fake-gcp-kms.ts';
import { FakeService, type Fault, type Handler } from '../../fakes/fake-service.ts';
import { FakeVault } from '../../fakes/fake-vault.ts';
import {
  depsIn,
  makeName,
  type Authority,
  type Cast,
  type Casts,
  type FaultScene,
  type Times,
} from './scene.ts';

// Only what a test sets, never the host's own identity.
for (const name of Object.keys(process.env))
  if (/^(AWS|AZURE|IDENTITY|GOOGLE)_/.test(name)) delete process.env[name];
process.env['AWS_EC2_METADATA_DISABLED'] = 'true';
process.env['METADATA_SERVER_DETECTION'] = 'none';

const PEM = { type: 'pkcs8', format: 'pem' } as const;
const makePair = () =>
  generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: PEM,
  });
const [ours, theirs] = [makePair(), makePair()];

interface Stage {
  readonly t: Test;
  readonly app: Issued;
  readonly dir: string;
  readonly url: string;
}

/** The differences between the services. */
interface Play {
  readonly handle: Handler;
  readonly kind: KeyServiceKind;
  options(stage: Stage): Record<string, unknown> | Promise<Record<string, unknown>>;
  casts(stage: Stage): Casts;
}

const reply = (status: number, headers: Record<string, string> = {}): Fault => ({
  is: 'reply',
  reply: { status, headers, body: {} },
});

/** Faults of any HTTP server. */
function ofHttp(server: FakeService, authority: Authority, name: ReturnType<typeof makeName>): Casts {
  const fault =
    (fault: Fault, times = Infinity): Cast =>
    () => {
      server.fail(fault, times);
      return () => server.heal();
    };
  const showing =
    (shown: Issued): Cast =>
    async () => {
      await server.restart(serverTls({ ...authority, server: shown }));
      return () => server.restart(serverTls(authority));
    };
  return {
    'refuses connections': async () => {
      await server.stop();
      return () => server.start();
    },
    'is silent': fault({ is: 'hang' }),
    'hangs after the head of its answer': fault({ is: 'hang-after-headers' }),
    'resets the connection': fault({ is: 'reset' }),
    'resets it amid the answer': fault({ is: 'reset-mid-body' }),
    'gives half an answer as a whole one': fault({ is: 'reply', reply: { status: 200, body: '{"half":"' } }),
    'asks for fewer requests (429)': fault(reply(429)),
    'asks for a second of rest (429)': fault(reply(429, { 'retry-after': '1' }), 1),
    'is in trouble (503)': fault(reply(503)),
    'is back in a second (503)': fault(reply(503, { 'retry-after': '1' }), 1),
    'shows a certificate past its end': showing(authority.expired),
    'shows a certificate of another authority': showing(authority.foreign),
    'has a name that does not resolve': async () => {
      name.vanish();
      await server.restart();
      return () => name.appear();
    },
    'takes two seconds for every answer': fault({ is: 'delay', ms: 2000 }),
  };
}

/** A change to the fake that lasts until the fault is ended. */
function change<T extends object>(behaviour: T, changes: Partial<T>): Cast {
  return () => {
    const before = { ...behaviour };
    Object.assign(behaviour, changes);
    return () => void Object.assign(behaviour, before);
  };
}

function vault(): Play {
  const fake = new FakeVault();
  return {
    handle: fake.handle,
    kind: vaultKind,
    options: ({ dir, url }) => {
      writeFileSync(join(dir, 'token'), fake.issue('hvs.first'), { mode: 0o600 });
      return { address: url, key: 'kek', auth: { method: 'token', 'token-file': 'token' } };
    },
    casts: ({ dir }) => ({
      'takes the credentials for expired': () => {
        fake.tokens.clear();
        return () => writeFileSync(join(dir, 'token'), fake.issue('hvs.second'));
      },
      // Transit cannot disable a key: a policy denies access to it.
      'has the key disabled': change(fake.behaviour, { allows: false }),
      'has the key pending deletion': change(fake.behaviour, { deleted: true }),
    }),
  };
}

function awsCredentials(dir: string, session: string): void {
  const lines = [
    '[default]',
    'aws_access_key_id = AKIAEXAMPLE',
    'aws_secret_access_key = secret-of-the-example',
  ];
  writeFileSync(join(dir, 'credentials'), `${lines.join('\n')}\naws_session_token = ${session}\n`);
}

function aws(): Play {
  const fake = new FakeAwsKms();
  fake.behaviour.sessionToken = 'session-1';
  return {
    handle: fake.handle,
    kind: awsKind,
    options: ({ dir, url }) => {
      awsCredentials(dir, 'session-1');
      const where = { region: 'eu-central-1', 'key-id': 'alias/sidekey', endpoint: url };
      return { ...where, 'credentials-file': 'credentials' };
    },
    casts: ({ dir }) => ({
      'takes the credentials for expired': () => {
        fake.behaviour.sessionToken = 'session-2';
        return () => awsCredentials(dir, 'session-2');
      },
      'has the key disabled': change(fake.behaviour, { keyState: 'Disabled' }),
      'has the key pending deletion': change(fake.behaviour, { keyState: 'PendingDeletion' }),
      'has another time': change(fake.behaviour, { aheadMs: 7_200_000 }),
    }),
  };
}

function gcpAccount(dir: string, privateKey: string): void {
  const account = {
    type: 'service_account',
    project_id: 'p-1',
    client_email: EMAIL,
    private_key: privateKey,
  };
  writeFileSync(join(dir, 'account.json'), JSON.stringify({ ...account, private_key_id: 'k1' }));
}

function gcp(): Play {
  const fake = new FakeGcpKms(ours.publicKey);
  return {
    handle: fake.handle,
    kind: gcpKind,
    options: ({ dir, url }) => {
      gcpAccount(dir, ours.privateKey);
      return { key: KEY, endpoint: url, 'credentials-file': 'account.json' };
    },
    casts: ({ dir }) => ({
      // The service no longer knows the account's key.
      'takes the credentials for expired': () => {
        gcpAccount(dir, theirs.privateKey);
        return () => gcpAccount(dir, ours.privateKey);
      },
      'has the key disabled': change(fake.behaviour, { state: 'DISABLED' }),
      'has the key pending deletion': change(fake.behaviour, { state: 'DESTROY_SCHEDULED' }),
      'has another time': change(fake.behaviour, { aheadMs: 7_200_000 }),
      'answers with a wrong CRC': change(fake.behaviour, { corrupt: 1000 }),
    }),
  };
}

/** On loopback and without TLS: the login must not depend on the vault's certificate authority. */
async function loginService(t: Test, handle: Handler): Promise<string> {
  const login = new FakeService(handle);
  await login.start();
  t.teardown(() => login.stop());
  return login.url;
}

/** Login by certificate: its assertion is the only part of Azure's protocol that contains the time. */
function azure(): Play {
  const fake = new FakeAzure(ours.privateKey);
  const login = { method: 'client-certificate', 'tenant-id': 'tenant-1', 'client-id': 'client-1' };
  return {
    handle: fake.handle,
    kind: azureKind,
    options: async ({ t, url, app }) => {
      fake.behaviour.certificate = readFileSync(app.certificate, 'utf8');
      const auth = { ...login, 'certificate-file': app.certificate, 'key-file': app.key };
      fake.behaviour.resource = 'https://services.invalid';
      return { vault: url, key: 'kek', auth, authority: await loginService(t, fake.handle) };
    },
    casts: () => ({
      'takes the credentials for expired': () => {
        fake.forget();
        return change(fake.behaviour, { certificate: null })();
      },
      'has the key disabled': change(fake.behaviour, { enabled: false }),
      'has the key pending deletion': change(fake.behaviour, { deleted: true }),
      'has another time': () => {
        fake.forget();
        return change(fake.behaviour, { aheadMs: 7_200_000 })();
      },
    }),
  };
}

const PLAYS = { vault, 'aws-kms': aws, 'gcp-kms': gcp, 'azure-key-vault': azure } as const;

export async function httpScene(
  t: Test,
  kind: keyof typeof PLAYS,
  authority: Authority,
  times: Times,
): Promise<FaultScene> {
  const play = PLAYS[kind]();
  const server = new FakeService(play.handle, serverTls(authority));
  await server.start();
  const name = makeName();
  const stage = { t, app: authority.app, dir: t.testdir(), url: `https://${name.name}:${server.port}` };
  const options = { kind, 'ca-file': authority.ca, ...(await play.options(stage)), ...times };
  const service = play.kind.create(play.kind.schema.parse(options), depsIn(stage.dir, kind));
  t.teardown(async () => {
    await service.close();
    await server.stop();
  });
  return { service, casts: { ...ofHttp(server, authority, name), ...play.casts(stage) } };
}
