// docs/key-services.md is true: each of its configurations and commands is read out of the page and run, with other addresses and credentials.
import { generateKeyPairSync } from 'node:crypto';
import { cpSync } from 'node:fs';
import t, { type Test } from 'tap';
import { EMAIL } from '../fakes/fake-gcp-kms.ts';
import { ServiceProcess } from '../fakes/service-process.ts';
import { PyKmip } from '../providers/kmip/pykmip.ts';
import { BLOCKS, blocksOf, isAccepted, SetUp } from './set-ups.ts';

type Values = Readonly<Record<string, string | number>>;
type Prepare = (setUp: SetUp, name: string) => Promise<Values>;

async function fake(t: Test, kind: string, ...args: string[]): Promise<string> {
  const service = new ServiceProcess(t, kind, ...args);
  await service.start();
  return service.url;
}

function makeRsa(): { publicKey: string; privateKey: string } {
  return generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
}

async function prepareKmip(setUp: SetUp): Promise<Values> {
  const server = await PyKmip.start(setUp.t);
  const { ca, client } = server.certificates;
  setUp.write('kmip/.here', '');
  const files = [
    [ca, 'ca.crt'],
    [client.certificate, 'client.crt'],
    [client.key, 'client.key'],
  ] as const;
  for (const [from, to] of files) cpSync(from, setUp.path(`kmip/${to}`));
  const [python = ''] = blocksOf('kmip', 'python', 'service');
  const program = python.replace('kmip.example.com', '127.0.0.1').replace('5696', `${server.port}`);
  setUp.write('make-kek.py', program);
  const said = await setUp.run('/usr/bin/python3 make-kek.py', 'the KEK is made by the program of the page');
  return { host: '127.0.0.1', port: server.port, 'key-id': said.trim().split('\n').at(-1) ?? '' };
}

async function prepareAws(setUp: SetUp, name: string): Promise<Values> {
  const endpoint = await fake(setUp.t, 'aws-kms');
  const [id, secret] = ['AKIAEXAMPLE', 'secret-of-the-example'];
  if (name === 'both')
    setUp.write(
      'store/aws-credentials',
      `[default]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`,
    );
  else Object.assign(setUp.environment, { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret });
  return { endpoint };
}

async function prepareGcp(setUp: SetUp, name: string): Promise<Values> {
  const { publicKey, privateKey } = makeRsa();
  const endpoint = await fake(setUp.t, 'gcp-kms', setUp.write('public.pem', publicKey));
  const account = { type: 'service_account', client_email: EMAIL, private_key: privateKey };
  if (name === 'both')
    setUp.write('store/google.json', JSON.stringify({ ...account, private_key_id: 'k1', project_id: 'p-1' }));
  else Object.assign(setUp.environment, { GCE_METADATA_HOST: new URL(endpoint).host, HOME: setUp.path('.') });
  return { endpoint };
}

async function prepareAzure(setUp: SetUp, name: string): Promise<Values> {
  const vault = await fake(setUp.t, 'azure-key-vault', setUp.write('kek.pem', makeRsa().privateKey));
  const place = { vault, resource: 'https://vault.azure.net' };
  if (name === 'minimal') {
    Object.assign(setUp.environment, {
      IDENTITY_ENDPOINT: `${vault}/msi/token`,
      IDENTITY_HEADER: 'header-1',
    });
    return place;
  }
  setUp.write('store/client-secret', 'client-secret-1\n');
  return { ...place, authority: vault, 'tenant-id': 'tenant-1', 'client-id': 'client-1' };
}

const PREPARE: Readonly<Record<string, Prepare>> = {
  embedded: async (setUp) => {
    await setUp.run(blocksOf('embedded', 'sh', 'service').join(''), 'the key file is made');
    return {};
  },
  'pkcs11-hsm': async (setUp) => {
    await setUp.run(blocksOf('pkcs11-hsm', 'sh', 'service').join(''), 'token and KEK are made');
    return { SOFTHSM2_CONF: setUp.path('softhsm2.conf') };
  },
  kmip: prepareKmip,
  vault: async (setUp) => {
    setUp.write('store/secret-id', 'secret-1\n');
    return { address: await fake(setUp.t, 'vault'), 'role-id': 'role-1' };
  },
  'aws-kms': prepareAws,
  'gcp-kms': prepareGcp,
  'azure-key-vault': prepareAzure,
};

for (const name of Object.keys(process.env)) if (/^(AWS|GOOGLE|AZURE)_/.test(name)) delete process.env[name];

t.test('the page has a configuration of each kind, and one with both uses where there are two', async (t) => {
  const found = BLOCKS.filter(({ language }) => language === 'yaml').map(
    ({ kind, name }) => `${kind} ${name}`,
  );
  const kinds = Object.keys(PREPARE);
  const both = kinds.filter((kind) => kind !== 'embedded').map((kind) => `${kind} both`);
  t.same(found.sort(), [...kinds.map((kind) => `${kind} minimal`), ...both].sort());
});

for (const { kind, language, name, text } of BLOCKS)
  if (language === 'yaml')
    t.test(`${kind}, ${name}: what the page says works`, async (t) => {
      isAccepted(t, text, 'as it stands');
      const setUp = new SetUp(t);
      const values = await PREPARE[kind]?.(setUp, name);
      await setUp.check(text, values ?? {});
    });
