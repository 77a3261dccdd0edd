/** Mechanisms whose parameters hold pointers, by a C-like program: ciphers.py and its sisters are run on one instance each. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { MODULE, PIN, ROOT, startInstance, temporaryDirectory } from '../e2e/instance.ts';
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

/** What each function answered to the programs, as the module's own trace has it. */
const answers = new Map<string, Set<string>>();

function noteAnswers(trace: string): void {
  for (const line of readFileSync(trace, 'utf8').split('\n')) {
    const [, name, answer] = /\b(C_\w+) .*\b(CKR_\w+)$/.exec(line) ?? [];
    if (name !== undefined && answer !== undefined)
      answers.set(name, (answers.get(name) ?? new Set()).add(answer));
  }
}

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
    noteAnswers(trace);
    if (vectorsPresent)
      t.same(
        unusedBy(`test/vectors/${program}`, trace, keeperMechanisms()),
        [],
        'docs/mechanisms.md tells the truth of it',
      );
  });

/** module-exports.test.ts and slot-event.test.ts have these. */
const ELSEWHERE = /^C_(GetFunctionList|GetInterface|GetInterfaceList|WaitForSlotEvent)$/;
/** PKCS#11 3.2; of those that make or open keys most want a later OpenSSL. */
const LATER = /^C_(Encapsulate|Decapsulate|VerifySignature|Async|GetSessionValidationFlags)|Authenticated$/;
const WORK: Readonly<Record<string, string>> = {
  C_GetFunctionStatus: 'CKR_FUNCTION_NOT_PARALLEL',
  C_CancelFunction: 'CKR_FUNCTION_NOT_PARALLEL',
};

t.test('every function of PKCS#11 3.1 was called by these programs, and did its work', (t) => {
  const table = readFileSync(join(ROOT, 'native-shim/module/interface.c'), 'utf8');
  const names = [...table.matchAll(/\.(C_\w+) = C_\w+/g)].map(([, name = '']) => name);
  const asked = names.filter((each) => !ELSEWHERE.test(each) && !LATER.test(each));
  t.equal(asked.length, 88);
  for (const name of asked)
    t.ok(answers.get(name)?.has(WORK[name] ?? 'CKR_OK'), `${name}: ${[...(answers.get(name) ?? [])]}`);
  t.end();
});
