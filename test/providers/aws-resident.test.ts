// Keys of AWS KMS as resident keys: the contract against the strict fake, pages of aliases, and deletion.
import { randomBytes } from 'node:crypto';
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

async function scene(t: Test) {
  const credentials = join(t.testdir(), 'credentials');
  const identity = 'aws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret-of-the-example\n';
  writeFileSync(credentials, `[default]\n${identity}`);
  const kms = new FakeAwsKms();
  const server = new FakeService(kms.handle);
  await server.start();
  const options = {
    ...{ kind: 'aws-kms', region: 'eu-central-1', 'key-id': 'alias/sidekey', endpoint: server.url },
    ...{ 'credentials-file': credentials, timeout: '8s' },
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

const SPECS = ['rsa-2048', 'ec-p256', 'ec-p384', 'ec-p521', 'ec-secp256k1', 'generic'] as const;
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
