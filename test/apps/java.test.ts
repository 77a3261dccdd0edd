/** Java 17 by SunPKCS11, with the configuration that docs/applications.md tells its readers to use. */
import {
  constants,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  randomBytes,
  verify,
  X509Certificate,
} from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MODULE, PIN, ROOT, startInstance } from '../e2e/instance.ts';
import { must, openDirectory } from './application.ts';

const sidekey = await startInstance(t);
const dir = openDirectory(t);
const env = { ...process.env, SIDEKEY_SOCKET: sidekey.socket };
const config = join(dir, 'sidekey.cfg');
const page = readFileSync(join(ROOT, 'docs/applications.md'), 'utf8');
const documented = /```properties\n([^`]*)```/.exec(page)?.[1] ?? '';
writeFileSync(config, documented.replace(/^library = .*$/m, `library = ${MODULE}`));

const PROVIDER = ['-providerClass', 'sun.security.pkcs11.SunPKCS11', '-providerArg', config];
const STORE = [...PROVIDER, '-storetype', 'PKCS11', '-keystore', 'NONE', '-storepass', PIN];

async function certificate(alias: string): Promise<X509Certificate> {
  return new X509Certificate(
    await must(t, 'keytool', ['-exportcert', '-rfc', '-alias', alias, ...STORE], { env }),
  );
}

t.test('the documented configuration has at most ten lines', async (t) => {
  const lines = documented.trim().split('\n');
  t.match(lines[0], /^name = /);
  t.ok(lines.length <= 10, documented);
});

t.test('keytool makes keys whose certificates verify elsewhere', async (t) => {
  for (const [alias, ...kind] of [
    ['rsa', '-keyalg', 'RSA', '-keysize', '2048'],
    ['ec', '-keyalg', 'EC', '-groupname', 'secp256r1'],
  ] as const) {
    const pair = ['-genkeypair', '-alias', alias, ...kind, '-dname', `CN=${alias}`];
    await must(t, 'keytool', [...pair, ...STORE], { env });
    const made = await certificate(alias);
    t.ok(made.verify(made.publicKey), alias);
  }
});

t.test('what a program made by the token is right without the token', async (t) => {
  const key = randomBytes(32);
  const peer = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const theirs = peer.publicKey.export({ type: 'spki', format: 'der' }).toString('hex');
  const source = join(import.meta.dirname, 'SunPkcs11.java');
  const printed = await must(t, 'java', [source, config, PIN, key.toString('hex'), theirs], {
    env,
    timeout: 90_000,
  });
  const got = new Map(printed.split('\n').map((line) => line.split(' ', 2) as [string, string]));
  const bytes = (name: string): Buffer => Buffer.from(got.get(name) ?? '', 'base64');
  const data = Buffer.from('Sidekey and Java. '.repeat(50));

  for (const [name, cipher] of [
    ['AES/CBC/PKCS5Padding', 'aes-256-cbc'],
    ['AES/CTR/NoPadding', 'aes-256-ctr'],
  ] as const) {
    const plain = createDecipheriv(cipher, key, Buffer.alloc(16));
    t.ok(Buffer.concat([plain.update(bytes(name)), plain.final()]).equals(data), name);
  }
  const sealed = bytes('AES/GCM/NoPadding');
  const gcm = createDecipheriv('aes-256-gcm', key, Buffer.alloc(12)).setAAD(Buffer.from('header'));
  gcm.setAuthTag(sealed.subarray(-16));
  t.ok(Buffer.concat([gcm.update(sealed.subarray(0, -16)), gcm.final()]).equals(data), 'AES-GCM');
  t.ok(bytes('opened').equals(data), 'and the token opens it');
  t.ok(got.has('bad-tag'), 'but not when it was changed');
  t.ok(bytes('HmacSHA256').equals(createHmac('sha256', key).update(data).digest()), 'HMAC');
  t.ok(bytes('SHA-256').equals(createHash('sha256').update(data).digest()), 'digest');
  t.not(bytes('random').toString('hex'), Buffer.alloc(32).toString('hex'));

  const [rsa, ec] = [await certificate('rsa'), await certificate('ec')];
  t.ok(verify('sha256', data, rsa.publicKey, bytes('SHA256withRSA')), 'RSA');
  const pss = { key: rsa.publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
  t.ok(verify('sha256', data, pss, bytes('RSASSA-PSS')), 'RSA-PSS');
  t.ok(verify('sha256', data, ec.publicKey, bytes('SHA256withECDSA')), 'ECDSA');
  t.equal(bytes('RSA/ECB/PKCS1Padding').toString(), 'for the token only');
  const mine = createPublicKey({ key: bytes('ECDH-public'), format: 'der', type: 'spki' });
  const agreed = diffieHellman({ privateKey: peer.privateKey, publicKey: mine });
  t.ok(bytes('ECDH').equals(agreed), 'ECDH');
  t.ok(got.has('p521'), 'every P-521 signature verifies through the token');
  t.ok(got.has('threads'), 'a hundred threads sign');
});

t.test('jarsigner signs an archive that verifies without the token', async (t) => {
  const jar = join(dir, 'signed.jar');
  writeFileSync(join(dir, 'content'), 'content');
  await must(t, 'jar', ['cf', jar, '-C', dir, 'content']);
  await must(t, 'jarsigner', [...STORE, jar, 'ec'], { env });
  t.match(await must(t, 'jarsigner', ['-verify', jar]), /^jar verified/m);
  // jarsigner is content with an archive that nobody signed.
  t.match(await must(t, 'jar', ['tf', jar]), /META-INF\/EC\.EC/);
});
