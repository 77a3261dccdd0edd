/** Mechanisms whose parameters hold pointers, by a C-like program: ciphers.py and its sisters are run on one instance each. */
import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import t from 'tap';
import { MODULE, PIN, startInstance, temporaryDirectory } from '../e2e/instance.ts';
import { keeperMechanisms, unusedBy } from './sources.ts';
import { vectorsPresent } from './wycheproof.ts';

const VECTORS = resolve(import.meta.dirname, '../../../shared/vectors/wycheproof');

// Tap's bound is one for the whole file, which waits for all of them in turn.
t.setTimeout(400_000);

const LEGACY = { edit: (yaml: string) => yaml.replace(/^( *)- label: .*$/m, '$&\n$1  legacy: true') };

const PROGRAMS: Readonly<Record<string, Parameters<typeof startInstance>[1]>> = {
  'ciphers.py': {},
  'conformance.py': {},
  'derivations.py': {},
  'des.py': LEGACY,
  'functions.py': {},
  'ike.py': {},
  'kbkdf.py': {},
  'known.py': LEGACY,
  'legacy.py': LEGACY,
  'logouts.py': {},
  'macs.py': {},
  'messages.py': {},
  'objects.py': {},
  'later_openssl.py': {},
  'prime_field.py': LEGACY,
  'profiles.py': {},
  'secrets.py': LEGACY,
  'tls.py': {},
  'wraps.py': {},
};

for (const [program, options] of Object.entries(PROGRAMS))
  t.test(program, { timeout: 120_000 }, async (t) => {
    const { socket } = await startInstance(t, options);
    const trace = join(temporaryDirectory(t), 'trace');
    const env = {
      ...process.env,
      SIDEKEY_TRACE: trace,
      SIDEKEY_SOCKET: socket,
      MODULE,
      PIN,
      VECTORS,
      PYTHONDONTWRITEBYTECODE: '1',
    };
    const { stdout, stderr, status } = spawnSync('python3', [join(import.meta.dirname, program)], {
      env,
      encoding: 'utf8',
      timeout: 110_000,
    });
    const points = stdout.split('\n').filter((line) => /^(not )?ok /.test(line));
    t.ok(points.length > 1, 'it ran');
    for (const line of points) t.ok(line.startsWith('ok'), line.replace(/^(not )?ok \d+ - /, ''));
    t.equal(status, 0, `${stdout.replace(/^ok.*\n/gm, '')}${stderr}`);
    if (vectorsPresent)
      t.same(
        unusedBy(`test/vectors/${program}`, trace, keeperMechanisms()),
        [],
        'docs/mechanisms.md tells the truth of it',
      );
  });
