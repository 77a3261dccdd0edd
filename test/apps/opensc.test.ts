/** OpenSC's own programs: pkcs11-tool in the ways test/e2e does not, and pkcs15-tool, which wants a smart card. */
import { spawnSync } from 'node:child_process';
import { createDecipheriv, createPublicKey, randomBytes, verify } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MODULE, PIN, startInstance } from '../e2e/instance.ts';
import { environment, makeIdentity, must, openDirectory, run, storeCertificate } from './application.ts';

const sidekey = await startInstance(t);
const dir = openDirectory(t);
const env = environment(sidekey, dir);
const TOOL = ['--module', MODULE, '--login', '--pin', PIN];

t.test('pkcs11-tool finds no error in its own tests, by threads and by fork', async (t) => {
  await makeIdentity(t, sidekey, dir, { id: '41', label: 'rsa' });
  await makeIdentity(t, sidekey, dir, { type: 'EC:prime256v1', id: '42', label: 'ec' });
  const tested = await run('pkcs11-tool', [...TOOL, '--test'], { env });
  t.match(tested.stdout, /No errors/, tested.stdout + tested.stderr);
  // --test-ec makes a token's key pair, and opens a read-only session unless told otherwise.
  const curve = [
    '--session-rw',
    '--test-ec',
    '--key-type',
    'EC:prime256v1',
    '--id',
    '43',
    '--label',
    'made by the test',
  ];
  const tool = await run('pkcs11-tool', [...TOOL, ...curve], { env });
  t.match(tool.stdout, /Doing a signature[^]*==> OK/, tool.stdout + tool.stderr);
  t.notMatch(tool.stdout + tool.stderr, /ERR:|error:|warning|failed/i);
  // The tool waits half a minute for threads that still run when it is done itself: --test keeps it busy.
  const threads = ['--test', '--test-threads', 'ILGISLT0', '--test-threads', 'ILGISLT0'];
  const threaded = await run('pkcs11-tool', [...TOOL, ...threads], { env, timeout: 60_000 });
  t.equal(threaded.status, 0, threaded.stdout + threaded.stderr);
  t.equal(threaded.stderr.match(/returning rv = 0/g)?.length, 2);
  const forked = await run('pkcs11-tool', ['--module', MODULE, '--test-fork'], { env });
  t.equal(forked.status, 0, forked.stdout + forked.stderr);
});

t.test('pkcs11-tool imports a certificate, reads it back, and signs by hashed mechanisms', async (t) => {
  const identity = await makeIdentity(t, sidekey, dir, { id: '44', label: 'imported' });
  await storeCertificate(t, sidekey, identity, '44');
  const [back, data, signature] = [join(dir, 'back.der'), join(dir, 'data'), join(dir, 'signature')];
  await must(
    t,
    'pkcs11-tool',
    ['--module', MODULE, '--read-object', '--type', 'cert', '--id', '44', '-o', back],
    {
      env,
    },
  );
  t.ok(readFileSync(back).equals(identity.x509.raw), 'without a login: a certificate is not private');
  writeFileSync(data, 'x'.repeat(100_000));
  for (const [hash, digest] of [
    ['SHA256', 'sha256'],
    ['SHA384', 'sha384'],
    ['SHA512', 'sha512'],
  ] as const) {
    const sign = ['--sign', '--id', '44', '-m', `${hash}-RSA-PKCS`, '-i', data, '-o', signature];
    await must(t, 'pkcs11-tool', [...TOOL, ...sign], { env });
    t.ok(verify(digest, readFileSync(data), identity.x509.publicKey, readFileSync(signature)), hash);
  }
});

t.test('pkcs11-tool imports a private key made elsewhere, and what it signs verifies there', async (t) => {
  const [key, signature, data] = [join(dir, 'key.pem'), join(dir, 'ec-signature'), join(dir, 'ec-data')];
  spawnSync('openssl', ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', key]);
  const write = [
    '--write-object',
    key,
    '--type',
    'privkey',
    '--id',
    '45',
    '--usage-sign',
    '--label',
    'foreign',
  ];
  await must(t, 'pkcs11-tool', [...TOOL, ...write], { env });
  writeFileSync(data, 'signed by an imported key');
  const sign = ['--sign', '--id', '45', '-m', 'ECDSA-SHA256', '-f', 'openssl', '-i', data, '-o', signature];
  await must(t, 'pkcs11-tool', [...TOOL, ...sign], { env });
  t.ok(verify('sha256', readFileSync(data), createPublicKey(readFileSync(key)), readFileSync(signature)));
});

t.test('pkcs11-tool encrypts under an imported AES key what Node decrypts', async (t) => {
  const [secret, data, sealed] = [join(dir, 'secret'), join(dir, 'plain'), join(dir, 'sealed')];
  const iv = '000102030405060708090a0b0c0d0e0f';
  writeFileSync(secret, randomBytes(32));
  writeFileSync(data, 'some words of no full block');
  const write = ['--write-object', secret, '--type', 'secrkey', '--key-type', 'AES:32', '--id', '46'];
  await must(t, 'pkcs11-tool', [...TOOL, ...write, '--usage-decrypt', '--label', 'imported aes'], { env });
  const encrypt = ['--encrypt', '--id', '46', '-m', 'AES-CBC-PAD', '--iv', iv, '-i', data, '-o', sealed];
  await must(t, 'pkcs11-tool', [...TOOL, ...encrypt], { env });
  const decipher = createDecipheriv('aes-256-cbc', readFileSync(secret), Buffer.from(iv, 'hex'));
  t.equal(decipher.update(readFileSync(sealed)).toString() + decipher.final(), 'some words of no full block');
});

t.test('pkcs15-tool, which speaks to card readers only, says so and harms nothing', async (t) => {
  const { status, stderr } = await run('pkcs15-tool', ['--list-keys'], { env });
  t.not(status, 0);
  t.match(stderr, /reader|Failed to establish context/i);
});
