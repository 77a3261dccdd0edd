// HashiCorp's own Python client against the fake that stands in for the server in our tests: what it accepts, the fake must, and both
// open what the other encrypted.
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { vaultKind } from '../../src/providers/vault/vault-key-service.ts';
import { temporaryDirectory } from '../e2e/instance.ts';
import { FakeService } from '../fakes/fake-service.ts';
import { FakeVault } from '../fakes/fake-vault.ts';
import { checkHvac } from './hvac.ts';

t.test('hvac and the adapter open what the other encrypted', async (t) => {
  const vault = new FakeVault();
  const server = new FakeService(vault.handle);
  await server.start();
  const token = join(temporaryDirectory(t), 'token');
  writeFileSync(token, vault.issue('hvs.operator'), { mode: 0o600 });
  const parsed = vaultKind.schema.parse({
    kind: 'vault',
    address: server.url,
    key: 'kek',
    auth: { method: 'token', 'token-file': token },
  });
  const deps = { name: 'v', log: createLogger('silent'), clock: SYSTEM_CLOCK, random: randomBytes };
  const service = vaultKind.create(parsed, { ...deps, resolvePath: (path) => path });
  t.teardown(async () => {
    await service.close();
    await server.stop();
  });
  await checkHvac(t, service, {
    url: server.url,
    token: 'hvs.operator',
    roleId: 'role-1',
    secretId: 'secret-1',
  });
});
