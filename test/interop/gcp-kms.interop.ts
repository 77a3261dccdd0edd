// Google's own client, over REST, against the fake that stands in for the service in our tests: what it accepts, the fake must, and
// both open what the other wrapped.
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import t from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { gcpKind } from '../../src/providers/gcp/gcp-key-service.ts';
import { bindingOf, formatWrappedKey, parseWrappedKey } from '../../src/providers/wrapped-key.ts';
import { ROOT, temporaryDirectory } from '../e2e/instance.ts';
import { EMAIL, FakeGcpKms, KEY, slowCrc32c } from '../fakes/fake-gcp-kms.ts';
import { FakeService } from '../fakes/fake-service.ts';

const PACKAGE = '@google-cloud/kms@6.3.0';
const CACHE = join(ROOT, 'node_modules/.cache/interop', PACKAGE.replace(/[^a-z0-9.]+/g, '-'));
const PURPOSE = 'token 1';

interface Reply {
  readonly plaintext?: Buffer;
  readonly ciphertext?: Buffer;
  readonly verifiedPlaintextCrc32c?: boolean;
}

interface KmsClient {
  encrypt(request: object): Promise<[Reply]>;
  decrypt(request: object): Promise<[Reply]>;
  close(): Promise<void>;
}

function install(): new (options: object) => KmsClient {
  if (!existsSync(join(CACHE, 'installed'))) {
    mkdirSync(CACHE, { recursive: true });
    writeFileSync(join(CACHE, 'package.json'), '{"private":true}');
    const args = ['install', '--prefix', CACHE, '--no-save', '--ignore-scripts', '--no-audit', '--no-fund'];
    execFileSync('npm', [...args, PACKAGE], { stdio: ['ignore', 'ignore', 'inherit'] });
    writeFileSync(join(CACHE, 'installed'), PACKAGE);
  }
  return createRequire(join(CACHE, 'package.json'))('@google-cloud/kms').KeyManagementServiceClient;
}

t.test("Google's client and the adapter open what the other wrapped", async (t) => {
  const Client = install();
  const pair = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const server = new FakeService(new FakeGcpKms(pair.publicKey).handle);
  await server.start();
  const account = { type: 'service_account', client_email: EMAIL, private_key: pair.privateKey };
  const file = join(temporaryDirectory(t), 'account.json');
  writeFileSync(file, JSON.stringify({ ...account, private_key_id: 'k1', project_id: 'p-1' }));
  const parsed = gcpKind.schema.parse({
    kind: 'gcp-kms',
    key: KEY,
    endpoint: server.url,
    'credentials-file': file,
  });
  const deps = { name: 'g', log: createLogger('silent'), clock: SYSTEM_CLOCK, random: randomBytes };
  const service = gcpKind.create(parsed, { ...deps, resolvePath: (path) => path });
  const where = { fallback: true, apiEndpoint: '127.0.0.1', port: server.port, protocol: 'http' };
  const client = new Client({ ...where, keyFilename: file, projectId: 'p-1' });
  t.teardown(async () => {
    await client.close();
    await service.close();
    await server.stop();
  });
  const data = bindingOf('gcp-kms', PURPOSE);
  const associated = {
    name: KEY,
    additionalAuthenticatedData: data,
    additionalAuthenticatedDataCrc32c: { value: slowCrc32c(data) },
  };

  const ours = await service.generateDataKey(PURPOSE);
  const { ciphertext } = parseWrappedKey('gcp-kms', ours.wrapped);
  const ciphertextCrc32c = { value: slowCrc32c(ciphertext) };
  const [opened] = await client.decrypt({ ...associated, ciphertext, ciphertextCrc32c });
  t.ok(ours.plaintext.equals(Buffer.from(opened.plaintext ?? '')));

  const key = randomBytes(32);
  const plaintextCrc32c = { value: slowCrc32c(key) };
  const [made] = await client.encrypt({ ...associated, plaintext: key, plaintextCrc32c });
  t.equal(made.verifiedPlaintextCrc32c, true);
  const wrapped = formatWrappedKey('gcp-kms', {
    reference: KEY,
    ciphertext: Buffer.from(made.ciphertext ?? ''),
  });
  t.ok((await service.unwrapDataKey(wrapped, PURPOSE)).equals(key));

  const wrong = { ...associated, plaintext: key, plaintextCrc32c: { value: '1' } };
  await t.rejects(client.encrypt(wrong), { code: 3, message: /checksum/ });
});
