/** HashiCorp's own Python client beside the adapter: each opens what the other encrypted, whatever server stands between. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import type { KeyService } from '../../src/providers/key-service.ts';
import { bindingOf, formatWrappedKey, parseWrappedKey } from '../../src/providers/wrapped-key.ts';
import { installPython } from './python-venv.ts';

const PURPOSE = 'token 1';

export interface HvacScene {
  readonly url: string;
  readonly token: string;
  readonly roleId: string;
  readonly secretId: string;
  readonly ca?: string;
}

export async function checkHvac(t: Test, service: KeyService, scene: HvacScene): Promise<void> {
  const bin = installPython('hvac==2.4.0');
  const ours = await service.generateDataKey(PURPOSE);
  const ciphertext = parseWrappedKey('vault', ours.wrapped).ciphertext.toString();
  const program = join(import.meta.dirname, 'vault-client.py');
  const aad = bindingOf('vault', PURPOSE).toString('base64');
  const args = [program, scene.url, scene.token, scene.roleId, scene.secretId, ciphertext, aad];
  const env = { ...process.env, ...(scene.ca === undefined ? {} : { REQUESTS_CA_BUNDLE: scene.ca }) };
  const { stdout } = await promisify(execFile)(join(bin, 'python'), args, { timeout: 60_000, env });
  const said = JSON.parse(stdout);
  t.ok(Buffer.from(said.opened, 'base64').subarray(0, 32).equals(ours.plaintext));
  t.equal(said.type, 'aes256-gcm96');
  for (const life of [said.ttl, said.lease, said.renewed]) t.ok(life > 3400 && life <= 3600, `${life} s`);
  t.match(said.refusal, /message authentication failed/);
  const wrapped = formatWrappedKey('vault', { reference: 'transit/kek', ciphertext: Buffer.from(said.made) });
  await t.rejects(
    service.unwrapDataKey(wrapped, PURPOSE),
    { code: 'provider_refused', message: /belongs to another token or purpose/ },
    'it opens, and holds no digest of the purpose',
  );
}
