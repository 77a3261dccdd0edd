// The AWS adapter against moto: another implementation of the protocol, of Signature Version 4 and of IAM than our own fake.
import { createPublicKey, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { awsKind } from '../../src/providers/aws/aws-key-service.ts';
import { temporaryDirectory } from '../e2e/instance.ts';
import { TcpGate } from '../fakes/tcp-gate.ts';
import { testContract } from '../providers/contract.ts';
import { Moto } from './moto.ts';
import { makePair, outlives, startUnder } from './token-under.ts';

for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name];
const moto = await Moto.start(t);
let users = 0;

async function identity(t: Test, secret?: string) {
  const user = `app-${users++}`;
  const { accessKeyId, secretAccessKey } = await moto.createUser(user, 'kms:*');
  const file = join(temporaryDirectory(t), 'credentials');
  const text = `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secret ?? secretAccessKey}\n`;
  writeFileSync(file, text);
  const made = await moto.kms('CreateKey', {});
  return { user, file, keyId: made['KeyMetadata']?.['Arn'] ?? '' };
}

async function scene(t: Test, secret?: string) {
  const { user, file, keyId } = await identity(t, secret);
  const gate = new TcpGate(moto.port);
  await gate.open();
  const options = {
    kind: 'aws-kms',
    region: 'eu-central-1',
    'key-id': keyId,
    endpoint: gate.url,
    'credentials-file': file,
    timeout: '3s',
    'try-timeout': '1s',
  };
  const deps = { name: 'moto', log: createLogger('silent'), clock: SYSTEM_CLOCK, random: randomBytes };
  const service = awsKind.create(awsKind.schema.parse(options), { ...deps, resolvePath: (path) => path });
  t.teardown(async () => {
    await service.close();
    await gate.close();
  });
  return { service, gate, user };
}

testContract(t, 'aws-kms by moto', async (t) => {
  const { service, gate, user } = await scene(t);
  return {
    service,
    overallMs: 3000,
    deny: () => moto.deny(user),
    allow: () => moto.allow(user, 'kms:*'),
    stop: () => gate.close(),
    start: () => gate.open(),
    hang: () => gate.hold(),
    resume: () => gate.release(),
  };
});

t.test('moto does not accept a signature by another secret', async (t) => {
  const { service } = await scene(t, 'x'.repeat(40));
  await t.rejects(service.generateDataKey('token 1'), {
    code: 'provider_refused',
    message: /SignatureDoesNotMatch/,
  });
});

t.test(
  'pkcs11-tool makes keys and signs on a token under moto, which goes silent and comes back',
  async (t) => {
    const { file, keyId } = await identity(t);
    const instance = await startUnder(
      t,
      `    kind: aws-kms
    region: eu-central-1
    key-id: ${keyId}
    endpoint: ${moto.url}
    credentials-file: ${file}
    timeout: 3s
    try-timeout: 1s
`,
    );
    const made = makePair(instance);
    t.equal(made.status, 0, made.stdout + made.stderr + instance.log);
    await outlives(t, instance, 'silent', { break: () => moto.freeze(), mend: () => moto.thaw() });
  },
);

// Neither signing nor decryption: moto 5.2.5 hashes what it is given, whatever MessageType says, and decrypts by symmetric keys alone.
t.test('resident keys of moto are made, listed, read, used and destroyed', async (t) => {
  const { service } = await scene(t);
  const keys = service.resident;
  if (!keys) throw new Error('no resident keys');
  const rest = { sizeBits: 256, ckaId: Buffer.alloc(0) };
  const opener = await keys.create({ name: 'moto-rsa', spec: 'rsa-2048', uses: ['decrypt'], ...rest });
  const mac = await keys.create({ name: 'moto-mac', spec: 'generic', uses: ['sign'], ...rest });
  await t.rejects(keys.create({ name: 'moto-mac', spec: 'generic', uses: ['sign'], ...rest }), {
    code: 'provider_refused',
  });
  t.same((await keys.list('moto-', 10)).map(({ name }) => name).sort(), ['moto-mac', 'moto-rsa']);
  const shown = createPublicKey({ key: await keys.publicKey(opener), format: 'der', type: 'spki' });
  t.equal(shown.asymmetricKeyDetails?.modulusLength, 2048);
  t.ok(opener.ciphers.length > 0);
  const [algorithm] = mac.signs;
  if (algorithm) t.equal((await keys.sign(mac, algorithm, Buffer.from('a message'), 0)).length, 32);
  t.match(await keys.destroy(opener), /^destroyed after/);
  t.same(
    (await keys.list('moto-', 10)).map(({ name }) => name),
    ['moto-mac'],
  );
});
