/** The six remote key services that `npm test` can have, started, each with the configuration of its provider. */
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { temporaryDirectory } from '../e2e/instance.ts';
import { EMAIL, KEY } from '../fakes/fake-gcp-kms.ts';
import { ServiceProcess } from '../fakes/service-process.ts';
import { PyKmip } from '../providers/kmip/pykmip.ts';
import { SOFTHSM, SoftHsm } from '../providers/softhsm.ts';

export const SERVICES = ['pkcs11-hsm', 'kmip', 'vault', 'aws-kms', 'gcp-kms', 'azure-key-vault'] as const;
export type Service = (typeof SERVICES)[number];

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

const STARTS: Readonly<Record<Service, (t: Test) => Promise<Options>>> = {
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

/** One line of YAML below `providers`, named as its kind; the service is started. */
export async function startService(t: Test, kind: Service): Promise<string> {
  return `  ${kind}: ${JSON.stringify({ ...(await STARTS[kind](t)), kind })}\n`;
}
