/** encrypt, decrypt, sign, verify, mac, random: the real command against a real instance. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { ROOT, startInstance, temporaryDirectory, type Instance } from '../e2e/instance.ts';

const SIDEKEY = join(ROOT, 'bin/sidekey');

/** One for the whole file: each test has keys of its own. */
const sidekey = await startInstance(t);

/** With the API socket in the environment alone: a user of keys need not read the configuration. */
function run(instance: Instance, args: readonly string[], input: string | Buffer = '') {
  const result = spawnSync(SIDEKEY, args, {
    input,
    timeout: 60_000,
    env: { SIDEKEY_API: instance.api },
    maxBuffer: 64 * 1024 * 1024,
  });
  return { status: result.status, stdout: result.stdout, stderr: result.stderr.toString('utf8') };
}

function must(t: Test, instance: Instance, args: readonly string[], input: string | Buffer = ''): Buffer {
  const { status, stdout, stderr } = run(instance, args, input);
  t.equal(status, 0, `${args.join(' ')}: ${stderr}`);
  return stdout;
}

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
  t.match(run(sidekey, ['encrypt', 'files', '--in', plain]).stderr, /file_refused: .*longer than/);
});

t.test(
  'signatures verify here and with openssl, also of a message that is longer than a request',
  async (t) => {
    const dir = temporaryDirectory(t);
    const [message, signature, publicKey] = ['message', 'signature', 'public.pem'].map((name) =>
      join(dir, name),
    ) as [string, string, string];
    must(t, sidekey, ['keys', 'create', 'release', '--type', 'ecdsa-p256']);
    writeFileSync(message, randomBytes(26 * 1024 * 1024));
    must(t, sidekey, ['sign', 'release', '--in', message, '--out', signature, '--raw']);
    must(t, sidekey, ['keys', 'export-public', 'release', '--out', publicKey]);
    const openssl = spawnSync(
      'openssl',
      ['dgst', '-sha256', '-verify', publicKey, '-signature', signature, message],
      { encoding: 'utf8' },
    );
    t.match(openssl.stdout, 'Verified OK');
    t.equal(
      must(t, sidekey, ['verify', 'release', '--signature', signature, '--in', message]).toString(),
      'valid\n',
    );
    const wrong = run(sidekey, ['verify', 'release', '--signature', signature, '--json'], 'another message');
    t.equal(wrong.status, 1);
    t.same(JSON.parse(wrong.stdout.toString()), { valid: false });
  },
);

t.test('Ed25519, PKCS #1 and HMAC', async (t) => {
  const file = join(temporaryDirectory(t), 'proof');
  for (const [type, make, check, options] of [
    ['ed25519', 'sign', '--signature', []],
    ['rsa-2048', 'sign', '--signature', ['--padding', 'pkcs1v15', '--hash', 'sha2-512']],
    ['hmac', 'mac', '--mac', ['--hash', 'sha2-384']],
  ] as const) {
    must(t, sidekey, ['keys', 'create', type, '--type', type]);
    must(t, sidekey, [make, type, ...options, '--out', file], 'signed');
    t.match(readFileSync(file, 'utf8'), /^vault:v1:/);
    const verify = ['verify', type, check, file, ...options];
    t.equal(must(t, sidekey, verify, 'signed').toString(), 'valid\n');
    t.equal(run(sidekey, verify, 'changed').stdout.toString(), 'invalid\n');
  }
  t.match(run(sidekey, ['verify', 'hmac'], 'x').stderr, /either --signature or --mac/);
  t.match(run(sidekey, ['keys', 'export-public', 'hmac']).stderr, /no public half/);
  t.match(must(t, sidekey, ['keys', 'export-public', 'ed25519']).toString(), /^-----BEGIN PUBLIC KEY/);
});

t.test('a key is rotated, and destroyed when that is meant', async (t) => {
  must(t, sidekey, ['keys', 'create', 'turning', '--derived']);
  const old = must(t, sidekey, ['encrypt', 'turning', '--context', 'a'], 'old');
  t.match(must(t, sidekey, ['keys', 'rotate', 'turning']).toString(), 'turning: version 2');
  t.match(must(t, sidekey, ['encrypt', 'turning', '--context', 'a'], 'new').toString(), /^vault:v2:/);
  t.equal(must(t, sidekey, ['decrypt', 'turning', '--context', 'a'], old).toString(), 'old');
  t.equal(run(sidekey, ['decrypt', 'turning', '--context', 'b'], old).status, 1);
  t.match(run(sidekey, ['keys', 'destroy', 'turning']).stderr, /say --yes/);
  must(t, sidekey, ['keys', 'destroy', 'turning', '--yes']);
  t.match(run(sidekey, ['decrypt', 'turning', '--context', 'a'], old).stderr, /key not found/);
});

t.test('a data key lies in a file of its own, and is what decrypt gives again', async (t) => {
  const file = join(temporaryDirectory(t), 'data.key');
  must(t, sidekey, ['keys', 'create', 'wrapping']);
  const wrapped = must(t, sidekey, ['datakey', 'wrapping', '--bits', '128', '--plaintext', file]);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.equal(readFileSync(file).length, 16);
  t.ok(must(t, sidekey, ['decrypt', 'wrapping'], wrapped).equals(readFileSync(file)));
  t.match(run(sidekey, ['datakey', 'wrapping', '--plaintext', file]).stderr, /file_refused: .*EEXIST/);
  t.equal(must(t, sidekey, ['decrypt', 'wrapping'], must(t, sidekey, ['datakey', 'wrapping'])).length, 32);
});

t.test('random bytes are as many as asked for, and differ', async (t) => {
  const [one, two] = [0, 1].map(() => must(t, sidekey, ['random', '24', '--format', 'hex']).toString());
  t.match(one, /^[0-9a-f]{48}\n$/);
  t.not(one, two);
  t.equal(must(t, sidekey, ['random', '100', '--format', 'raw']).length, 100);
  t.equal(run(sidekey, ['random', '0']).status, 2);
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
  const slow = '(echo one; sleep 2; echo two) | "$SIDEKEY" encrypt slow';
  t.match(await onTerminal(sidekey, slow), /stdin  \d+ B  .*B\/s[^]*vault:v1:/);
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
  t.match(await onTerminal(sidekey, `echo ${sealed} | "$SIDEKEY" decrypt binary`), /name a file by --out/);
  const text = must(t, sidekey, ['encrypt', 'binary'], 'plain text').toString().trim();
  t.match(await onTerminal(sidekey, `echo ${text} | "$SIDEKEY" decrypt binary`), /plain text/);
});
