/** NIST's answers for the mechanisms that are older than the post-quantum ones, as the package cryptography-vectors has them, on a token with the legacy ones. */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { MODULE, PIN, startInstance } from '../e2e/instance.ts';
import { installPython } from './python-venv.ts';

const KNOWN_ANSWERS = 'cryptography-vectors==50.0.2';

function findAnswers(): string {
  const venv = resolve(installPython(KNOWN_ANSWERS), '..');
  const [folder] = globSync(join(venv, 'lib/python3*/site-packages/cryptography_vectors'));
  if (folder === undefined) throw new Error(`${KNOWN_ANSWERS} brought no vectors`);
  return folder;
}

t.test("NIST's CAVP, through the module", { timeout: 500_000 }, async (t) => {
  const edit = (yaml: string) => yaml.replace(/^( *)- label: .*$/m, '$&\n$1  legacy: true');
  const { socket } = await startInstance(t, { edit });
  const env = { ...process.env, SIDEKEY_SOCKET: socket, MODULE, PIN, VECTORS: findAnswers() };
  const { stdout, stderr, status } = spawnSync('python3', [join(import.meta.dirname, 'nist_cavp.py')], {
    env: { ...env, PYTHONDONTWRITEBYTECODE: '1' },
    encoding: 'utf8',
    timeout: 480_000,
  });
  const points = stdout.split('\n').filter((line) => /^(not )?ok /.test(line));
  t.ok(points.length > 100, `${points.length} mechanisms, curves and hashes`);
  for (const line of points) t.ok(line.startsWith('ok'), line.replace(/^(not )?ok \d+ - /, ''));
  t.equal(status, 0, `${stdout.replace(/^ok.*\n/gm, '')}${stderr}`);
});
