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

/** Its options, and how its KEK is taken away by the service's own means, and given back. */
interface Started {
  readonly options: Options;
  readonly deny: () => void;
  readonly allow: () => void;
}

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

async function start(
  t: Test,
  kind: string,
  args: readonly string[],
  optionsAt: (url: string) => Options,
): Promise<Started> {
  const service = new ServiceProcess(t, kind, ...args);
  await service.start();
  const tell = (order: string) => () => service.tell(order);
  return { options: optionsAt(service.url), deny: tell('deny'), allow: tell('allow') };
}

const STARTS: Readonly<Record<Service, (t: Test) => Promise<Started>>> = {
  'pkcs11-hsm': async (t) => {
    const hsm = new SoftHsm(t);
    hsm.writeKey('kek-1');
    const key = { 'token-label': 'kek', 'key-label': 'kek-1', 'pin-file': hsm.pinFile };
    return {
      options: { module: SOFTHSM, ...key, environment: hsm.environment },
      deny: () => hsm.deleteKey('kek-1'),
      allow: () => hsm.writeKey('kek-1'),
    };
  },
  kmip: async (t) => {
    const server = await PyKmip.start(t);
    const id = await server.makeKey('aes');
    return {
      options: server.options(id),
      deny: () => server.setState(id, 'deactivated'),
      allow: () => server.setState(id, 'active'),
    };
  },
  vault: (t) => {
    const auth = { method: 'token', 'token-file': secret(t, 'hvs.operator\n') };
    return start(t, 'vault', [], (address) => ({ address, key: 'kek', auth }));
  },
  'aws-kms': (t) => {
    const identity = 'aws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret-of-the-example\n';
    const place = { region: 'eu-central-1', 'key-id': 'alias/sidekey' };
    const file = secret(t, `[default]\n${identity}`);
    return start(t, 'aws-kms', [], (endpoint) => ({ ...place, endpoint, 'credentials-file': file }));
  },
  'gcp-kms': (t) => {
    const { publicKey, privateKey } = makeRsa();
    const account = { type: 'service_account', client_email: EMAIL, private_key: privateKey };
    const file = secret(t, JSON.stringify({ ...account, private_key_id: 'k1', project_id: 'p-1' }));
    const options = { key: KEY, 'credentials-file': file };
    return start(t, 'gcp-kms', [secret(t, publicKey)], (endpoint) => ({ ...options, endpoint }));
  },
  'azure-key-vault': (t) => {
    const login = { 'tenant-id': 'tenant-1', 'client-id': 'client-1' };
    const file = { 'client-secret-file': secret(t, 'client-secret-1\n') };
    const auth = { method: 'client-secret', ...login, ...file };
    const options = { key: 'kek', resource: 'https://vault.azure.net', auth };
    const args = [secret(t, makeRsa().privateKey)];
    return start(t, 'azure-key-vault', args, (vault) => ({ ...options, vault, authority: vault }));
  },
};

/** One line of YAML below `providers`, named `name`, and the service, started. */
export async function startRevocable(
  t: Test,
  kind: Service,
  name: string = kind,
): Promise<Omit<Started, 'options'> & { readonly yaml: string }> {
  const { options, deny, allow } = await STARTS[kind](t);
  return { yaml: `  ${name}: ${JSON.stringify({ ...options, kind })}\n`, deny, allow };
}

/** One line of YAML below `providers`, named as its kind; the service is started. */
export async function startService(t: Test, kind: Service): Promise<string> {
  return (await startRevocable(t, kind)).yaml;
}
