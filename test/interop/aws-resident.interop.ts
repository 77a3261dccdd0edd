// Keys that stay in AWS KMS against ministack, another implementation than our own fake: the contract, an unchanged program, states of keys, and
// a multi-Region key.
import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { awsKind } from '../../src/providers/aws/aws-key-service.ts';
import { temporaryDirectory } from '../e2e/instance.ts';
import { TcpGate } from '../fakes/tcp-gate.ts';
import { NO_AGREEMENT, testResidentKeys } from '../providers/resident-contract.ts';
import { Ministack } from './ministack.ts';
import { PAIRS_OK, runResident } from './token-under.ts';

for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name];
const REGION = 'eu-central-1';
const stack = await Ministack.start(t);
const credentials = join(temporaryDirectory(t), 'credentials');
writeFileSync(credentials, '[default]\naws_access_key_id=AKIAEXAMPLE\naws_secret_access_key=example\n');

function makeKeys(t: Test, more: Record<string, unknown> = {}) {
  const options = {
    ...{ kind: 'aws-kms', region: REGION, 'key-id': 'alias/none', endpoint: stack.url },
    ...{ 'credentials-file': credentials, timeout: '8s', ...more },
  };
  const deps = { name: 'ministack', log: createLogger('silent'), clock: SYSTEM_CLOCK, random: randomBytes };
  const service = awsKind.create(awsKind.schema.parse(options), { ...deps, resolvePath: (path) => path });
  t.teardown(() => service.close());
  if (!service.resident) throw new Error('no resident keys');
  return service.resident;
}

/** It has no ML-DSA. */
testResidentKeys(t, 'AWS KMS by ministack', async (t) => {
  const keys = makeKeys(t);
  return { keys, specs: keys.creates.filter((spec) => !spec.startsWith('ml-dsa')), uses: NO_AGREEMENT };
});

t.test('an unchanged program uses keys that live in ministack', async (t) => {
  const said = await runResident(
    t,
    `    kind: aws-kms
    region: ${REGION}
    key-id: alias/none
    endpoint: ${stack.url}
    credentials-file: ${credentials}
`,
  );
  t.same(said, {
    ...PAIRS_OK,
    ECDH1_DERIVE: 'not offered',
    'generic secret': 'ok',
    SHA256_HMAC: 'ok',
    'AES-256': 'not offered',
  });
});

const PAIR = { spec: 'ec-p256', sizeBits: 256, uses: ['sign'], ckaId: Buffer.alloc(0) } as const;

t.test('a key that is disabled there is of no use at once, and in no list', async (t) => {
  const keys = makeKeys(t);
  const key = await keys.create({ name: 'state-key', ...PAIR });
  const [algorithm] = key.signs;
  if (algorithm === undefined) throw new Error('it signs nothing');
  await stack.kms(REGION, 'DisableKey', { KeyId: key.id });
  await t.rejects(keys.sign(key, algorithm, randomBytes(32), 0), {
    code: 'provider_refused',
    message: /DisabledException/,
  });
  t.same(await keys.list('state-', 9), []);
  await stack.kms(REGION, 'EnableKey', { KeyId: key.id });
  t.equal((await keys.sign(key, algorithm, randomBytes(32), 0)).length, 64);
});

t.test('a multi-Region key signs in its replica while its own region is away', async (t) => {
  const spec = { KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY', MultiRegion: true };
  const made = await stack.kms(REGION, 'CreateKey', spec);
  const KeyId = String(Reflect.get(Object(made['KeyMetadata']), 'KeyId'));
  await stack.kms(REGION, 'CreateAlias', { AliasName: 'alias/everywhere', TargetKeyId: KeyId });
  await stack.kms(REGION, 'ReplicateKey', { KeyId, ReplicaRegion: 'eu-west-1' });
  const gate = new TcpGate(Number(new URL(stack.url).port));
  await gate.open();
  t.teardown(() => gate.close());
  const replicas = [{ region: 'eu-west-1', 'key-id': 'alias/none', endpoint: stack.url }];
  const keys = makeKeys(t, { endpoint: gate.url, replicas, timeout: '2s', 'try-timeout': '500ms' });
  const [key] = await keys.list('everywhere', 9);
  const [algorithm] = key?.signs ?? [];
  if (key === undefined || algorithm === undefined) throw new Error('there is no such key');
  const shown = createPublicKey({ key: await keys.publicKey(key), format: 'der', type: 'spki' });
  await gate.close();
  const signature = await keys.sign(key, algorithm, createHash('sha256').update('x').digest(), 0);
  t.ok(verify('sha256', Buffer.from('x'), { key: shown, dsaEncoding: 'ieee-p1363' }, signature));
});
