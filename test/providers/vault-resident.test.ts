// Keys of a Transit mount as resident keys: the contract against the strict fake, versions, and refusals.
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { vaultKind } from '../../src/providers/vault/vault-key-service.ts';
import { FakeService } from '../fakes/fake-service.ts';
import { FakeVault } from '../fakes/fake-vault.ts';
import { testResidentKeys } from './resident-contract.ts';

async function scene(t: Test) {
  const dir = t.testdir();
  const vault = new FakeVault();
  const server = new FakeService(vault.handle);
  await server.start();
  const token = join(dir, 'token');
  writeFileSync(token, vault.issue(), { mode: 0o600 });
  const parsed = vaultKind.schema.parse({
    ...{ kind: 'vault', address: server.url, key: 'kek', timeout: '8s' },
    auth: { method: 'token', 'token-file': token },
  });
  const service = vaultKind.create(parsed, {
    ...{ name: 'v', log: createLogger('silent'), clock: SYSTEM_CLOCK, random: randomBytes },
    resolvePath: (path) => path,
  });
  t.teardown(async () => {
    await service.close();
    await server.stop();
  });
  if (!service.resident) throw new Error('no resident keys');
  return { vault, server, keys: service.resident };
}

const SPECS = ['rsa-2048', 'ec-p256', 'ec-p384', 'ec-p521', 'ed25519', 'generic'] as const;
testResidentKeys(t, 'Vault', async (t) => ({ keys: (await scene(t)).keys, specs: SPECS }));

const PAIR = { spec: 'ec-p256', sizeBits: 256, uses: ['sign'], ckaId: Buffer.alloc(0) } as const;

t.test('each version of a pair is a key, and the KEK is none', async (t) => {
  const { vault, keys } = await scene(t);
  t.same(await keys.list('', 10), [], 'an empty mount is no error');
  const first = await keys.create({ name: 'pair', ...PAIR });
  vault.keys.rotate('pair');
  const listed = await keys.list('', 10);
  t.same(
    listed.map(({ id, isPrimary }) => [id, isPrimary]),
    [
      ['pair:2', true],
      ['pair:1', false],
    ],
  );
  const [newest, oldest] = await Promise.all(listed.map((key) => keys.publicKey(key)));
  t.notOk(newest?.equals(oldest ?? Buffer.alloc(0)));
  const [algorithm] = first.signs;
  if (algorithm) t.equal((await keys.sign(first, algorithm, randomBytes(32), 0)).length, 64);
  const old = listed.find(({ isPrimary }) => !isPrimary) ?? first;
  await t.rejects(keys.destroy(old), { code: 'provider_refused' }, 'an old version is not destroyed alone');
  await t.rejects(keys.list('', 0), { code: 'provider_refused' }, 'more than may be listed');
});

t.test('a policy that forbids is a refusal, a sealed server is unreachable', async (t) => {
  const { vault, keys } = await scene(t);
  await keys.create({ name: 'pair', ...PAIR });
  vault.behaviour.allows = false;
  await t.rejects(keys.list('', 10), { code: 'provider_refused' });
  vault.behaviour.allows = true;
  vault.behaviour.sealed = true;
  await t.rejects(keys.list('', 10), { code: 'provider_unreachable' });
});

t.test('a name that means another path is refused, and the server is not asked', async (t) => {
  const { server, keys } = await scene(t);
  for (const name of [
    '.',
    '..',
    '../../sys/seal',
    '..\\..\\sys',
    'a/b',
    'k?list=true',
    'k#',
    '%2e%2e',
    '-k',
    'k.',
  ])
    await t.rejects(keys.create({ name, ...PAIR }), { code: 'provider_refused' }, name);
  t.same(server.seen, []);
});
