/** keys csr and keys cert, judged by openssl, pkcs11-tool and Java's keytool. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MODULE, PIN, ROOT, startInstance, temporaryDirectory } from '../e2e/instance.ts';

const sidekey = await startInstance(t);
const dir = temporaryDirectory(t);
const path = (name: string) => join(dir, name);

function run(...args: string[]) {
  return spawnSync(join(ROOT, 'bin/sidekey'), args, {
    input: '',
    encoding: 'utf8',
    timeout: 60_000,
    env: { SIDEKEY_API: sidekey.api },
  });
}

function must(...args: string[]): string {
  const { status, stdout, stderr } = run(...args);
  if (status !== 0) throw new Error(`sidekey ${args.join(' ')}: ${stderr}`);
  return stdout;
}

function openssl(...args: string[]): string {
  const { stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8', timeout: 60_000 });
  return stdout + stderr;
}

for (const type of ['ecdsa-p256', 'ecdsa-p521', 'rsa-2048', 'ed25519']) {
  t.test(`openssl takes the request and the certificate of a key of type ${type}`, async (t) => {
    must('keys', 'create', type, '--type', type);
    const [csr, crt] = [path(`${type}.csr`), path(`${type}.crt`)];
    const name = ['--subject', 'CN=www.example.org,O=Acme\\, Inc.', '--san', 'DNS:www.example.org'];
    must('keys', 'csr', type, ...name, '--san', 'IP:2001:db8::1', '--out', csr);
    const request = openssl('req', '-in', csr, '-verify', '-noout', '-text');
    t.match(request, /self-signature verify OK|verify OK/);
    t.match(request, /Acme, Inc\./);
    t.match(request, /DNS:www\.example\.org, IP Address:2001:DB8:0:0:0:0:0:1/);
    must('keys', 'cert', type, ...name, '--days', '30', '--out', crt);
    t.match(openssl('verify', '-check_ss_sig', '-x509_strict', '-CAfile', crt, crt), `${crt}: OK`);
    t.match(openssl('x509', '-in', crt, '-noout', '-checkend', String(29 * 86_400)), /will not expire/);
    t.match(openssl('x509', '-in', crt, '-noout', '-checkend', String(31 * 86_400)), /will expire/);
    t.match(openssl('x509', '-in', crt, '-noout', '-checkhost', 'www.example.org'), /does match/);
  });
}

t.test('what an authority issued takes the place of it, beside the key, where Java finds both', async (t) => {
  must('keys', 'create', 'web', '--type', 'ecdsa-p256');
  must('keys', 'create', 'authority', '--type', 'ecdsa-p384');
  must('keys', 'cert', 'web', '--subject', 'CN=for now');
  must('keys', 'csr', 'web', '--subject', 'CN=web', '--out', path('web.csr'));
  openssl(
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
    ...['-keyout', path('ca.key'), '-out', path('ca.crt'), '-subj', '/CN=authority'],
  );
  openssl(
    'x509',
    '-req',
    '-in',
    path('web.csr'),
    '-CA',
    path('ca.crt'),
    '-CAkey',
    path('ca.key'),
    '-out',
    path('web.crt'),
  );
  const chain = spawnSync('cat', [path('web.crt'), path('ca.crt')]).stdout;
  writeFileSync(path('chain.pem'), chain);
  must('keys', 'cert', 'web', '--in', path('chain.pem'));
  must('keys', 'cert', 'web', '--in', path('chain.pem'));

  const listed = sidekey.pkcs11Tool('--list-objects', '--type', 'cert').stdout;
  t.match(listed, /label:\s+web\n\s+subject:\s+DN: CN=web\n/);
  t.notMatch(listed, /for now/, 'the earlier one is gone');
  t.equal(listed.match(/CN=authority/g)?.length, 1, 'an issuer is stored once');
  const ids = sidekey.pkcs11Tool('--login', '--pin', PIN, '--list-objects').stdout;
  const [, id] = /Private Key Object[^]*?label:\s+web\n\s+ID:\s+(\w+)/.exec(ids) ?? [];
  t.match(listed, new RegExp(`label:\\s+web\\n[^]*?ID:\\s+${id}`));

  writeFileSync(path('java.cfg'), `name = Sidekey\nlibrary = ${MODULE}\n`);
  const provider = ['-providerClass', 'sun.security.pkcs11.SunPKCS11', '-providerArg', path('java.cfg')];
  const keytool = sidekey.run('keytool', [
    '-list',
    '-v',
    '-keystore',
    'NONE',
    '-storetype',
    'PKCS11',
    '-storepass',
    PIN,
    '-alias',
    'web',
    ...provider,
  ]);
  t.match(keytool.stdout, /Entry type: PrivateKeyEntry[^]*Certificate chain length: 2/, keytool.stderr);
});

t.test('a certificate of another key, and what is none, are refused', async (t) => {
  must('keys', 'create', 'one', '--type', 'ecdsa-p256');
  must('keys', 'create', 'two', '--type', 'ecdsa-p256');
  must('keys', 'cert', 'one', '--subject', 'CN=one', '--out', path('one.crt'));
  t.match(run('keys', 'cert', 'two', '--in', path('one.crt')).stderr, /belongs to another key/);
  writeFileSync(path('none'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
  t.match(run('keys', 'cert', 'two', '--in', path('none')).stderr, /not X\.509/);
  t.match(run('keys', 'cert', 'two').stderr, /either --subject or --in/);
  t.match(run('keys', 'cert', 'two', '--subject', 'X=1').stderr, /usage: a name has the form/);
  t.match(run('keys', 'csr', 'two', '--subject', 'CN=x', '--san', 'host').stderr, /--san takes DNS:/);
  must('keys', 'create', 'secret');
  t.match(run('keys', 'csr', 'secret', '--subject', 'CN=x').stderr, /no public half/);
});
