/** What C_GetMechanismList says is done, and nothing else: walk.py on a token as it comes, on a legacy one, and on one of FIPS. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { MODULE, PIN, startInstance, temporaryDirectory } from '../e2e/instance.ts';
import { keeperMechanisms, unusedBy } from './sources.ts';

// Tap's bound is one for the whole file. Each walk takes some 20 seconds.
t.setTimeout(500_000);

const withOption = (option: string) => ({
  edit: (yaml: string) => yaml.replace(/^( *)- label: .*$/m, `$&\n$1  ${option}`),
});

const TOKENS: Readonly<Record<string, Parameters<typeof startInstance>[1]>> = {
  'a token as it comes': {},
  'legacy: true': withOption('legacy: true'),
  'fips: true': withOption('fips: true'),
};

for (const [name, options] of Object.entries(TOKENS))
  t.test(name, { timeout: 160_000 }, async (t) => {
    const { socket } = await startInstance(t, options);
    const trace = join(temporaryDirectory(t), 'trace');
    const env = {
      ...process.env,
      SIDEKEY_TRACE: trace,
      SIDEKEY_SOCKET: socket,
      MODULE,
      PIN,
      PYTHONDONTWRITEBYTECODE: '1',
    };
    const { stdout, stderr, status } = spawnSync('python3', [join(import.meta.dirname, 'walk.py')], {
      env,
      encoding: 'utf8',
      timeout: 150_000,
      maxBuffer: 2 ** 24,
    });
    const points = stdout.split('\n').filter((line) => /^(not )?ok /.test(line));
    t.ok(points.length > 2500, `${points.length} points`);
    t.same(
      points.filter((line) => line.startsWith('not')),
      [],
      'all hold',
    );
    t.equal(status, 0, `${stdout.replace(/^(ok|#).*\n/gm, '')}${stderr}`);
    if (name.startsWith('legacy')) t.same(unusedBy('test/vectors/walk.py', trace, keeperMechanisms()), []);
  });
