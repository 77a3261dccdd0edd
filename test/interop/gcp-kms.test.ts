// An unchanged program on a token whose key-encryption key stays in Google Cloud KMS. No server can be installed: a strict fake.
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { temporaryDirectory } from '../e2e/instance.ts';
import { EMAIL, KEY } from '../fakes/fake-gcp-kms.ts';
import { outages, ServiceProcess } from '../fakes/service-process.ts';
import { makePair, outlives, startUnder } from './token-under.ts';

t.test(
  'pkcs11-tool makes keys and signs on a token under Google Cloud KMS, which goes and comes back',
  async (t) => {
    const dir = temporaryDirectory(t);
    const [publicFile, credentials] = [join(dir, 'public.pem'), join(dir, 'account.json')];
    const pair = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
    writeFileSync(publicFile, pair.publicKey);
    const account = { type: 'service_account', client_email: EMAIL, private_key: pair.privateKey };
    writeFileSync(credentials, JSON.stringify({ ...account, private_key_id: 'k1', project_id: 'p-1' }));
    const kms = new ServiceProcess(t, 'gcp-kms', publicFile);
    await kms.start();
    const instance = await startUnder(
      t,
      `    kind: gcp-kms
    key: ${KEY}
    endpoint: ${kms.url}
    credentials-file: ${credentials}
    timeout: 4s
    try-timeout: 2s
`,
    );
    const made = makePair(instance);
    t.equal(made.status, 0, made.stdout + made.stderr + instance.log);
    for (const [name, outage] of outages(kms)) await outlives(t, instance, name, outage);
  },
);
