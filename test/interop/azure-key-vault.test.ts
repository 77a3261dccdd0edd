// An unchanged program on a token whose key-encryption key stays in Azure Key Vault: a strict fake.
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { temporaryDirectory } from '../e2e/instance.ts';
import { outages, ServiceProcess } from '../fakes/service-process.ts';
import { makePair, outlives, startUnder } from './token-under.ts';

t.test(
  'pkcs11-tool makes keys and signs on a token under Azure Key Vault, which goes and comes back',
  async (t) => {
    const dir = temporaryDirectory(t);
    const [secret, kek] = [join(dir, 'secret'), join(dir, 'kek.pem')];
    writeFileSync(secret, 'client-secret-1\n', { mode: 0o600 });
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(kek, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const azure = new ServiceProcess(t, 'azure-key-vault', kek);
    await azure.start();
    const instance = await startUnder(
      t,
      `    kind: azure-key-vault
    vault: ${azure.url}
    key: kek
    authority: ${azure.url}
    resource: https://vault.azure.net
    auth: { method: client-secret, tenant-id: tenant-1, client-id: client-1, client-secret-file: ${secret} }
    timeout: 3s
    try-timeout: 1s
`,
    );
    const made = makePair(instance);
    t.equal(made.status, 0, made.stdout + made.stderr + instance.log);
    for (const [name, outage] of outages(azure)) await outlives(t, instance, name, outage);
  },
);
