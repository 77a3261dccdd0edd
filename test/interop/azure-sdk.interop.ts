// Microsoft's own client libraries beside the adapter, in one strict vault: what they accept the fake must answer, and each uses what the
// other made. Both ask for Azure's own names; a proxy leads them to the fake.
import { execFileSync, spawn } from 'node:child_process';
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { azureKind } from '../../src/providers/azure/azure-key-service.ts';
import { boundPlaintext, formatWrappedKey, parseWrappedKey } from '../../src/providers/wrapped-key.ts';
import type { NewResidentKey, ResidentKey } from '../../src/tokens/resident-port.ts';
import { temporaryDirectory } from '../e2e/instance.ts';
import { makeCertificates, makeNamed } from '../fakes/certificates.ts';
import { startConnectProxy } from '../fakes/connect-proxy.ts';
import { FakeAzure } from '../fakes/fake-azure.ts';
import { FakeService } from '../fakes/fake-service.ts';
import { installPython } from './python-venv.ts';

const PACKAGES = 'azure-keyvault-keys==4.11.3 azure-identity==1.27.0';
const NAMES = ['name.vault.azure.net', 'login.microsoftonline.com'];
const KIND = 'azure-key-vault';
const PURPOSE = 'token 1';
const TEXT = Buffer.from('of the application');
for (const name of Object.keys(process.env)) if (/^(AZURE|IDENTITY)_/.test(name)) delete process.env[name];
/** Before a scene names its own proxy, by which there is no PyPI. */
const PYTHON = join(installPython(PACKAGES), 'python');

type Say = (verb: string, ...values: unknown[]) => Promise<Record<string, unknown>>;

/** The program's end says why in the rejection. */
function startClient(t: Test, environment: Record<string, string>): Say {
  const program = join(import.meta.dirname, 'azure-client.py');
  const child = spawn(PYTHON, [program], { env: { ...process.env, ...environment }, stdio: 'pipe' });
  t.teardown(() => child.kill('SIGKILL'));
  let errors = '';
  child.stderr.on('data', (piece) => (errors += piece));
  const ended = once(child, 'close').then(() => Promise.reject(new Error(errors.slice(-3000))));
  ended.catch(() => undefined);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return async (verb, ...values) => {
    child.stdin.write(`${JSON.stringify([verb, ...values])}\n`);
    const { value } = await Promise.race([lines.next(), ended]);
    return value === undefined ? ended : JSON.parse(value);
  };
}

