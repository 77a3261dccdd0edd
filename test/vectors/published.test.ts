/**
 * Published answers for the mechanisms that are older than the post-quantum ones, on a token with the legacy ones: NIST's CAVP, as the package
 * cryptography-vectors of PyPI has it, and the files of Wycheproof that ../shared/vectors lacks, a module of Go. Two minutes on a quiet machine.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { ofRegistry } from '../apps/registry.ts';
import { MODULE, PIN, startInstance, temporaryDirectory } from '../e2e/instance.ts';
import { findWycheproof } from '../interop/go-vectors.ts';
import { installPython } from '../interop/python-venv.ts';
import { keeperMechanisms, unusedBy } from './sources.ts';

const KNOWN_ANSWERS = 'cryptography-vectors==50.0.2';

function findAnswers(): string {
  const venv = resolve(installPython(KNOWN_ANSWERS), '..');
  const [folder] = globSync(join(venv, 'lib/python3*/site-packages/cryptography_vectors'));
  if (folder === undefined) throw new Error(`${KNOWN_ANSWERS} brought no vectors`);
  return folder;
}

async function run(t: Test, program: string, folder: Record<string, string>, least: number): Promise<void> {
  const edit = (yaml: string) => yaml.replace(/^( *)- label: .*$/m, '$&\n$1  legacy: true');
  const { socket } = await startInstance(t, { edit });
  const trace = join(temporaryDirectory(t), 'trace');
  const env = {
    ...process.env,
    SIDEKEY_TRACE: trace,
    SIDEKEY_SOCKET: socket,
    MODULE,
    PIN,
    ...folder,
    PYTHONDONTWRITEBYTECODE: '1',
  };
  const options = { env, encoding: 'utf8', timeout: 480_000 } as const;
  const { stdout, stderr, status } = spawnSync('python3', [join(import.meta.dirname, program)], options);
  const points = stdout.split('\n').filter((line) => /^(not )?ok /.test(line));
  t.ok(points.length >= least, `${points.length} points`);
  for (const line of points) t.ok(line.startsWith('ok'), line.replace(/^(not )?ok \d+ - /, ''));
  t.equal(status, 0, `${stdout.replace(/^ok.*\n/gm, '')}${stderr}`);
  t.same(unusedBy(`test/vectors/${program}`, trace, keeperMechanisms()), []);
}

t.setTimeout(1_000_000);

t.test("NIST's CAVP, through the module", { timeout: 500_000 }, async (t) => {
  const folder = ofRegistry(t, KNOWN_ANSWERS, findAnswers);
  if (folder !== null) await run(t, 'nist_cavp.py', { VECTORS: folder }, 156);
});

t.test('the rest of Wycheproof, through the module', { timeout: 500_000 }, async (t) => {
  const folder = ofRegistry(t, 'Wycheproof', findWycheproof);
  if (folder !== null) await run(t, 'wycheproof_more.py', { WYCHEPROOF: folder }, 56);
});
