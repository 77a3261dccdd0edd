import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import t, { type Test } from 'tap';
import { PIN, startInstance, temporaryDirectory, type Instance } from './instance.ts';

const LOGIN = ['--login', '--pin', PIN];

function must(t: Test, instance: Instance, ...args: string[]): string {
  const { status, stdout, stderr } = instance.pkcs11Tool(...args);
  t.equal(status, 0, `pkcs11-tool ${args.join(' ')}\n${stdout}${stderr}`);
  return stdout + stderr;
}

t.test('pkcs11-tool sees the token and makes every kind of key', async (t) => {
  const sidekey = await startInstance(t);
  t.match(must(t, sidekey, '--list-token-slots'), /token label\s+: test\n/);
  for (const type of ['AES:16', 'AES:32', 'GENERIC:64']) {
    must(t, sidekey, ...LOGIN, '--keygen', '--private', '--key-type', type, '--label', `secret ${type}`);
  }
  for (const type of [
    'rsa:2048',
    'EC:prime256v1',
    'EC:secp384r1',
    'EC:secp521r1',
    'EC:edwards25519',
    'EC:curve25519',
  ]) {
    must(t, sidekey, ...LOGIN, '--keypairgen', '--key-type', type, '--label', `pair ${type}`, '--id', '01');
  }
  const objects = must(t, sidekey, ...LOGIN, '--list-objects');
  t.equal(objects.match(/^Secret Key Object/gm)?.length, 3);
  t.equal(objects.match(/^Private Key Object/gm)?.length, 6);
  t.equal(objects.match(/^Public Key Object/gm)?.length, 6);
  const stranger = must(t, sidekey, '--list-objects');
  t.notMatch(stranger, /Private Key Object|Secret Key Object/, 'private objects need a login');
});

t.test('pkcs11-tool --test finds no error', async (t) => {
  const sidekey = await startInstance(t);
  must(t, sidekey, ...LOGIN, '--keypairgen', '--key-type', 'rsa:2048', '--label', 'rsa', '--id', '01');
  must(t, sidekey, ...LOGIN, '--keypairgen', '--key-type', 'EC:prime256v1', '--label', 'ec', '--id', '02');
  const output = must(t, sidekey, ...LOGIN, '--test');
  t.match(output, /No errors/);
  t.notMatch(output, /ERR:|failed/i);
});

t.test('a signature made by the token verifies without it', async (t) => {
  const sidekey = await startInstance(t);
  const dir = temporaryDirectory(t);
  const [data, signature, der] = ['data', 'signature', 'public.der'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(data, 'signed through the token');
  must(
    t,
    sidekey,
    ...LOGIN,
    '--keypairgen',
    '--key-type',
    'EC:prime256v1',
    '--label',
    'signer',
    '--id',
    '07',
  );
  must(
    t,
    sidekey,
    ...LOGIN,
    '--sign',
    '--mechanism',
    'ECDSA-SHA256',
    '--id',
    '07',
    '--signature-format',
    'openssl',
    '--input-file',
    data,
    '--output-file',
    signature,
  );
  must(t, sidekey, '--read-object', '--type', 'pubkey', '--id', '07', '--output-file', der);
  const verify = spawnSync(
    'openssl',
    ['dgst', '-sha256', '-verify', der, '-keyform', 'DER', '-signature', signature, data],
    { encoding: 'utf8' },
  );
  t.match(verify.stdout, /Verified OK/);
  writeFileSync(data, 'signed through the tokem');
  const forged = spawnSync(
    'openssl',
    ['dgst', '-sha256', '-verify', der, '-keyform', 'DER', '-signature', signature, data],
    { encoding: 'utf8' },
  );
  t.match(forged.stdout + forged.stderr, /Verification failure/i);
});

t.test('what one key encrypted, another program decrypts with the key that was imported', async (t) => {
  const sidekey = await startInstance(t);
  const dir = temporaryDirectory(t);
  const [key, plain, cipher] = ['key', 'plain', 'cipher'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(key, Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex'));
  writeFileSync(plain, 'sixteen bytes ok and some more');
  must(
    t,
    sidekey,
    ...LOGIN,
    '--write-object',
    key,
    '--type',
    'secrkey',
    '--key-type',
    'AES:16',
    '--label',
    'imported',
    '--id',
    '0a',
    '--usage-decrypt',
  );
  const iv = '101112131415161718191a1b1c1d1e1f';
  must(
    t,
    sidekey,
    ...LOGIN,
    '--encrypt',
    '--mechanism',
    'AES-CBC-PAD',
    '--id',
    '0a',
    '--iv',
    iv,
    '--input-file',
    plain,
    '--output-file',
    cipher,
  );
  const opened = spawnSync('openssl', [
    'enc',
    '-d',
    '-aes-128-cbc',
    '-K',
    '000102030405060708090a0b0c0d0e0f',
    '-iv',
    iv,
    '-in',
    cipher,
  ]);
  t.equal(opened.stdout.toString(), readFileSync(plain, 'utf8'));
});

t.test('a wrong PIN is counted and locks the user out, and the SO can set a new one', async (t) => {
  const sidekey = await startInstance(t);
  let output = '';
  for (let i = 0; i < 20 && !/PIN_LOCKED/.test(output); i++) {
    const result = sidekey.pkcs11Tool('--login', '--pin', 'wrong-pin', '--list-objects');
    output = result.stdout + result.stderr;
    t.match(output, /CKR_PIN_INCORRECT|CKR_PIN_LOCKED/);
  }
  t.match(output, /CKR_PIN_LOCKED/);
  const locked = sidekey.pkcs11Tool(...LOGIN, '--list-objects');
  t.match(locked.stdout + locked.stderr, /CKR_PIN_LOCKED/, 'the right PIN does not help any more');
  t.match(must(t, sidekey, '--list-token-slots'), /user PIN locked/);
  must(
    t,
    sidekey,
    '--login',
    '--login-type',
    'so',
    '--so-pin',
    '12345678',
    '--init-pin',
    '--new-pin',
    '654321',
  );
  must(t, sidekey, '--login', '--pin', '654321', '--list-objects');
});
