/** sign, verify, mac, random, datakey, keys rotate and destroy: the real command against a real instance. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startInstance, temporaryDirectory } from '../e2e/instance.ts';
import { must, run } from './command-user.ts';

/** One for the whole file: each test has keys of its own. */
const sidekey = await startInstance(t);

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

t.test('a key that is there already stays, and is not taken for one of another type', async (t) => {
  must(t, sidekey, ['keys', 'create', 'once']);
  const again = run(sidekey, ['keys', 'create', 'once']);
  t.match([again.status, again.stderr], [0, /already existed/]);
  const other = run(sidekey, ['keys', 'create', 'once', '--type', 'ed25519']);
  t.match([other.status, other.stderr], [1, /key once already exists, with type aes256-gcm96/]);
  t.match(
    must(t, sidekey, ['keys', 'create', 'once', '--type', 'aes256-gcm96']).toString(),
    'once: aes256-gcm96',
  );
});

t.test('a key is rotated, and destroyed when that is meant', async (t) => {
  must(t, sidekey, ['keys', 'create', 'turning', '--derived']);
  const old = must(t, sidekey, ['encrypt', 'turning', '--context', 'a'], 'old');
  t.match(must(t, sidekey, ['keys', 'rotate', 'turning']).toString(), 'turning: version 2');
  t.match(must(t, sidekey, ['encrypt', 'turning', '--context', 'a'], 'new').toString(), /^vault:v2:/);
  t.equal(must(t, sidekey, ['decrypt', 'turning', '--context', 'a'], old).toString(), 'old');
  t.equal(run(sidekey, ['decrypt', 'turning', '--context', 'b'], old).status, 1);
  t.match(run(sidekey, ['keys', 'destroy', 'turning']).stderr, /confirm with --yes/);
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
