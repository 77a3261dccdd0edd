// Tink (PyPI) and Sidekey open each other's envelopes under one KEK.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { readKek } from '../../src/providers/embedded/embedded-provider.ts';
import { startInstance, type Instance } from '../e2e/instance.ts';
import { transitClient } from '../e2e/transit-client.ts';
import { installPython } from './python-venv.ts';

const ENVELOPE = `    envelope: { key: outside }
`;
const AAD = 'order 17';

async function kekOf({ dir }: Instance): Promise<string> {
  const keyFile = join(dir, 'store/kek');
  const none = { passphraseFile: null, systemdCredential: null };
  return (await readKek({ keyFile, ...none, ownUid: process.getuid?.() ?? 0 })).toString('hex');
}

t.test('Tink decrypts an envelope made here, and Sidekey those made by Tink', async (t) => {
  const bin = installPython('tink==1.16.1');
  const sidekey = await startInstance(t, {
    edit: (yaml) => yaml.replace(/^( +- label: .*\n)/m, `$1${ENVELOPE}`),
  });
  const ask = transitClient(sidekey);
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const associated_data = base64(AAD);
  const made = await ask('POST', '/transit/encrypt/outside', {
    plaintext: base64('of Sidekey'),
    associated_data,
  });
  t.equal(made.status, 200, JSON.stringify(made.body));
  const message = String(made.data['ciphertext']).replace('vault:v1:', '');
  const input = JSON.stringify({ kek: await kekOf(sidekey), message, aad: AAD });
  const script = join(import.meta.dirname, 'tink-envelope.py');
  const run = spawnSync(join(bin, 'python'), [script], { input, encoding: 'utf8', timeout: 60_000 });
  t.equal(run.status, 0, run.stderr);
  const said = JSON.parse(run.stdout);
  t.match(said, { opened: 'of Sidekey', refused: true });
  for (const sealed of said.sealed as string[]) {
    const ciphertext = `vault:v1:${sealed}`;
    const opened = await ask('POST', '/transit/decrypt/outside', { ciphertext, associated_data });
    t.match(opened, { status: 200, data: { plaintext: base64('of Tink') } });
    t.equal((await ask('POST', '/transit/decrypt/outside', { ciphertext })).status, 400, 'other data');
  }
});
