// One program, unchanged, and one configuration with all seven providers in it. From run to run one line of it differs: the token's `provider`.
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { compile, initInstance, MODULE, temporaryDirectory } from '../e2e/instance.ts';
import { EMAIL, KEY } from '../fakes/fake-gcp-kms.ts';
import { ServiceProcess } from '../fakes/service-process.ts';
import { PyKmip } from '../providers/kmip/pykmip.ts';
import { SOFTHSM, SoftHsm } from '../providers/softhsm.ts';
import { PAIRS_OK } from './token-under.ts';

const PROVIDERS = [
  'local', // the embedded store
  'pkcs11-hsm',
  'kmip',
  'vault',
  'aws-kms',
  'gcp-kms',
  'azure-key-vault',
] as const;

type Options = Readonly<Record<string, unknown>>;

function secret(t: Test, text: string): string {
  const path = join(temporaryDirectory(t), 'secret');
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

function makeRsa(): { publicKey: string; privateKey: string } {
  return generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
}

async function start(t: Test, kind: string, ...args: string[]): Promise<string> {
  const service = new ServiceProcess(t, kind, ...args);
  await service.start();
  return service.url;
}

/** The configuration of each service, all of them started. */
const STARTS: Readonly<Record<Exclude<(typeof PROVIDERS)[number], 'local'>, (t: Test) => Promise<Options>>> =
  {
    'pkcs11-hsm': async (t) => {
      const hsm = new SoftHsm(t);
      hsm.makeKey('kek-1');
      const key = { 'token-label': 'kek', 'key-label': 'kek-1', 'pin-file': hsm.pinFile };
      return { module: SOFTHSM, ...key, environment: hsm.environment };
    },
    kmip: async (t) => {
      const server = await PyKmip.start(t);
      return server.options(await server.makeKey('aes'));
    },
    vault: async (t) => {
      const auth = { method: 'token', 'token-file': secret(t, 'hvs.operator\n') };
      return { address: await start(t, 'vault'), key: 'kek', auth };
    },
    'aws-kms': async (t) => {
      const identity = 'aws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret-of-the-example\n';
      const place = {
        region: 'eu-central-1',
        'key-id': 'alias/sidekey',
        endpoint: await start(t, 'aws-kms'),
      };
      return { ...place, 'credentials-file': secret(t, `[default]\n${identity}`) };
    },
    'gcp-kms': async (t) => {
      const { publicKey, privateKey } = makeRsa();
      const account = { type: 'service_account', client_email: EMAIL, private_key: privateKey };
      const file = secret(t, JSON.stringify({ ...account, private_key_id: 'k1', project_id: 'p-1' }));
      const endpoint = await start(t, 'gcp-kms', secret(t, publicKey));
      return { key: KEY, endpoint, 'credentials-file': file };
    },
    'azure-key-vault': async (t) => {
      const vault = await start(t, 'azure-key-vault', secret(t, makeRsa().privateKey));
      const login = { 'tenant-id': 'tenant-1', 'client-id': 'client-1' };
      const file = { 'client-secret-file': secret(t, 'client-secret-1\n') };
      const auth = { method: 'client-secret', ...login, ...file };
      return { vault, key: 'kek', authority: vault, resource: 'https://vault.azure.net', auth };
    },
  };

t.test('one program runs under each of the seven providers, one line of configuration apart', async (t) => {
  const program = compile(t, '../interop/resident.c');
  const services: string[] = [];
  for (const [kind, begin] of Object.entries(STARTS))
    services.push(`  ${kind}: ${JSON.stringify({ ...(await begin(t)), kind })}\n`);
  const configurations = new Set<string>();
  for (const provider of PROVIDERS) {
    const instance = initInstance(t, {
      edit: (yaml) => {
        const all = yaml
          .replace(/label: "test"\n    provider: local\n/, 'label: "one"\n    provider: @\n    login: none\n')
          .replace(/^providers:\n/m, `providers:\n${services.join('')}`);
        configurations.add(all.replaceAll(/\/tmp\/sidekey-\w+/g, ''));
        return all.replace('provider: @', `provider: ${provider}`);
      },
    });
    await instance.start();
    const { status, stdout, stderr } = instance.run(program, [MODULE, 'one']);
    t.equal(status, 0, stderr);
    const lines = stdout.trim().split('\n');
    const said = Object.fromEntries(lines.map((line) => /^(.*?): (.*)$/.exec(line)?.slice(1) ?? ['', line]));
    const secrets = { 'generic secret': 'ok', SHA256_HMAC: 'ok', 'AES-256': 'ok', AES_GCM: 'ok' };
    t.same(said, { ...PAIRS_OK, ...secrets }, `under ${provider}`);
    await instance.stopAgent();
  }
  t.equal(configurations.size, 1, 'but for that line and the folder it is the same configuration');
});
