/** OpenSSL 3 with libengine-pkcs11-openssl (libp11): a program that cannot be changed, by way of its engine. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { MODULE, PIN, startInstance, temporaryDirectory, type Instance } from './instance.ts';

function generate(t: Test, sidekey: Instance, type: string, id: string): void {
  const made = sidekey.pkcs11Tool(
    '--login',
    '--pin',
    PIN,
    '--keypairgen',
    '--key-type',
    type,
    '--id',
    id,
    '--label',
    type,
  );
  t.equal(made.status, 0, made.stderr);
}

function openssl(t: Test, sidekey: Instance, dir: string, ...args: string[]): string {
  const result = sidekey.run('openssl', args, { env: { OPENSSL_CONF: engineConfiguration(dir) } });
  t.equal(result.status, 0, `openssl ${args.join(' ')}\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

function engineConfiguration(dir: string): string {
  const path = join(dir, 'openssl.cnf');
  const engine = `[pkcs11]\nengine_id = pkcs11\nMODULE_PATH = ${MODULE}\nPIN = ${PIN}\ninit = 0\n`;
  const request = '[req]\ndistinguished_name = name\nprompt = no\n[name]\nCN = sidekey\n';
  writeFileSync(
    path,
    `openssl_conf = init\n${request}[init]\nengines = engines\n[engines]\npkcs11 = pkcs11\n${engine}`,
  );
  return path;
}

for (const [type, id] of [
  ['rsa:2048', '11'],
  ['EC:prime256v1', '12'],
] as const) {
  t.test(
    `openssl makes a certificate with a ${type} key of the token, and verifies it without`,
    async (t) => {
      const sidekey = await startInstance(t);
      const dir = temporaryDirectory(t);
      generate(t, sidekey, type, id);
      const key = ['-engine', 'pkcs11', '-keyform', 'engine', '-key', `pkcs11:token=test;id=%${id}`];
      const certificate = join(dir, 'certificate.pem');
      openssl(t, sidekey, dir, 'req', '-new', '-x509', '-days', '1', '-sha256', ...key, '-out', certificate);
      const verify = spawnSync('openssl', ['verify', '-CAfile', certificate, certificate], {
        encoding: 'utf8',
      });
      t.match(verify.stdout, /: OK/);
    },
  );
}

t.test('openssl decrypts by the token what was encrypted with the public key outside', async (t) => {
  const sidekey = await startInstance(t);
  const dir = temporaryDirectory(t);
  generate(t, sidekey, 'rsa:2048', '13');
  const [der, plain, sealed] = ['public.der', 'plain', 'sealed'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  sidekey.pkcs11Tool('--read-object', '--type', 'pubkey', '--id', '13', '--output-file', der);
  writeFileSync(plain, 'only for the token');
  const padding = ['-pkeyopt', 'rsa_padding_mode:oaep'];
  const encrypt = [
    'pkeyutl',
    '-encrypt',
    '-pubin',
    '-keyform',
    'DER',
    '-inkey',
    der,
    '-in',
    plain,
    '-out',
    sealed,
    ...padding,
  ];
  t.equal(spawnSync('openssl', encrypt).status, 0);
  const key = ['-engine', 'pkcs11', '-keyform', 'engine', '-inkey', 'pkcs11:token=test;id=%13;type=private'];
  t.equal(
    openssl(t, sidekey, dir, 'pkeyutl', '-decrypt', ...key, '-in', sealed, ...padding),
    'only for the token',
  );
});
