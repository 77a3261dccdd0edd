// An unchanged program on a token whose key-encryption key stays in AWS KMS: a strict fake; aws-kms.interop.ts asks moto.
import { spawnSync } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { MODULE, PIN, temporaryDirectory } from '../e2e/instance.ts';
import { outages, ServiceProcess } from '../fakes/service-process.ts';
import { startResident } from './resident-program.ts';
import { makePair, outlives, PAIRS_OK, runResident, startUnder } from './token-under.ts';

function writeIdentity(t: Test): string {
  const credentials = join(temporaryDirectory(t), 'credentials');
  const identity = 'aws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret-of-the-example\n';
  writeFileSync(credentials, `[default]\n${identity}`);
  return credentials;
}

t.test('pkcs11-tool makes keys and signs on a token under AWS KMS, which goes and comes back', async (t) => {
  const kms = new ServiceProcess(t, 'aws-kms');
  await kms.start();
  const credentials = writeIdentity(t);
  const instance = await startUnder(
    t,
    `    kind: aws-kms
    region: eu-central-1
    key-id: alias/sidekey
    endpoint: ${kms.url}
    credentials-file: ${credentials}
    timeout: 3s
    try-timeout: 1s
`,
  );
  const made = makePair(instance);
  t.equal(made.status, 0, made.stdout + made.stderr + instance.log);
  for (const [name, outage] of outages(kms)) await outlives(t, instance, name, outage);
});

t.test('an unchanged program uses keys that live in AWS KMS', async (t) => {
  const kms = new ServiceProcess(t, 'aws-kms');
  await kms.start();
  const said = await runResident(
    t,
    `    kind: aws-kms
    region: eu-central-1
    key-id: alias/sidekey
    endpoint: ${kms.url}
    credentials-file: ${writeIdentity(t)}
`,
  );
  t.same(said, {
    ...PAIRS_OK,
    ECDH1_DERIVE: 'ok',
    'generic secret': 'ok',
    SHA256_HMAC: 'ok',
    'AES-256': 'not offered',
  });
});

t.test('an ML-DSA key of AWS KMS signs, with the OpenSSL that is here', async (t) => {
  const kms = new ServiceProcess(t, 'aws-kms');
  await kms.start();
  const instance = await startResident(
    t,
    `    kind: aws-kms
    region: eu-central-1
    key-id: alias/sidekey
    endpoint: ${kms.url}
    credentials-file: ${writeIdentity(t)}
`,
  );
  const written = join(temporaryDirectory(t), 'written.json');
  const env = { ...process.env, ...instance.environment, MODULE, PIN, PYTHONDONTWRITEBYTECODE: '1' };
  const program = [join(import.meta.dirname, 'pq_resident.py'), written];
  const { stdout, stderr, status } = spawnSync('python3', program, {
    env,
    encoding: 'utf8',
    timeout: 60_000,
  });
  t.equal(status, 0, stdout + stderr);
  const made = JSON.parse(readFileSync(written, 'utf8')) as Record<string, string>[];
  t.equal(made.length, 3);
  const bytes = (row: Record<string, string>, field: string): Buffer => Buffer.from(row[field] ?? '', 'hex');
  for (const row of made) {
    const key = createPublicKey({ key: bytes(row, 'info'), format: 'der', type: 'spki' });
    t.ok(verify(null, bytes(row, 'message'), key, bytes(row, 'signature')), `${key.asymmetricKeyType}`);
    t.same(key.export({ format: 'raw-public' }), bytes(row, 'value'));
  }
});
