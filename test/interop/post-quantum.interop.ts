/**
 * ML-KEM, ML-DSA, SLH-DSA and EdDSA's variants through the module, by the keeper as it is built for Debian's OpenSSL 3.0, run with a
 * later libcrypto: the one in psycopg's wheel, which other people built and the loader takes for Debian's. Beside published vectors
 * stands @noble/post-quantum, which shares no code with OpenSSL. About a minute on two cores, most of it slow signatures.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { MODULE, PIN, temporaryDirectory, type Instance } from '../e2e/instance.ts';
import { keeperMechanisms, unusedBy } from '../vectors/sources.ts';
import { vectorsPresent } from '../vectors/wycheproof.ts';
import { findAcvpVectors } from './go-vectors.ts';
import { findLibrary, startLater } from './later-openssl.ts';
import { installNpm } from './npm-folder.ts';
import { installPython } from './python-venv.ts';

const VECTORS = resolve(import.meta.dirname, '../../../shared/vectors/wycheproof');
const OTHER = '@noble/post-quantum@0.7.1';
const KNOWN_ANSWERS = 'cryptography-vectors==50.0.2';

function findAnswers(): string {
  const venv = resolve(installPython(KNOWN_ANSWERS), '..');
  const [folder] = globSync(join(venv, 'lib/python3*/site-packages/cryptography_vectors'));
  if (folder === undefined) throw new Error(`${KNOWN_ANSWERS} brought no vectors`);
  return folder;
}

function run(t: Test, { socket }: Instance, program: string, ...args: string[]): void {
  const trace = join(temporaryDirectory(t), 'trace');
  const env = {
    ...process.env,
    SIDEKEY_TRACE: trace,
    ...{ SIDEKEY_SOCKET: socket, MODULE, PIN, VECTORS, LIBCRYPTO: findLibrary(), KATS: findAnswers() },
    ACVP: findAcvpVectors(),
    PYTHONDONTWRITEBYTECODE: '1',
  };
  const { stdout, stderr, status } = spawnSync('python3', [join(import.meta.dirname, program), ...args], {
    env,
    encoding: 'utf8',
    timeout: 500_000,
    maxBuffer: 2 ** 24,
  });
  const points = stdout.split('\n').filter((line) => /^(not )?ok /.test(line));
  t.ok(points.length >= 4, `${program} ran`);
  for (const line of points) t.ok(line.startsWith('ok'), line.replace(/^(not )?ok \d+ - /, ''));
  t.equal(status, 0, `${stdout.replace(/^ok.*\n/gm, '')}${stderr}`);
  t.same(unusedBy(`test/interop/${program}`, trace, keeperMechanisms()), []);
}

t.test('keys, encapsulation, signatures', { timeout: 580_000 }, async (t) => {
  const instance = await startLater(t);
  run(t, instance, '../vectors/later_openssl.py');
  run(t, instance, 'pq_keys.py');
  run(t, instance, 'pq_sign.py');
  const { keeper } = instance.status();
  t.ok(keeper.pid > 0, 'the keeper lives: nothing that OpenSSL does is outside its filter');
});

t.test(
  'known answers, and every mechanism of a list that has all of them',
  { timeout: 580_000 },
  async (t) => {
    const instance = await startLater(t);
    run(t, instance, 'pq_kat.py');
    run(t, instance, '../vectors/walk.py');
  },
);

t.test("NIST's ACVP vectors", { timeout: 580_000 }, async (t) => run(t, await startLater(t), 'pq_acvp.py'));

if (!vectorsPresent) {
  t.comment('../shared/vectors is absent: Wycheproof is not run here (.ci/run demands it)');
  t.pass('nothing to run');
} else {
  t.test('Wycheproof', { timeout: 300_000 }, async (t) => run(t, await startLater(t), 'pq_wycheproof.py'));
}

t.test('another implementation', { timeout: 300_000 }, async (t) => {
  const dir = temporaryDirectory(t);
  const packages = installNpm(OTHER);
  const noble = (verb: string, file: string): string => {
    const script = join(import.meta.dirname, 'noble.mjs');
    const { stdout, stderr, status } = spawnSync(process.execPath, [script, packages, verb, file], {
      encoding: 'utf8',
    });
    t.equal(status, 0, stderr);
    return stdout;
  };
  const [theirs, mine] = [join(dir, 'theirs.json'), join(dir, 'mine.json')];
  noble('make', theirs);
  run(t, await startLater(t), 'pq_other.py', theirs, mine);
  const said = JSON.parse(noble('check', mine)) as Record<string, boolean>;
  t.equal(Object.keys(said).length, 13);
  for (const [name, good] of Object.entries(said)) t.ok(good, `${name}: the other implementation agrees`);
});