/** The application's certificate with its key, and the key alone. */
function makeApplication(dir: string): { certificate: string; both: string; key: string } {
  const [certificate, key, both] = ['app.crt', 'app.key', 'app.pem'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  const subject = ['-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=app'];
  execFileSync('openssl', ['req', '-x509', ...subject, '-keyout', key, '-out', certificate], {
    stdio: 'ignore',
  });
  chmodSync(key, 0o600);
  writeFileSync(both, Buffer.concat([readFileSync(key), readFileSync(certificate)]), { mode: 0o600 });
  return { certificate, both, key };
}

async function scene(t: Test, way: 'client-secret' | 'client-certificate' = 'client-secret') {
  const dir = temporaryDirectory(t);
  const { ca } = makeCertificates(dir);
  const named = makeNamed(dir, NAMES);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const azure = new FakeAzure(String(privateKey.export({ type: 'pkcs8', format: 'pem' })));
  const tls = { cert: readFileSync(named.certificate), key: readFileSync(named.key) };
  const server = new FakeService(azure.handle, tls);
  await server.start();
  const proxy = await startConnectProxy(t, server.port);
  process.env['HTTPS_PROXY'] = proxy.url;
  const [secret, app] = [join(dir, 'secret'), makeApplication(dir)];
  writeFileSync(secret, 'client-secret-1\n', { mode: 0o600 });
  const ids = { 'tenant-id': 'tenant-1', 'client-id': 'client-1' };
  const options = {
    ...{ kind: KIND, vault: 'https://name.vault.azure.net', key: 'kek', 'ca-file': ca },
    auth: {
      ...{ method: way, ...ids },
      ...(way === 'client-secret'
        ? { 'client-secret-file': secret }
        : { 'certificate-file': app.certificate, 'key-file': app.key }),
    },
    ...{ timeout: '9s', 'try-timeout': '9s' },
  };
  const deps = { name: 'z', log: createLogger('silent'), clock: SYSTEM_CLOCK, random: randomBytes };
  const service = azureKind.create(azureKind.schema.parse(options), {
    ...{ ...deps, resolvePath: (path: string) => resolve(dir, path) },
  });
  t.teardown(async () => {
    await service.close();
    await server.stop();
  });
  const say = startClient(t, { HTTPS_PROXY: proxy.url, REQUESTS_CA_BUNDLE: ca });
  const keys = service.resident;
  if (!keys) throw new Error('no resident keys');
  return { azure, service, keys, say, proxy, app };
}

const wanted = (name: string, more: Partial<NewResidentKey> = {}): NewResidentKey => ({
  ...{ name, spec: 'ec-p256', sizeBits: 0, uses: ['sign'], ckaId: Buffer.alloc(0) },
  ...more,
});

t.test("Microsoft's client and the adapter open what the other wrapped, by Azure's own names", async (t) => {
  const { azure, service, say, proxy } = await scene(t);
  const { expires } = await say('login', { secret: 'client-secret-1' });
  t.ok(Number(expires) > Date.now() / 1000 + 3000);
  const ours = await service.generateDataKey(PURPOSE);
  const { ciphertext, reference } = parseWrappedKey(KIND, ours.wrapped);
  const { key } = await say('unwrap', ciphertext.toString('base64'), reference.split('/').at(-1));
  t.equal(key, boundPlaintext(KIND, PURPOSE, ours.plaintext).toString('hex'));

  const mine = randomBytes(32);
  const made = await say('wrap', boundPlaintext(KIND, PURPOSE, mine).toString('hex'));
  const bytes = Buffer.from(String(made['wrapped']), 'base64');
  const wrapped = formatWrappedKey(KIND, { reference: String(made['kid']), ciphertext: bytes });
  t.ok((await service.unwrapDataKey(wrapped, PURPOSE)).equals(mine));
  t.match(await service.health(), { ok: true });
  t.match(await say('random', 20), { length: 20 });
  const asked = new Set(proxy.asked);
  t.strictSame([...asked].sort(), ['login.microsoftonline.com:443', 'name.vault.azure.net:443']);
  t.ok(azure.logins.length >= 2 && azure.logins.every((way) => way === 'secret'));
});

t.test("keys of the adapter are used by Microsoft's client, and judged by it", async (t) => {
  const { keys, say } = await scene(t);
  await say('login', { secret: 'client-secret-1' });
  for (const spec of ['ec-p256', 'ec-p384', 'ec-p521', 'ec-secp256k1'] as const) {
    const key = await keys.create(wanted(`app-${spec}`, { spec }));
    t.match(await say('shape', key.name), { type: 'EC', operations: ['sign', 'verify'] });
    await judged(t, say, keys, key);
  }
  const rsa = await keys.create(wanted('app-rsa', { spec: 'rsa-2048', uses: ['sign', 'decrypt'] }));
  const operations = ['decrypt', 'encrypt', 'sign', 'verify'];
  t.match(await say('shape', rsa.name), { type: 'RSA', operations, version: rsa.version });
  await judged(t, say, keys, rsa);
  const { sealed } = await say('cipher', rsa.name);
  const [oaep] = rsa.ciphers;
  if (!oaep) throw new Error('no cipher');
  const empty = Buffer.alloc(0);
  const none = { iv: empty, aad: empty, tagBits: 0, label: empty };
  t.same(await keys.decrypt(rsa, oaep, none, Buffer.from(String(sealed), 'base64')), TEXT);
});

/** Every way in which this key signs, verified by the library. */
async function judged(t: Test, say: Say, keys: Scene['keys'], key: ResidentKey): Promise<void> {
  for (const algorithm of key.signs) {
    const digest = createHash(algorithm.hash ?? '')
      .update(TEXT)
      .digest();
    const signature = await keys.sign(key, algorithm, digest, 0);
    const bits = (algorithm.hash ?? '').slice(3);
    const families = { 'rsa-pkcs1': 'RS', 'rsa-pss': 'PS', ecdsa: 'ES' } as const;
    const family = families[algorithm.scheme as keyof typeof families];
    const alg = `${family}${bits}${key.spec === 'ec-secp256k1' ? 'K' : ''}`;
    const parts = [digest.toString('hex'), signature.toString('hex')];
    t.match(await say('verify', key.name, key.version, alg, ...parts), { valid: true }, alg);
  }
}

type Scene = Awaited<ReturnType<typeof scene>>;

t.test(
  "versions, a disabled key, deletion and recovery by Microsoft's client are seen by the adapter",
  async (t) => {
    const { azure, keys, say, service } = await scene(t);
    await say('login', { secret: 'client-secret-1' });
    const first = String((await say('make', 'app', 'P-256'))['version']);
    const second = String((await say('rotate', 'app'))['version']);
    const third = String((await keys.rotate?.((await keys.list('app', 9))[0] as ResidentKey))?.version);
    const shown = async () => (await keys.list('app', 9)).map(({ version }) => version);
    t.strictSame(await shown(), [first, second, third]);
    for (const name of ['a1', 'a2', 'a3']) await keys.create(wanted(name));
    const listed = await say('list');
    t.strictSame(listed['names'], ['a1', 'a2', 'a3', 'app', 'kek'], 'of several pages');
    t.match(listed['versions'], { app: [first, second, third] });
    t.strictSame(
      (await keys.list('', 99)).map(({ name }) => name).includes('kek'),
      false,
      'the KEK is none of them',
    );

    const [old] = await keys.list('app', 9);
    const [algorithm] = old?.signs ?? [];
    if (!old || !algorithm) throw new Error('no key');
    t.match(await say('disable', 'app', first), { enabled: false });
    t.strictSame(await shown(), [second, third]);
    const digest = createHash('sha256').update(TEXT).digest();
    await t.rejects(keys.sign(old, algorithm, digest, 0), {
      code: 'provider_refused',
      message: /KeyDisabled/,
    });

    t.match(await say('delete', 'app'), { purge: 90 * 86_400 });
    t.strictSame(await shown(), []);
    await t.rejects(keys.create(wanted('app')), { code: 'provider_refused', message: /Recoverable/ });
    t.match(await say('refused', 'app'), {
      error: 'ResourceNotFoundError',
      status: 404,
      code: 'KeyNotFound',
    });
    t.match(await say('recover', 'app'), { version: third });
    t.strictSame(await shown(), [second, third]);
    azure.behaviour.allows = false;
    t.match(await say('refused', 'app'), { error: 'HttpResponseError', status: 403, code: 'Forbidden' });
    await t.rejects(service.generateDataKey(PURPOSE), {
      code: 'provider_refused',
      message: /ForbiddenByRbac/,
    });
  },
);

t.test("a login by certificate is the same for Microsoft's client and the adapter", async (t) => {
  const { azure, service, say, app } = await scene(t, 'client-certificate');
  azure.behaviour.certificate = readFileSync(app.certificate, 'utf8');
  await say('login', { certificate: app.both });
  t.match(await say('random', 3), { length: 3 });
  const before = azure.logins.length;
  t.match(await service.health(), { ok: true });
  t.equal(azure.logins.length, before + 1);
  t.ok(azure.logins.every((way) => way === 'certificate'));
  azure.behaviour.certificate = null;
  azure.forget();
  await t.rejects(service.generateDataKey(PURPOSE), { code: 'provider_refused', message: /AADSTS700027/ });
});
