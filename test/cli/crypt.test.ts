/** encrypt and decrypt: the real command against a real instance. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  createWriteStream,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { startInstance, temporaryDirectory, type Instance } from '../e2e/instance.ts';
import { must, run, SIDEKEY } from './command-user.ts';

/** One for the whole file: each test has keys of its own. */
const sidekey = await startInstance(t);

t.test('what is piped in comes back, and only with its associated data', async (t) => {
  t.match(must(t, sidekey, ['keys', 'create', 'orders']).toString(), 'orders: aes256-gcm96');
  t.match(run(sidekey, ['keys', 'create', 'orders']).stderr, /already existed/);
  const message = Buffer.concat([Buffer.from('row'), randomBytes(1000)]);
  const sealed = must(t, sidekey, ['encrypt', 'orders', '--associated-data', 'row 1'], message);
  t.match(sealed.toString(), /^vault:v1:[\w+/=]+\n$/);
  const opened = must(t, sidekey, ['decrypt', 'orders', '--associated-data', 'row 1'], sealed);
  t.ok(opened.equals(message));

  const moved = run(sidekey, ['decrypt', 'orders', '--associated-data', 'row 2'], sealed);
  t.equal(moved.status, 1);
  t.equal(moved.stdout.length, 0);
  t.match(moved.stderr, /request_refused: the agent answered 400: invalid ciphertext/);
  t.match(run(sidekey, ['encrypt', 'none'], 'x').stderr, /encryption key not found/);

  const json = JSON.parse(must(t, sidekey, ['encrypt', 'orders', '--json'], 'hello').toString());
  t.match(json, { ciphertext: /^vault:v1:/, key_version: 1 });
  const back = must(t, sidekey, ['decrypt', 'orders', '--json'], json.ciphertext);
  t.same(JSON.parse(back.toString()), { plaintext: Buffer.from('hello').toString('base64') });
});

