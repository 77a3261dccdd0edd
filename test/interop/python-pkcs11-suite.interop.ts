// python-pkcs11's own tests, which its source package of PyPI holds, on a token that says `legacy: true`. What fails is what
// docs/test-suites.md gives reasons for, and nothing else.
import { execFileSync, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MODULE, PIN, SO_PIN, startInstance, temporaryDirectory } from '../e2e/instance.ts';
import { installPython } from './python-venv.ts';

const VERSION = '0.10.1';
const PACKAGES = `python-pkcs11==${VERSION} pytest==9.2.0 parameterized==0.9.0 oscrypto==1.3.0 cryptography==50.0.2`;

/** Parameters of Diffie-Hellman of 1024 bits, a certificate's key of 512 bits. */
const REFUSED = [
  'tests/test_dh.py::DHTests::test_generate_params',
  'tests/test_x509.py::X509Tests::test_verify_certificate_rsa',
];
const PASSED_MIN = 140;

/** The tests alone: beside them lies the package's source, which is not compiled. */
function unpack(bin: string, folder: string): string {
  const fetch = ['download', '--quiet', '--no-deps', '--no-binary', ':all:', `python-pkcs11==${VERSION}`];
  execFileSync(join(bin, 'pip'), [...fetch, '--dest', folder], { timeout: 300_000 });
  execFileSync('tar', ['xzf', join(folder, `python_pkcs11-${VERSION}.tar.gz`), '-C', folder]);
  const suite = join(folder, `python_pkcs11-${VERSION}`);
  rmSync(join(suite, 'pkcs11'), { recursive: true });
  return suite;
}

t.test('fail only where the token refuses what is too weak', { timeout: 600_000 }, async (t) => {
  const bin = installPython(PACKAGES);
  const cwd = unpack(bin, temporaryDirectory(t));
  const edit = (yaml: string): string => yaml.replace(/^( *)- label: .*$/m, '$&\n$1  legacy: true');
  const { socket } = await startInstance(t, { edit });
  const env = {
    ...process.env,
    ...{ SIDEKEY_SOCKET: socket, PKCS11_MODULE: MODULE, PKCS11_TOKEN_LABEL: 'test' },
    ...{ PKCS11_TOKEN_PIN: PIN, PKCS11_TOKEN_SO_PIN: SO_PIN },
  };
  const options = { cwd, env, encoding: 'utf8', timeout: 240_000 } as const;
  const { stdout } = spawnSync(join(bin, 'pytest'), ['-q', '-rf', 'tests'], options);
  const failed = [...stdout.matchAll(/^FAILED (\S+)/gm)].map(([, name]) => name).sort();
  t.strictSame(failed, REFUSED, stdout.slice(-2000));
  t.ok(Number(/(\d+) passed/.exec(stdout)?.[1]) >= PASSED_MIN, stdout.slice(-200));
});
