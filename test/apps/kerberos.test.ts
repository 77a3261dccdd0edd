/** Kerberos by PKINIT: kinit proves itself to a KDC of MIT's by a key and certificate of the token. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { MODULE, PIN, startInstance } from '../e2e/instance.ts';
import { environment, freePort, makeKey, must, openDirectory, run, serve } from './application.ts';

const REALM = 'TOKEN.TEST';
const sidekey = await startInstance(t);
const dir = openDirectory(t);
const at = (name: string): string => join(dir, name);
const engine = environment(sidekey, dir);
const port = await freePort();

/** The names of RFC 4556 in a certificate: an arc for the use, and the principal as OpenSSL's configuration writes it. */
const extensions = (use: string, kind: number, names: readonly string[]): string => `
extendedKeyUsage = ${use}
keyUsage = digitalSignature
subjectAltName = otherName:1.3.6.1.5.2.2;SEQUENCE:principal
[principal]
realm = EXP:0, GeneralString:${REALM}
name = EXP:1, SEQUENCE:name
[name]
type = EXP:0, INTEGER:${kind}
parts = EXP:1, SEQUENCE:parts
[parts]
${names.map((name, i) => `part${i} = GeneralString:${name}`).join('\n')}
`;

async function sign(t: Test, form: string, out: string, extension: string): Promise<void> {
  writeFileSync(at('extensions'), extension);
  const by = [
    'x509',
    '-req',
    '-in',
    at('csr'),
    '-CA',
    at('ca.pem'),
    '-CAkey',
    at('ca.key'),
    '-CAcreateserial',
  ];
  const made = ['-days', '2', '-extfile', at('extensions'), '-outform', form, '-out', at(out)];
  await must(t, 'openssl', [...by, ...made]);
}

/** A key in the token and its certificate, also in the token, by the authority. */
async function issue(t: Test, label: string, id: string): Promise<void> {
  const uri = await makeKey(t, sidekey, 'rsa:2048', id, label);
  const request = ['req', '-new', '-engine', 'pkcs11', '-keyform', 'engine', '-key', uri];
  await must(t, 'openssl', [...request, '-subj', `/CN=${label}`, '-out', at('csr')], { env: engine });
  await sign(t, 'DER', `${label}.der`, extensions('1.3.6.1.5.2.3.4', 1, [label]));
  const login = ['--module', MODULE, '--login', '--pin', PIN, '--write-object', at(`${label}.der`)];
  await must(t, 'pkcs11-tool', [...login, '--type', 'cert', '--id', id, '--label', label], {
    env: { ...process.env, SIDEKEY_SOCKET: sidekey.socket },
  });
}

async function issueOutside(t: Test): Promise<void> {
  const request = ['req', '-new', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=kdc'];
  await must(t, 'openssl', [...request, '-keyout', at('kdc.key'), '-out', at('csr')]);
  await sign(t, 'PEM', 'kdc.pem', extensions('1.3.6.1.5.2.3.5', 2, ['krbtgt', REALM]));
}

function configure(): NodeJS.ProcessEnv {
  const anchors = `pkinit_anchors = FILE:${at('ca.pem')}`;
  writeFileSync(
    at('krb5.conf'),
    `[libdefaults]
 default_realm = ${REALM}
 dns_lookup_kdc = false
 rdns = false
[realms]
 ${REALM} = {
  kdc = 127.0.0.1:${port}
  ${anchors}
 }
`,
  );
  writeFileSync(
    at('kdc.conf'),
    `[kdcdefaults]
 kdc_listen = 127.0.0.1:${port}
 kdc_tcp_listen = 127.0.0.1:${port}
[realms]
 ${REALM} = {
  database_name = ${at('principal')}
  key_stash_file = ${at('stash')}
  ${anchors}
  pkinit_identity = FILE:${at('kdc.pem')},${at('kdc.key')}
 }
`,
  );
  const files = { KRB5_CONFIG: at('krb5.conf'), KRB5_KDC_PROFILE: at('kdc.conf') };
  return { ...process.env, ...files, SIDEKEY_SOCKET: sidekey.socket, KRB5CCNAME: `FILE:${at('tickets')}` };
}

/** It asks on a terminal alone: `script` is one. */
const kinit = (identity: string, pin: string, env: NodeJS.ProcessEnv): ReturnType<typeof run> => {
  const command = `kinit -X X509_user_identity=PKCS11:module_name=${MODULE}:${identity} alice`;
  return run('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    env,
    input: `${pin}\n`,
  });
};

t.test('a ticket for who holds the key of the token', { timeout: 120_000 }, async (t) => {
  const self = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=authority'];
  await must(t, 'openssl', [...self, '-keyout', at('ca.key'), '-out', at('ca.pem')]);
  await issue(t, 'alice', '01');
  await issue(t, 'mallory', '02');
  await issueOutside(t);
  const env = configure();
  await must(t, 'kdb5_util', ['create', '-s', '-P', 'master', '-r', REALM], { env });
  const add = ['-r', REALM, 'addprinc', '-randkey', '+requires_preauth', 'alice'];
  await must(t, 'kadmin.local', add, { env });
  await serve(t, port, 'krb5kdc', ['-n'], { env });

  for (const [identity, pin, why] of [
    ['token=test:certlabel=alice', '000000', 'a wrong PIN'],
    ['token=test:certlabel=mallory', PIN, "another's certificate"],
    ['token=none:certlabel=alice', PIN, 'no such token'],
  ] as const) {
    t.not((await kinit(identity, pin, env)).status, 0, why);
    t.not((await run('klist', ['-s'], { env })).status, 0, `no ticket: ${why}`);
  }
  for (const identity of ['token=test:certlabel=alice', 'slotid=0:certid=01']) {
    const { status, stdout } = await kinit(identity, PIN, env);
    t.equal(status, 0, stdout);
    t.match(
      await must(t, 'klist', [], { env }),
      /Default principal: alice@TOKEN\.TEST[^]*krbtgt\/TOKEN\.TEST/,
    );
    await must(t, 'kdestroy', [], { env });
  }
});
