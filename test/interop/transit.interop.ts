// Two clients of Vault, as they come from their registries, run their transit operations against the socket.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { startInstance } from '../e2e/instance.ts';
import { installNpm } from './npm-folder.ts';
import { installPython } from './python-venv.ts';

const run = promisify(execFile);
const LIMIT = { timeout: 120_000 };

t.test('hvac, of PyPI', async (t) => {
  const bin = installPython('hvac==2.4.0');
  const { api } = await startInstance(t);
  const script = join(import.meta.dirname, 'transit-client.py');
  const { stdout } = await run(join(bin, 'python'), [script, api], LIMIT);
  t.match(JSON.parse(stdout), {
    ...{ authenticated: true, sealed: false, opened: 'seventeen camels', batch: ['v1', 'v1', 'v1'] },
    ...{ rewrapped: 'v2', versions: ['2', '3'], refused: /too old/, dataKey: 64, wrapped: false, hmac: true },
    ...{ derived: true, ed25519: true, 'ecdsa-p256': true, 'ecdsa-p384': true, 'rsa-2048': true, jws: true },
    ...{
      random: 24,
      hash: /^ba7816bf/,
      keys: ['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'open', 'rsa-2048', 'tenants'],
      exported: 32,
    },
  });
});

t.test('node-vault, of npm', async (t) => {
  const dir = installNpm('node-vault@0.12.0');
  const { api } = await startInstance(t);
  const script = join(import.meta.dirname, 'transit-client.mjs');
  const { stdout } = await run(process.execPath, [script, join(dir, 'node_modules'), api], LIMIT);
  t.match(JSON.parse(stdout), {
    ...{ sealed: false, rewrapped: 'v2', opened: 'seventeen camels', batch: 2, latest: 2 },
    ...{ refused: [400, 'invalid ciphertext: version is too new'], keys: ['orders'], gone: 404 },
  });
});
