/** keys import: PEM, PKCS #12 as openssl writes it, secret keys. */
import { spawn, spawnSync } from 'node:child_process';
import { createDecipheriv, randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { ROOT, startInstance, temporaryDirectory } from '../e2e/instance.ts';

const sidekey = await startInstance(t);
const dir = temporaryDirectory(t);
const path = (name: string) => join(dir, name);

function must(...args: string[]): string {
  const { status, stdout, stderr } = sidekey.sidekey(...args);
  if (status !== 0) throw new Error(`sidekey ${args.join(' ')}: ${stderr}`);
  return stdout;
}

function openssl(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8', timeout: 60_000 });
  if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
  return stdout + stderr;
}

writeFileSync(path('message'), 'signed after it moved');
writeFileSync(path('pass'), 'a passphrase\n', { mode: 0o600 });

for (const [name, algorithm] of [
  ['ec', ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256']],
  ['rsa', ['rsa:2048']],
] as const) {
  t.test(`a PKCS #12 file of openssl with a key of kind ${name} and its certificate`, async (t) => {
    const [key, crt, p12] = [path(`${name}.key`), path(`${name}.crt`), path(`${name}.p12`)];
    const files = ['-keyout', key, '-out', crt, '-nodes', '-subj', `/CN=${name}`];
    openssl('req', '-x509', '-newkey', ...algorithm, ...files);
    openssl('pkcs12', '-export', '-inkey', key, '-in', crt, '-out', p12, '-passout', `file:${path('pass')}`);
    const wrong = sidekey.sidekey('keys', 'import', name, '--in', p12, '--pkcs12');
    t.equal(wrong.status, 1);
    t.match(wrong.stderr, /file_refused: this PKCS #12 file cannot be read/);
    const said = must('keys', 'import', name, '--in', p12, '--pkcs12', '--passphrase-file', path('pass'));
    t.match(said, /, 1 certificates/);

    const signature = path(`${name}.sig`);
    const scheme = name === 'rsa' ? ['--padding', 'pkcs1v15'] : [];
    must('sign', name, '--in', path('message'), '--out', signature, '--raw', ...scheme);
    const publicKey = path(`${name}.pem`);
    writeFileSync(publicKey, openssl('x509', '-in', crt, '-noout', '-pubkey'));
    t.match(
      openssl('dgst', '-sha256', '-verify', publicKey, '-signature', signature, path('message')),
      'Verified OK',
    );
    t.match(
      sidekey.pkcs11Tool('--list-objects', '--type', 'cert').stdout,
      new RegExp(`label:\\s+${name}\\n\\s+subject:\\s+DN: CN=${name}\\n`),
    );
  });
}

t.test('an encrypted PEM, and a next version of it', async (t) => {
  for (const name of ['one', 'two'])
    openssl(
      ...['genpkey', '-algorithm', 'ed25519', '-aes256', '-pass', `file:${path('pass')}`],
      ...['-out', path(name)],
    );
  const pass = ['--passphrase-file', path('pass')];
  t.match(must('keys', 'import', 'moved', '--in', path('one'), ...pass), 'moved: ed25519');
  t.match(sidekey.sidekey('keys', 'import', 'moved', '--in', path('one'), ...pass).stderr, /already exists/);
  must('keys', 'import', 'moved', '--in', path('two'), '--next-version', ...pass);
  for (const [version, file] of [
    ['1', 'one'],
    ['2', 'two'],
  ] as const) {
    const own = openssl('pkey', '-in', path(file), '-passin', `file:${path('pass')}`, '-pubout');
    t.equal(must('keys', 'export-public', 'moved', '--key-version', version), own);
  }
  t.match(sidekey.sidekey('keys', 'import', 'bad', '--in', path('message')).stderr, /no private key/);
});

t.test('a secret key is the one that it was', async (t) => {
  const secret = randomBytes(32);
  writeFileSync(path('secret'), secret);
  must('keys', 'import', 'backup', '--secret', 'aes256-gcm96', '--in', path('secret'));
  must('encrypt', 'backup', '--in', path('message'), '--out', path('sealed'));
  const bytes = Buffer.from(readFileSync(path('sealed'), 'utf8').trim().split(':')[2] ?? '', 'base64');
  const decipher = createDecipheriv('aes-256-gcm', secret, bytes.subarray(0, 12));
  decipher.setAuthTag(bytes.subarray(-16));
  const plain = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
  t.equal(plain.toString(), 'signed after it moved');
});

t.test('while it has a key in its memory it is not dumpable', async (t) => {
  const nobody = 65_534;
  const args = ['keys', 'import', 'x', '--secret', 'hmac', '--api', '/nonexistent'];
  const child = spawn(join(ROOT, 'bin/sidekey'), args, {
    uid: nobody,
    gid: nobody,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const ownerOf = () => statSync(`/proc/${child.pid}/mem`).uid;
  for (let tries = 0; tries < 100 && ownerOf() !== 0; tries++) await setTimeout(50);
  t.equal(ownerOf(), 0, 'the kernel gives its files to root');
});