t.test('files: new ones are their owner’s alone, and one that cannot be had is named', async (t) => {
  const dir = temporaryDirectory(t);
  const [plain, sealed, opened] = ['plain', 'sealed', 'opened'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  must(t, sidekey, ['keys', 'create', 'files']);
  writeFileSync(plain, randomBytes(8 * 1024 * 1024));
  must(t, sidekey, ['encrypt', 'files', '--in', plain, '--out', sealed]);
  must(t, sidekey, ['decrypt', 'files', '--in', sealed, '--out', opened]);
  t.ok(readFileSync(opened).equals(readFileSync(plain)));
  t.equal(statSync(opened).mode & 0o777, 0o600);
  const missing = run(sidekey, ['encrypt', 'files', '--in', join(dir, 'none')]);
  t.equal(missing.status, 1);
  t.match(missing.stderr, /file_refused: .*none/);
  writeFileSync(plain, Buffer.alloc(26 * 1024 * 1024));
  t.match(run(sidekey, ['encrypt', 'files', '--in', plain]).stderr, /file_refused: .*longer than .*--stream/);
  t.match(run(sidekey, ['encrypt', 'files', '--in', dir]).stderr, new RegExp(`file_refused: ${dir}: EISDIR`));
  const full = spawnSync('sh', ['-c', `"${SIDEKEY}" encrypt files --in "${sealed}" > /dev/full`], {
    env: { SIDEKEY_API: sidekey.api, PATH: process.env['PATH'] },
  });
  t.match(full.stderr.toString(), /^sidekey: file_refused: stdout: ENOSPC[^\n]*\n$/);
  t.equal(full.status, 1);
});

t.test(
  '--stream takes what is too long for one message, and --out holds the whole of it or nothing',
  async (t) => {
    const dir = temporaryDirectory(t);
    const [plain, sealed, opened] = ['plain', 'sealed', 'opened'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ];
    const bound = ['--stream', '--associated-data', 'dump 1'];
    must(t, sidekey, ['keys', 'create', 'long']);
    writeFileSync(plain, randomBytes(26 * 1024 * 1024));
    must(t, sidekey, ['encrypt', 'long', ...bound, '--in', plain, '--out', sealed]);
    must(t, sidekey, ['decrypt', 'long', ...bound, '--in', sealed, '--out', opened]);
    t.ok(readFileSync(opened).equals(readFileSync(plain)));
    t.equal(statSync(opened).mode & 0o777, 0o600);
    t.ok(must(t, sidekey, ['decrypt', 'long', ...bound], readFileSync(sealed)).equals(readFileSync(plain)));

    rmSync(opened);
    const other = run(sidekey, ['decrypt', 'long', '--stream', '--in', sealed, '--out', opened]);
    t.match(other.stderr, /request_refused: the agent (answered 400: invalid|ended the) stream/);
    truncateSync(sealed, 20 * 1024 * 1024);
    const short = run(sidekey, ['decrypt', 'long', ...bound, '--in', sealed, '--out', opened]);
    t.equal(short.status, 1);
    t.match(short.stderr, /request_refused: the agent ended the stream/);
    const toPipe = run(sidekey, ['decrypt', 'long', ...bound, '--in', sealed]);
    t.equal(toPipe.status, 1, 'also when what was verified went to a pipe');
    t.same(readdirSync(dir).sort(), ['plain', 'sealed']);
    t.match(run(sidekey, ['encrypt', 'none', '--stream'], 'x').stderr, /encryption key not found/);
    t.equal(run(sidekey, ['encrypt', 'long', '--stream', '--json'], 'x').status, 2);
    t.match(run(sidekey, ['encrypt', 'long', '--stream', '--in', dir]).stderr, /file_refused: .*directory/);
  },
);

t.test('an interrupted --stream leaves no part of its output behind', async (t) => {
  const dir = temporaryDirectory(t);
  must(t, sidekey, ['keys', 'create', 'cut']);
  const env = { PATH: process.env['PATH'], SIDEKEY_API: sidekey.api };
  const child = spawn(SIDEKEY, ['encrypt', 'cut', '--stream', '--out', join(dir, 'sealed')], { env });
  t.teardown(() => child.kill('SIGKILL'));
  const exited = once(child, 'exit');
  child.stdin.on('error', () => undefined);
  child.stdin.write(Buffer.alloc(1024 * 1024));
  for (const until = Date.now() + 10_000; readdirSync(dir).length === 0 && Date.now() < until;)
    await sleep(20);
  t.equal(readdirSync(dir).length, 1);
  child.kill('SIGINT');
  t.same(await exited, [null, 'SIGINT']);
  t.same(readdirSync(dir), []);
});

/** `command` on a terminal of its own (script(1)); what the terminal saw. */
function onTerminal(instance: Instance, command: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const env = { PATH: process.env['PATH'], SIDEKEY_API: instance.api, SIDEKEY, TERM: 'xterm' };
  execFile('script', ['-qec', command, '/dev/null'], { env, timeout: 60_000 }, (_error, stdout) =>
    resolve(stdout),
  );
  return promise;
}

t.test('a terminal is told how far it is when it takes longer than a second, a pipe never', async (t) => {
  must(t, sidekey, ['keys', 'create', 'slow']);
  const fifo = join(temporaryDirectory(t), 'fifo');
  spawnSync('mkfifo', [fifo]);
  const env = { PATH: process.env['PATH'], SIDEKEY_API: sidekey.api, SIDEKEY, TERM: 'xterm' };
  const screen = spawn('script', ['-qec', `"$SIDEKEY" encrypt slow --in ${fifo}`, '/dev/null'], { env });
  t.teardown(() => screen.kill('SIGKILL'));
  let seen = '';
  const { promise, resolve } = Promise.withResolvers<void>();
  screen.stdout.on('data', (text) => {
    seen += text;
    if (/fifo  4 B  .*B\/s/.test(seen)) resolve();
  });
  // Written to when it is open at the other end, and closed when the terminal has been told: no time is guessed.
  const feed = createWriteStream(fifo);
  feed.write('one\n');
  await promise;
  feed.end('two\n');
  await once(screen, 'close');
  t.match(seen, /\r\u001b\[K[^]*vault:v1:/, 'and its line is taken away');
  const piped = spawn(SIDEKEY, ['encrypt', 'slow'], { env: { SIDEKEY_API: sidekey.api } });
  let said = '';
  piped.stderr.on('data', (text) => (said += text));
  piped.stdin.write('one');
  await sleep(1500);
  piped.stdin.end();
  t.equal(await new Promise((done) => piped.once('close', done)), 0);
  t.equal(said, '');
});

t.test('binary output does not go to a terminal', async (t) => {
  must(t, sidekey, ['keys', 'create', 'binary']);
  const sealed = must(t, sidekey, ['encrypt', 'binary'], '\u001b[2J').toString().trim();
  t.match(await onTerminal(sidekey, `echo ${sealed} | "$SIDEKEY" decrypt binary`), /use --out FILE/);
  const text = must(t, sidekey, ['encrypt', 'binary'], 'plain text').toString().trim();
  t.match(await onTerminal(sidekey, `echo ${text} | "$SIDEKEY" decrypt binary`), /plain text/);
});
