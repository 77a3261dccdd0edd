/**
 * Programs that are too heavy for every run, as pkcs11-spy recorded them (spy/*.record, made by spy/distil.py): replayed against a new
 * token with a key and certificate of the same names. Signatures are verified here, without the token.
 */
import { spawnSync } from 'node:child_process';
import { constants, publicDecrypt, verify, type KeyObject } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MODULE, PIN, startInstance } from '../e2e/instance.ts';
import { makeIdentity, openDirectory, storeCertificate } from './application.ts';

const RECORDS = join(import.meta.dirname, 'spy');

type Check = (key: KeyObject, data: Buffer, signature: Buffer) => boolean;

const CHECKS: Readonly<Record<string, Check>> = {
  CKM_RSA_PKCS: (key, data, signature) =>
    publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, signature).equals(data),
  // Node hashes what it verifies by PSS; the data of this mechanism is a digest already.
  CKM_RSA_PKCS_PSS: (key, data, signature) => pkeyutl(key, data, signature),
  CKM_SHA256_RSA_PKCS: (key, data, signature) => verify('sha256', data, key, signature),
};

function pkeyutl(key: KeyObject, digest: Buffer, signature: Buffer): boolean {
  const dir = openDirectory(t);
  const [pem, signed] = [join(dir, 'key.pem'), join(dir, 'signature')];
  writeFileSync(pem, key.export({ type: 'spki', format: 'pem' }));
  writeFileSync(signed, signature);
  const padding = ['digest:sha256', 'rsa_padding_mode:pss', 'rsa_pss_saltlen:32'];
  const options = padding.flatMap((each) => ['-pkeyopt', each]);
  const args = ['pkeyutl', '-verify', '-pubin', '-inkey', pem, '-sigfile', signed, ...options];
  return spawnSync('openssl', args, { input: digest }).status === 0;
}

for (const name of readdirSync(RECORDS).filter((each) => each.endsWith('.record')))
  t.test(`as recorded: ${name.replace('.record', '')}`, { timeout: 120_000 }, async (t) => {
    const record = readFileSync(join(RECORDS, name), 'utf8');
    const sidekey = await startInstance(t);
    const identity = await makeIdentity(t, sidekey, openDirectory(t), { id: '03', label: 'code' });
    await storeCertificate(t, sidekey, identity, '03');
    const env = { ...process.env, SIDEKEY_SOCKET: sidekey.socket, MODULE, PIN, PYTHONDONTWRITEBYTECODE: '1' };
    const args = [join(RECORDS, 'replay.py'), join(RECORDS, name)];
    const { stdout, stderr, status } = spawnSync('python3', args, {
      env,
      encoding: 'utf8',
      timeout: 60_000,
    });
    for (const line of stdout.split('\n').filter((each) => /^(not )?ok /.test(each)))
      t.ok(line.startsWith('ok'), line.replace(/^(not )?ok \d+ - /, ''));
    t.equal(status, 0, stdout.replace(/^ok.*\n/gm, '') + stderr);
    const signed = [...stdout.matchAll(/^# signed (\w+) (\w+) (\w+)$/gm)];
    t.equal(signed.length, record.match(/"C_Sign".*"out": \d/g)?.length ?? 0, 'as many signatures');
    for (const [, mechanism = '', data = '', signature = ''] of signed) {
      const check = CHECKS[mechanism];
      const good = check?.(identity.x509.publicKey, Buffer.from(data, 'hex'), Buffer.from(signature, 'hex'));
      t.equal(good, true, `a signature by ${mechanism} verifies`);
    }
  });
