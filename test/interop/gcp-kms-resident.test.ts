// An unchanged program on keys that never leave Google Cloud KMS. No server can be installed: a strict fake with real cryptography.
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { temporaryDirectory } from '../e2e/instance.ts';
import { EMAIL, KEY } from '../fakes/fake-gcp-kms.ts';
import { ServiceProcess } from '../fakes/service-process.ts';
import { startResident, usePair } from './resident-program.ts';
import { PAIRS_OK, runResident } from './token-under.ts';

async function startKms(t: Test): Promise<string> {
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
  return `    kind: gcp-kms\n    key: ${KEY}\n    endpoint: ${kms.url}\n    credentials-file: ${credentials}\n`;
}

t.test('pkcs11-tool makes, uses and destroys an EC pair that stays in Google Cloud KMS', async (t) => {
  const instance = await startResident(t, await startKms(t));
  await usePair(t, instance, { keyType: 'EC:prime256v1', mechanism: 'ECDSA-SHA256', hash: 'sha256' });
});

t.test('the program of every provider uses what Google Cloud KMS has', async (t) => {
  t.same(await runResident(t, await startKms(t)), {
    ...PAIRS_OK,
    ECDH1_DERIVE: 'not offered',
    // An RSA key there has one padding.
    SHA256_RSA_PKCS_PSS: 'not offered',
    ...{ 'generic secret': 'ok', SHA256_HMAC: 'ok', 'AES-256': 'not offered' },
  });
});
