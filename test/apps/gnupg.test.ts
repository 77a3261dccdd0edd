/** GnuPG by gnupg-pkcs11-scd, a smart-card daemon that speaks PKCS#11: gpgsm and gpg take the token for a card. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MODULE, PIN, startInstance } from '../e2e/instance.ts';
import { environment, makeIdentity, must, openDirectory, run, storeCertificate } from './application.ts';

/** A pinentry that knows the PIN. */
const PINENTRY = `#!/bin/sh
echo OK
while read -r command rest; do
  case $command in
    GETPIN) echo 'D ${PIN}'; echo OK ;;
    BYE) echo OK; exit 0 ;;
    *) echo OK ;;
  esac
done
`;

t.test('GnuPG takes the token for a card', async (t) => {
  const sidekey = await startInstance(t);
  const dir = openDirectory(t);
  const home = join(dir, 'gnupg');
  mkdirSync(home, { mode: 0o700 });
  const pinentry = join(dir, 'pinentry');
  writeFileSync(pinentry, PINENTRY);
  chmodSync(pinentry, 0o700);
  writeFileSync(
    join(home, 'gpg-agent.conf'),
    `scdaemon-program /usr/bin/gnupg-pkcs11-scd\npinentry-program ${pinentry}\nallow-mark-trusted\n`,
  );
  const scd = `providers sidekey\nprovider-sidekey-library ${MODULE}\n`;
  writeFileSync(join(home, 'gnupg-pkcs11-scd.conf'), scd);
  writeFileSync(join(home, 'gpgsm.conf'), 'disable-crl-checks\ndisable-policy-checks\n');
  const env = environment(sidekey, dir, { GNUPGHOME: home, HOME: dir });
  t.teardown(() => spawnSync('gpgconf', ['--kill', 'all'], { env }));

  const identity = await makeIdentity(t, sidekey, dir, {
    id: '71',
    label: 'card',
    extensions: [
      'keyUsage=digitalSignature,keyEncipherment,keyCertSign',
      'basicConstraints=critical,CA:TRUE',
    ],
  });
  await storeCertificate(t, sidekey, identity, '71');
  writeFileSync(join(home, 'trustlist.txt'), `${identity.x509.fingerprint.replaceAll(':', '')} S relax\n`);
  const [plain, signed, sealed] = [join(dir, 'plain'), join(dir, 'signed.der'), join(dir, 'sealed.der')];
  writeFileSync(plain, 'a message of GnuPG');

  await t.test(
    'gpgsm learns the card, signs what openssl verifies, decrypts what openssl encrypted',
    async (t) => {
      await must(t, 'gpgsm', ['--batch', '--learn-card'], { env });
      t.match(await must(t, 'gpgsm', ['--batch', '--list-secret-keys'], { env }), /CN=localhost/);
      const sign = [
        '--batch',
        '--yes',
        '--include-certs=-1',
        '-u',
        'CN=localhost',
        '--output',
        signed,
        '--sign',
      ];
      const verify = ['cms', '-verify', '-inform', 'DER', '-in', signed, '-CAfile', identity.certificate];
      // GnuPG 2.2 puts a zero byte before a card's RSA signature whose first bit is set, and OpenSSL refuses 257 bytes:
      // every second message, whatever the card. One of twenty must do.
      let verified = '';
      for (let i = 0; i < 20 && !verified; i++) {
        writeFileSync(plain, `message ${i} of GnuPG`);
        await must(t, 'gpgsm', [...sign, plain], { env });
        verified = spawnSync('openssl', [...verify, '-purpose', 'any'], { encoding: 'utf8' }).stdout;
      }
      t.match(verified, /^message \d+ of GnuPG$/);
      writeFileSync(plain, 'a message of GnuPG');
      const encrypt = [
        'cms',
        '-encrypt',
        '-binary',
        '-aes256',
        '-in',
        plain,
        '-outform',
        'DER',
        '-out',
        sealed,
      ];
      t.equal(spawnSync('openssl', [...encrypt, identity.certificate]).status, 0);
      t.equal(await must(t, 'gpgsm', ['--batch', '--decrypt', sealed], { env }), 'a message of GnuPG');
    },
  );

  await t.test(
    'gpg makes an OpenPGP key of the card; a keyring without card verifies what it signs',
    async (t) => {
      const learnt = await run('gpg-connect-agent', ['SCD LEARN --force', '/bye'], { env });
      const grip = /KEYPAIRINFO ([0-9A-F]{40})/i.exec(learnt.stdout)?.[1] ?? '';
      t.match(grip, /^[0-9A-F]{40}$/i, learnt.stdout + learnt.stderr);
      t.match(await must(t, 'gpg', ['--batch', '--card-status'], { env }), /^Version/m);
      const parameters = `Key-Type: RSA\nKey-Grip: ${grip}\nKey-Usage: sign\nName-Real: card\nName-Email: card@example.org\n`;
      const make = ['--batch', '--full-generate-key'];
      await must(t, 'gpg', make, { env, input: `${parameters}Expire-Date: 0\n%commit\n` });
      const signature = join(dir, 'signature');
      await must(t, 'gpg', ['--batch', '--yes', '--output', signature, '--detach-sign', plain], { env });
      const exported = await must(t, 'gpg', ['--batch', '--armor', '--export', 'card@example.org'], { env });

      const apart = join(dir, 'apart');
      mkdirSync(apart, { mode: 0o700 });
      const without = { env: { ...env, GNUPGHOME: apart, SIDEKEY_SOCKET: '/nonexistent' } };
      t.teardown(() => spawnSync('gpgconf', ['--kill', 'all'], without));
      await must(t, 'gpg', ['--batch', '--import'], { ...without, input: exported });
      const verified = await run('gpg', ['--batch', '--verify', signature, plain], without);
      t.match(verified.stderr, /Good signature from "card <card@example\.org>"/);
      t.ok(readFileSync(signature).length > 256);
    },
  );
});
