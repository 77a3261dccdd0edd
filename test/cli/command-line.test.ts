import { spawnSync } from 'node:child_process';
import {
  chownSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { parseLockedLimit } from '../../src/cli/doctor/checks.ts';
import { parseWho } from '../../src/cli/instance-files.ts';
import { formatTable } from '../../src/cli/table.ts';
import { loadConfig } from '../../src/config/read-config.ts';

const SIDEKEY = resolve(import.meta.dirname, '../../bin/sidekey');
const PINS = ['--token', 'demo', '--pin', '123456', '--so-pin', '12345678'];

function sidekey(...args: string[]) {
  return spawnSync(SIDEKEY, args, {
    encoding: 'utf8',
    timeout: 20_000,
    env: {},
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'sidekey-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return path;
}

const mode = (path: string) => statSync(path).mode & 0o777;

for (const [args, status, said] of [
  [[], 2, /Usage: sidekey COMMAND/],
  [['stauts'], 2, /usage: no command "stauts"; did you mean "status"\?/],
  [['audit'], 2, /audit tail, audit verify/],
  [['status', '--jsn'], 2, /usage: status: no option --jsn; did you mean --json\?/],
  [['key'], 2, /no command "key"; did you mean "keys"\?/],
  [['audit', 'verfy'], 2, /no command "audit verfy"; did you mean "audit verify"\?/],
  [['status', 'extra'], 2, /usage: status: unexpected argument "extra"; see `sidekey status --help`/],
  [['encrypt'], 2, /usage: encrypt: KEY is missing; see `sidekey encrypt --help`/],
  [['status', '--wait', '10'], 1, /config_unreadable/],
  [['keys', 'show', 'demo', 'one', '--config', '/nowhere'], 2, /HANDLE must be a number/],
  [['status', '--config', '/nowhere/sidekey.yaml'], 1, /config_unreadable: .*\/nowhere\/sidekey.yaml/],
  [['init'], 2, /--dir is missing/],
  [['init', '--dir', '/nowhere/x', '--allow', 'everybody'], 2, /--allow takes uid:N/],
  [
    ['init', '--dir', '/nowhere/x', '--token', 'demo'],
    1,
    /init_refused: creating a token requires --pin-file/,
  ],
] as const) {
  t.test(`sidekey ${args.join(' ')} exits ${status}`, async (t) => {
    const result = sidekey(...args);
    t.equal(result.status, status);
    t.match(result.stderr, said);
    t.equal(result.stdout, '');
  });
}

t.test('a command of one word and one of two have their help', async (t) => {
  for (const name of ['status', 'keys create']) {
    const { status, stdout } = sidekey(...name.split(' '), '--help');
    t.equal(status, 0);
    t.match(stdout, `Usage: sidekey ${name}`);
    t.match(stdout, 'Exit codes: 0');
  }
  t.match(sidekey('init', '--help').stdout, /visible to every user/);
});

t.test('init makes an instance for the caller alone', async (t) => {
  const dir = join(folder(t), 'instance');
  const { status, stderr, stdout } = sidekey('init', '--dir', dir, ...PINS);
  t.equal(status, 0, stderr);
  t.match(stdout, join(dir, 'sidekey.yaml'));
  t.strictSame(
    [dir, join(dir, 'sidekey.yaml'), join(dir, 'store'), join(dir, 'store/kek')].map(mode),
    [0o700, 0o600, 0o700, 0o600],
  );
  t.match(loadConfig(join(dir, 'sidekey.yaml')), {
    tokens: [{ label: 'demo', allow: [{ uid: process.geteuid?.() }] }],
    sockets: {
      pkcs11: join(dir, 'pkcs11.sock'),
      api: join(dir, 'api.sock'),
      pkcs11Mode: 0o600,
      apiMode: 0o600,
    },
  });
  const everything = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  for (const { parentPath, name } of everything) {
    const bytes = readFileSync(join(parentPath, name));
    t.notOk(bytes.includes('123456'), `no PIN in ${name}`);
  }
  t.equal(sidekey('audit', 'verify', '--config', join(dir, 'sidekey.yaml')).status, 0);
  t.equal(sidekey('status', '--config', join(dir, 'sidekey.yaml')).status, 3, 'and nothing runs');
});

t.test('init overwrites nothing', async (t) => {
  const dir = folder(t);
  writeFileSync(join(dir, 'sidekey.yaml'), 'mine');
  const { status, stderr } = sidekey('init', '--dir', dir, ...PINS);
  t.equal(status, 1);
  t.match(stderr, /init_refused: .*already exists/);
  t.equal(readFileSync(join(dir, 'sidekey.yaml'), 'utf8'), 'mine');
  t.strictSame(readdirSync(dir), ['sidekey.yaml']);
});

const notRoot = process.getuid?.() !== 0 && 'only root can give a directory away';

t.test('init puts nothing into the directory of another user', { skip: notRoot }, async (t) => {
  const dir = folder(t);
  chownSync(dir, 65534, 65534);
  const { status, stderr } = sidekey('init', '--dir', dir, ...PINS);
  t.equal(status, 1);
  t.match(stderr, /init_refused: .*belongs to uid 65534/);
  t.strictSame(readdirSync(dir), []);
});

t.test('init that fails leaves nothing behind', async (t) => {
  const dir = join(folder(t), 'instance');
  const { status, stderr } = sidekey(
    'init',
    '--dir',
    dir,
    '--token',
    'demo',
    '--pin',
    '1',
    '--so-pin',
    '12345678',
  );
  t.equal(status, 1);
  t.match(stderr, /pin_len_range/);
  t.strictSame(readdirSync(dir), []);
});

t.test('when others are admitted they may enter and connect, and it says so', async (t) => {
  const dir = join(folder(t), 'instance');
  mkdirSync(dir, { mode: 0o700 });
  const { status, stderr } = sidekey(
    'init',
    '--dir',
    dir,
    ...PINS,
    '--allow',
    'uid:12345',
    '--allow',
    'group:root',
  );
  t.equal(status, 0, stderr);
  t.match(stderr, /now has mode 0711/);
  t.equal(mode(dir), 0o711);
  t.match(loadConfig(join(dir, 'sidekey.yaml')), {
    tokens: [{ allow: [{ uid: 12345 }, { gid: 0 }] }],
    sockets: { pkcs11Mode: 0o666, apiMode: 0o666 },
  });
});

t.test('PINs come from files that nobody else reads', async (t) => {
  const parent = folder(t);
  const pin = join(parent, 'pin');
  writeFileSync(pin, '123456\n', { mode: 0o644 });
  const run = () => sidekey('init', '--dir', join(parent, 'i'), '--token', 'demo', '--pin-file', pin);
  t.match(run().stderr, /init_refused: .*chmod 600/);
  chmodSync(pin, 0o600);
  const { status, stderr } = run();
  t.equal(status, 0, stderr);
  t.match(stderr, /no SO PIN/);
});

t.test('config check tells every error', async (t) => {
  const file = join(folder(t), 's.yaml');
  writeFileSync(file, 'version: 1\nlogs: {}\nsoket: 1\n');
  const { status, stderr } = sidekey('config', 'check', file);
  t.equal(status, 1);
  t.match(stderr, `${file}:2:1: logs: unknown key; did you mean "log"?`);
  t.match(stderr, `${file}:3:1: soket: unknown key`);
});

t.test('who', async (t) => {
  t.same(parseWho('uid:5'), { uid: 5 });
  t.same(parseWho('any'), { any: true });
  for (const text of ['uid:x', 'uid:', 'root', 'exe:/bin/sh'])
    t.throws(() => parseWho(text), { code: 'usage' });
});

t.test('a table does what a terminal must not: nothing', async (t) => {
  t.same(formatTable(['A', 'BB'], [['one', 'x\u001b[2Jy']]), ['A    BB', 'one  x\uFFFD[2Jy']);
});

t.test('the limit of locked memory is read', async (t) => {
  t.equal(
    parseLockedLimit('Max locked memory         65536                65536                bytes'),
    65536,
  );
  t.equal(
    parseLockedLimit('Max locked memory         unlimited            unlimited            bytes'),
    null,
  );
});
