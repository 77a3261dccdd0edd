// An unchanged program on a token whose key-encryption key stays in a Transit mount. No server can be installed: a strict fake.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { temporaryDirectory } from '../e2e/instance.ts';
import { outages, ServiceProcess } from '../fakes/service-process.ts';
import { makePair, outlives, PAIRS_OK, runResident, startUnder } from './token-under.ts';

t.test('pkcs11-tool makes keys and signs on a token under Vault, which goes and comes back', async (t) => {
  const vault = new ServiceProcess(t, 'vault');
  await vault.start();
  const token = join(temporaryDirectory(t), 'token');
  writeFileSync(token, 'hvs.operator\n', { mode: 0o600 });
  const instance = await startUnder(
    t,
    `    kind: vault
    address: ${vault.url}
    key: kek
    auth: { method: token, token-file: ${token} }
    timeout: 3s
    try-timeout: 1s
`,
  );
  const made = makePair(instance);
  t.equal(made.status, 0, made.stdout + made.stderr + instance.log);
  for (const [name, outage] of outages(vault)) await outlives(t, instance, name, outage);
});

t.test('an unchanged program uses keys that live in Vault', async (t) => {
  const vault = new ServiceProcess(t, 'vault');
  await vault.start();
  const token = join(temporaryDirectory(t), 'token');
  writeFileSync(token, 'hvs.operator\n', { mode: 0o600 });
  const said = await runResident(
    t,
    `    kind: vault
    address: ${vault.url}
    key: kek
    auth: { method: token, token-file: ${token} }
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
