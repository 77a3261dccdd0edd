/** Knot DNS: kzonesign makes its keys in the token and signs a zone with them; kzonecheck, which has no token, verifies it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MODULE, PIN, startInstance } from '../e2e/instance.ts';
import { environment, must, openDirectory, run } from './application.ts';

const ZONE = `$TTL 3600
example. IN SOA ns.example. admin.example. 1 3600 600 86400 3600
example. IN NS ns.example.
ns.example. IN A 127.0.0.1
www.example. IN TXT "signed by a token"
`;

const configuration = (dir: string, algorithm: string): string => `
server:
    rundir: ${dir}
database:
    storage: ${dir}
keystore:
  - id: token
    backend: pkcs11
    config: "pkcs11:token=test;pin-value=${PIN} ${MODULE}"
policy:
  - id: token
    keystore: token
    algorithm: ${algorithm}
zone:
  - domain: example.
    storage: ${dir}
    file: zone
    dnssec-signing: on
    dnssec-policy: token
`;

for (const algorithm of ['ecdsap256sha256', 'rsasha256'])
  t.test(`a zone is signed by keys of the token: ${algorithm}`, { timeout: 120_000 }, async (t) => {
    const sidekey = await startInstance(t);
    const dir = join(openDirectory(t), 'knot');
    mkdirSync(dir);
    const env = environment(sidekey, dir);
    const [zone, conf] = [join(dir, 'zone'), join(dir, 'knot.conf')];
    writeFileSync(zone, ZONE);
    writeFileSync(conf, configuration(dir, algorithm));
    await must(t, 'kzonesign', ['-c', conf, 'example.'], { env });
    const signed = readFileSync(zone, 'utf8');
    t.match(signed, /^www\.example\.\s+\d+\s+RRSIG\s+TXT /m);
    const check = ['-o', 'example.', '-d', 'on', zone];
    await must(t, 'kzonecheck', check);
    writeFileSync(zone, signed.replace('signed by a token', 'signed by nobody'));
    t.not((await run('kzonecheck', check)).status, 0, 'another text is not what was signed');
    const { stdout } = sidekey.pkcs11Tool('--login', '--pin', PIN, '--list-objects', '--type', 'privkey');
    t.equal(stdout.match(/^Private Key Object/gm)?.length, 2, 'both keys are in the token');
  });
