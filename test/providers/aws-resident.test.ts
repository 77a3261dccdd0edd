// Keys of AWS KMS as resident keys: the contract against the strict fake, pages of aliases, and deletion.
import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { awsKind } from '../../src/providers/aws/aws-key-service.ts';
import { FakeAwsKms } from '../fakes/fake-aws-kms.ts';
import { FakeService } from '../fakes/fake-service.ts';
import { testResidentKeys } from './resident-contract.ts';

for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name];
process.env['AWS_EC2_METADATA_DISABLED'] = 'true';

async function scene(t: Test, more: Record<string, unknown> = {}) {
  const credentials = join(t.testdir(), 'credentials');
  const identity = 'aws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret-of-the-example\n';
  writeFileSync(credentials, `[default]\n${identity}`);
  const kms = new FakeAwsKms();
  const server = new FakeService(kms.handle);
  await server.start();
  const options = {
    ...{ kind: 'aws-kms', region: 'eu-central-1', 'key-id': 'alias/sidekey', endpoint: server.url },
    ...{ 'credentials-file': credentials, timeout: '8s', ...more },
  };
  const service = awsKind.create(awsKind.schema.parse(options), {
    ...{ name: 'a', log: createLogger('silent'), clock: SYSTEM_CLOCK, random: randomBytes },
    resolvePath: (path) => path,
  });
  t.teardown(async () => {
    await service.close();
    await server.stop();
  });
  if (!service.resident) throw new Error('no resident keys');
  return { kms, server, keys: service.resident };
}

const SPECS = [
  'rsa-2048',
  'ec-p256',
  'ec-p384',
  'ec-p521',
  'ec-secp256k1',
  'ed25519',
  'ml-dsa-44',
  'ml-dsa-65',
  'ml-dsa-87',
  'generic',
] as const;
testResidentKeys(t, 'AWS KMS', async (t) => ({ keys: (await scene(t)).keys, specs: SPECS }));

const PAIR = { spec: 'ec-p256', sizeBits: 256, uses: ['sign'], ckaId: Buffer.alloc(0) } as const;

t.test('aliases come by pages; those of AWS and those without a key are not shown', async (t) => {
  const { keys } = await scene(t);
  for (const name of ['one', 'two', 'three']) await keys.create({ name, ...PAIR });
  t.same(
    (await keys.list('', 10)).map(({ name }) => name),
    ['one', 'two', 'three'],
  );
  await t.rejects(keys.list('', 2), { code: 'provider_refused' });
});

t.test('a destroyed key is deleted after thirty days, and its name is taken until then', async (t) => {
  const { keys } = await scene(t);
  const key = await keys.create({ name: 'pair', ...PAIR });
  t.match(await keys.destroy(key), /^destroyed after \d{4}-/);
  await t.rejects(keys.create({ name: 'pair', ...PAIR }), { code: 'provider_refused' });
});

t.test('HMAC keys have the sizes of their hashes, and a policy that forbids is a refusal', async (t) => {
  const { kms, keys } = await scene(t);
  await t.rejects(keys.create({ name: 'mac', ...PAIR, spec: 'generic', sizeBits: 128 }), {
    code: 'provider_refused',
  });
  kms.behaviour.allows = false;
  await t.rejects(keys.list('', 10), { code: 'provider_refused' });
});

t.test(
  'a multi-Region key signs in its replica while its region is down; another key does not',
  async (t) => {
    const second = new FakeAwsKms('eu-west-1');
    const replica = new FakeService(second.handle);
    await replica.start();
    t.teardown(() => replica.stop());
    const place = { region: 'eu-west-1', 'key-id': 'alias/sidekey', endpoint: replica.url };
    const { kms, keys, server } = await scene(t, {
      replicas: [place],
      timeout: '2s',
      'try-timeout': '300ms',
    });
    kms.keys.addMultiRegion('everywhere', second.keys);
    const here = await keys.create({ name: 'here', ...PAIR });
    const everywhere = (await keys.list('every', 10))[0] ?? here;
    const shown = createPublicKey({ key: await keys.publicKey(everywhere), format: 'der', type: 'spki' });
    await server.stop();
    const digest = createHash('sha256').update('x').digest();
    const [algorithm] = everywhere.signs;
    if (algorithm === undefined) throw new Error('it signs nothing');
    const signature = await keys.sign(everywhere, algorithm, digest, 0);
    t.ok(verify('sha256', Buffer.from('x'), { key: shown, dsaEncoding: 'ieee-p1363' }, signature));
    await t.rejects(keys.sign(here, algorithm, digest, 0), { code: 'provider_unreachable' });
    await server.start();
    t.equal((await keys.sign(here, algorithm, digest, 0)).length, 64);
  },
);

t.test('grant tokens are shown where a key is used', async (t) => {
  const grants = join(t.testdirName, 'grants');
  const { kms, keys } = await scene(t, { 'grant-tokens-file': grants });
  writeFileSync(grants, 'grant-1\n');
  const key = await keys.create({ name: 'pair', ...PAIR });
  Object.assign(kms.behaviour, { allows: false, grantToken: 'grant-1' });
  const [algorithm] = key.signs;
  if (algorithm) t.equal((await keys.sign(key, algorithm, randomBytes(32), 0)).length, 64);
  t.ok((await keys.publicKey(key)).length > 0);
  kms.behaviour.grantToken = 'grant-2';
  await t.rejects(keys.publicKey(key), { code: 'provider_refused' });
});
