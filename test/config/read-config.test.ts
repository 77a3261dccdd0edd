import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { editDistance, nearestMatch } from '../../src/config/nearest-match.ts';
import { formatProblem, parseConfig } from '../../src/config/read-config.ts';
import { checkReload } from '../../src/config/reload.ts';
import { parseDuration } from '../../src/config/units.ts';

const EXAMPLE = resolve(import.meta.dirname, '../../docs/sidekey.example.yaml');
const example = readFileSync(EXAMPLE, 'utf8');

const GOOD = `version: 1
tokens:
  - label: demo
    provider: local
    allow:
      - uid: 0
providers:
  local:
    kind: embedded
    key-file: store/kek
store:
  path: store/sidekey.db
sockets:
  control: store/control.sock
keeper:
  start: true
audit:
  path: store/audit.log
`;

function problemsOf(text: string): string[] {
  return parseConfig('/etc/s.yaml', text).problems.map((problem) => formatProblem('s.yaml', problem));
}

/** One replacement in a good file, and what is said about it. */
const REFUSED: readonly (readonly [what: string, from: string, to: string, said: RegExp])[] = [
  [
    'an unknown key',
    'label:',
    'lable:',
    /^s\.yaml:3:5: tokens\[0\]\.lable: unknown key; did you mean "label"\?$/m,
  ],
  [
    'an unknown key that is near nothing',
    'version: 1',
    'version: 1\nzzzzzz: 1',
    /^s\.yaml:2:1: zzzzzz: unknown key$/m,
  ],
  ['an unknown key of a provider', 'key-file', 'keyfile', /^s\.yaml:10:5: .*did you mean "key-file"\?$/m],
  ['a missing key', '    provider: local\n', '', /^s\.yaml:3:5: tokens\[0\]\.provider: is missing$/m],
  [
    'a name that makes the key_id of KMS v2 too long',
    'version: 1',
    `version: 1\nkms: { socket: kms.sock, key: ${'\u4e2d'.repeat(100)} }`,
    /kms\.key: a key_id of Kubernetes has at most 1 KiB/,
  ],
  ['another version', 'version: 1', 'version: 2', /^s\.yaml:1:1: version: version is 1$/m],
  [
    'a provider that is not there',
    'provider: local',
    'provider: locl',
    /no provider "locl"; did you mean "local"\?/,
  ],
  [
    'a provider by a name that every object has',
    'provider: local',
    'provider: constructor',
    /no provider "constructor"$/m,
  ],
  [
    'two envelopes under one provider',
    '    provider: local\n',
    '    provider: local\n    envelope: { key: a }\n  - label: other\n    provider: local\n    envelope: { key: b }\n',
    /tokens\[1\]\.envelope: another token already uses the envelopes of provider "local"/,
  ],
  [
    'a size without its unit',
    'keeper:',
    'limits: { body: 1000 }\nkeeper:',
    /limits\.body: expected a size from .* with its unit/,
  ],
  ['a size over its bound', 'keeper:', 'limits: { body: 33MiB }\nkeeper:', /limits\.body: .*1KiB to 32MiB/],
  ['a bound of none', 'keeper:', 'limits: { in-flight: 0 }\nkeeper:', /limits\.in-flight: /],
  [
    'resident keys of the embedded store',
    '    provider: local\n',
    '    provider: local\n    resident: { create: true }\n',
    /^s\.yaml:5:5: tokens\[0\]\.resident: the embedded key store has no resident keys/m,
  ],
  [
    'two tokens of one label',
    'providers:',
    '  - { label: demo, provider: local }\nproviders:',
    /s\.yaml:7:.*another token/,
  ],
  [
    'a user that is not there',
    'uid: 0',
    'user: nobody-such',
    /s\.yaml:6:9: .*this host has no user "nobody-such"/,
  ],
  ['a group that is not there', 'uid: 0', 'group: nobody-such', /this host has no group "nobody-such"/],
  ['an empty rule', 'uid: 0', '{}', /at least one condition/],
  ['any with a condition', 'uid: 0', '{ any: true, uid: 0 }', /"any" cannot be combined/],
  ['a uid that is none', 'uid: 0', 'uid: -1', /tokens\[0\]\.allow\[0\]\.uid/],
  ['a relative executable', 'uid: 0', 'executable: bin/x', /an absolute path/],
  [
    'a duration without a unit',
    'provider: local',
    'provider: local\n    cache: { any: 5 }',
    /expected a duration with its unit/,
  ],
  ['a mode without quotes', '  control:', '  api-mode: 0600\n  control:', /must be in quotes/],
  ['a mode that executes', '  control:', '  api-mode: "0700"\n  control:', /a socket's mode/],
  [
    'a mode that cannot be honoured',
    '  control: store/control.sock\nkeeper:\n  start: true',
    '  control: store/control.sock\n  pkcs11-mode: "0666"\nkeeper:\n  start: false',
    /pkcs11-mode: has no effect/,
  ],
  ['a socket whose path is too long', 'store/control.sock', `${'x'.repeat(110)}`, /at most 107 bytes/],
  [
    'two sources of a passphrase',
    'key-file: store/kek',
    'key-file: k\n    passphrase-file: p\n    systemd-credential: c',
    /one place/,
  ],
  ['a label that is too long', 'label: demo', `label: ${'x'.repeat(33)}`, /at most 32 bytes/],
  ['the same key twice', 'version: 1', 'version: 1\nversion: 1', /s\.yaml:2:1: .*unique/],
  ['what is no YAML', 'version: 1', 'version: [', /s\.yaml:\d+:\d+: /],
];

for (const [what, from, to, said] of REFUSED) {
  t.test(`${what} is refused`, async (t) => {
    t.ok(GOOD.includes(from));
    t.match(problemsOf(GOOD.replace(from, to)).join('\n'), said);
  });
}

t.test('every error is told at once, in the order of the file', async (t) => {
  const problems = problemsOf(
    GOOD.replace('label', 'lable').replace('kind: embedded', 'kind: aws').concat('logs: {}\n'),
  );
  t.equal(problems.length, 4);
  t.match(problems.at(-1), /^s\.yaml:19:1: logs: unknown key; did you mean "log"\?$/);
});

t.test('defaults are filled in, and paths are relative to the file', async (t) => {
  t.match(parseConfig('/etc/s.yaml', GOOD).config, {
    tokens: [{ label: 'demo', login: 'pin', cache: { anyMs: 300_000, unusedMs: 600_000, uses: 0 } }],
    createTokens: false,
    providers: { local: { keyFile: '/etc/store/kek', passphraseFile: null } },
    sockets: {
      pkcs11: '/etc/pkcs11.sock',
      pkcs11Mode: 0o600,
      apiMode: 0o600,
      control: '/etc/store/control.sock',
    },
    keeper: { start: true, path: null },
    log: { level: 'info' },
  });
});

t.test('the documented example has no errors and names every key', async (t) => {
  t.strictSame(problemsOf(example), []);
  const keys = [
    'create-tokens',
    'passphrase-file',
    'systemd-credential',
    'pkcs11-mode',
    'api-mode',
    'executable',
    'unit',
  ];
  for (const key of [...keys, 'any:', 'unused', 'uses', 'login', 'path', 'level', 'start'])
    t.match(example, key);
});

t.test('a reload that needs a restart is refused', async (t) => {
  const [before, wider, moved] = [
    GOOD,
    GOOD.replace('uid: 0', 'any: true'),
    GOOD.replace('sidekey.db', 'other.db'),
  ];
  const load = (text: string) => {
    const { config } = parseConfig('/etc/s.yaml', text);
    if (!config) throw new Error('the test has a mistake');
    return config;
  };
  t.doesNotThrow(() => checkReload(load(before), load(wider)));
  t.throws(() => checkReload(load(before), load(moved)), {
    code: 'config_invalid',
    message: /"store" changed/,
  });
});

t.test('the nearest match', async (t) => {
  t.equal(editDistance('kitten', 'sitting'), 3);
  t.equal(nearestMatch('Lable', ['label', 'provider']), 'label');
  t.equal(nearestMatch('x'.repeat(200), ['label']), null);
});

t.test('durations', async (t) => {
  t.equal(parseDuration('5m'), 300_000);
  for (const text of ['5', 'm', '-5m', '5 m', '1.5h', '367d', '999999999999s'])
    t.equal(parseDuration(text), null, text);
});
