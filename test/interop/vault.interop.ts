// HashiCorp's own Python client against the fake that stands in for the server in our tests: what it accepts, the fake must, and both
// open what the other encrypted.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { vaultKind } from '../../src/providers/vault/vault-key-service.ts';
import { bindingOf, formatWrappedKey, parseWrappedKey } from '../../src/providers/wrapped-key.ts';
import { temporaryDirectory } from '../e2e/instance.ts';
import { FakeService } from '../fakes/fake-service.ts';
import { FakeVault } from '../fakes/fake-vault.ts';
import { installPython } from './python-venv.ts';

const PURPOSE = 'token 1';

t.test('hvac and the adapter open what the other encrypted', async (t) => {
  const bin = installPython('hvac==2.4.0');
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
  const ours = await service.generateDataKey(PURPOSE);
  const ciphertext = parseWrappedKey('vault', ours.wrapped).ciphertext.toString();
  const program = join(import.meta.dirname, 'vault-client.py');
  const aad = bindingOf('vault', PURPOSE).toString('base64');
  const args = [program, server.url, 'hvs.operator', 'role-1', 'secret-1', ciphertext, aad];
  const { stdout } = await promisify(execFile)(join(bin, 'python'), args, { timeout: 60_000 });
  const said = JSON.parse(stdout);
  t.ok(Buffer.from(said.opened, 'base64').subarray(0, 32).equals(ours.plaintext));
  t.equal(said.type, 'aes256-gcm96');
  for (const life of [said.ttl, said.lease, said.renewed]) t.ok(life > 3500 && life <= 3600, `${life} s`);
  t.match(said.refusal, /message authentication failed/);
  const wrapped = formatWrappedKey('vault', { reference: 'transit/kek', ciphertext: Buffer.from(said.made) });
  await t.rejects(
    service.unwrapDataKey(wrapped, PURPOSE),
    { code: 'provider_refused', message: /for another purpose/ },
    'it opens, and holds no digest of the purpose',
  );
});
