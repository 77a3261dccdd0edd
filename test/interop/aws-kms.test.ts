// An unchanged program on a token whose key-encryption key stays in AWS KMS: a strict fake; aws-kms.interop.ts asks moto.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { temporaryDirectory } from '../e2e/instance.ts';
import { outages, ServiceProcess } from '../fakes/service-process.ts';
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
  t.same(said, { ...PAIRS_OK, 'generic secret': 'ok', SHA256_HMAC: 'ok', 'AES-256': 'not offered' });
});
