// Resident keys of Azure Key Vault, against a strict fake of it with real cryptography.
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { azureKind } from '../../src/providers/azure/azure-key-service.ts';
import type { NewResidentKey } from '../../src/tokens/resident-port.ts';
import { FakeAzure } from '../fakes/fake-azure.ts';
import { FakeService } from '../fakes/fake-service.ts';
import { testResidentKeys } from './resident-contract.ts';

const { privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});
const SIGN = ['sign', 'verify'];

async function scene(t: Test, options: Record<string, unknown> = {}) {
  const dir = t.testdir();
  const azure = new FakeAzure(privateKey);
  const server = new FakeService(azure.handle);
  await server.start();
  writeFileSync(join(dir, 'secret'), 'client-secret-1\n', { mode: 0o600 });
  const ids = { 'tenant-id': 'tenant-1', 'client-id': 'client-1' };
  const parsed = azureKind.schema.parse({
    kind: 'azure-key-vault',
    vault: server.url,
    key: 'kek',
    auth: { method: 'client-secret', ...ids, 'client-secret-file': 'secret' },
    authority: server.url,
    resource: 'https://vault.azure.net',
    timeout: '9s',
    'try-timeout': '9s',
    ...options,
  });
  const service = azureKind.create(parsed, {
    name: 'z',
    log: createLogger('silent'),
    clock: SYSTEM_CLOCK,
    random: randomBytes,
    resolvePath: (path) => resolve(dir, path),
  });
  t.teardown(async () => {
    await service.close();
    await server.stop();
  });
  if (!service.resident) throw new Error('no resident keys');
  return { azure, server, keys: service.resident };
}

for (const protection of ['software', 'hsm'])
  testResidentKeys(t, `azure-key-vault, ${protection}`, async (t) => ({
    keys: (await scene(t, { 'resident-protection': protection })).keys,
    specs:
      protection === 'hsm'
        ? ['rsa-2048', 'ec-p256']
        : ['rsa-2048', 'ec-p256', 'ec-p384', 'ec-p521', 'ec-secp256k1'],
  }));

const wanted = (name: string, more: Partial<NewResidentKey>): NewResidentKey => ({
  name,
  spec: 'ec-p256',
  sizeBits: 0,
  uses: ['sign'],
  ckaId: Buffer.alloc(0),
  ...more,
});

t.test('each enabled version is a key of its own, the newest is meant when none is named', async (t) => {
  const { azure, keys } = await scene(t);
  const versions = [1, 2, 3].map(() => azure.keys.add('app-ec', 'EC', 'P-256', 0, SIGN));
  const rsa = azure.keys.add('app-rsa', 'RSA-HSM', null, 2048, ['decrypt']);
  azure.keys.add('other', 'EC', 'P-384', 0, SIGN);
  azure.keys.add('kek2', 'RSA', null, 2048, ['wrapKey']);
  const [first, second, third] = versions;
  if (!first || !second || !third) throw new Error('no versions');
  second.enabled = false;
  const listed = await keys.list('app-', 10);
  t.strictSame(
    listed.map(({ id, name, isPrimary, spec }) => [id.split('/')[1], name, isPrimary, spec]),
    [
      [first.version, 'app-ec', false, 'ec-p256'],
      [third.version, 'app-ec', true, 'ec-p256'],
      [rsa.version, 'app-rsa', true, 'rsa-2048'],
    ],
  );
  t.match(listed[2], { signs: [], ciphers: [{ hash: 'sha256' }, { hash: 'sha1' }, { scheme: 'rsa-pkcs1' }] });
  await t.rejects(keys.list('app-', 2), { code: 'provider_refused', message: /prefix/ });
  const [old, newest] = [listed[0], listed[1]];
  const [algorithm] = old?.signs ?? [];
  if (!old || !newest || !algorithm) throw new Error('no keys');
  const digest = createHash('sha256').update('a').digest();
  t.notOk((await keys.publicKey(old)).equals(await keys.publicKey(newest)));
  t.equal((await keys.sign(old, algorithm, digest, 0)).length, 64, 'an old version signs');
  await t.rejects(keys.destroy(old), { code: 'provider_refused', message: /3 versions/ });
  t.equal((await keys.list('app-ec', 10)).length, 2, 'and nothing was deleted');
});

t.test('what cannot be made is refused, and a deleted name is not free', async (t) => {
  const { keys } = await scene(t);
  for (const more of [
    { spec: 'aes-256' },
    { spec: 'ed25519' },
    { spec: 'ec-p256', uses: ['decrypt'] },
    { name: 'a_b' },
    { name: 'kek' },
  ] as const)
    await t.rejects(keys.create(wanted('new', more)), { code: 'provider_refused' }, JSON.stringify(more));
  t.strictSame(await keys.list('new', 10), []);
  const key = await keys.create(wanted('gone', {}));
  t.match(await keys.destroy(key), /^is destroyed at 20\d\d-/);
  await t.rejects(keys.create(wanted('gone', {})), { code: 'provider_refused', message: /Recoverable/ });
});

t.test('no right, a disabled key, no service', async (t) => {
  const { azure, keys, server } = await scene(t, { timeout: '1s', 'try-timeout': '500ms' });
  const version = azure.keys.add('ec', 'EC', 'P-256', 0, SIGN);
  const [key] = await keys.list('ec', 10);
  const [algorithm] = key?.signs ?? [];
  if (!key || !algorithm) throw new Error('no key');
  const digest = createHash('sha256').update('a').digest();
  version.enabled = false;
  const disabled = { code: 'provider_refused', message: /KeyDisabled/ };
  await t.rejects(keys.sign(key, algorithm, digest, 0), disabled);
  t.strictSame(await keys.list('ec', 10), []);
  azure.behaviour.allows = false;
  await t.rejects(keys.list('', 10), { code: 'provider_refused', message: /ForbiddenByRbac/ });
  await server.stop();
  await t.rejects(keys.list('', 10), { code: 'provider_unreachable' });
});
