// An unchanged program on keys that never leave Azure Key Vault: a strict fake with real cryptography.
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { temporaryDirectory } from '../e2e/instance.ts';
import { ServiceProcess } from '../fakes/service-process.ts';
import { startResident, usePair } from './resident-program.ts';
import { PAIRS_OK, runResident } from './token-under.ts';

async function startAzure(t: Test): Promise<string> {
  const dir = temporaryDirectory(t);
  const [secret, kek] = [join(dir, 'secret'), join(dir, 'kek.pem')];
  writeFileSync(secret, 'client-secret-1\n', { mode: 0o600 });
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(kek, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const azure = new ServiceProcess(t, 'azure-key-vault', kek);
  await azure.start();
  return `    kind: azure-key-vault
    vault: ${azure.url}
    key: kek
    authority: ${azure.url}
    resource: https://vault.azure.net
    auth: { method: client-secret, tenant-id: tenant-1, client-id: client-1, client-secret-file: ${secret} }
`;
}

t.test('pkcs11-tool makes, uses and destroys pairs that stay in Azure Key Vault', async (t) => {
  const instance = await startResident(t, await startAzure(t));
  await usePair(t, instance, { keyType: 'EC:prime256v1', mechanism: 'ECDSA-SHA256', hash: 'sha256' });
});

t.test('the program of every provider uses what Azure Key Vault has', async (t) => {
  t.same(await runResident(t, await startAzure(t)), {
    ...PAIRS_OK,
    ECDH1_DERIVE: 'not offered',
    ...{ 'RSA_PKCS of a DigestInfo': 'ok', 'generic secret': 'not offered', 'AES-256': 'not offered' },
  });
});
