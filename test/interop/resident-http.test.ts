/**
 * Keys of each key service over HTTP, as in PKCS#11: made, found, used, rotated and destroyed by the Transit dialect, and counted. One instance with a
 * token for each service. What a service cannot do is refused by a clear status, and the next request is served.
 */
import { createPublicKey, randomBytes, verify } from 'node:crypto';
import t, { type Test } from 'tap';
import { initInstance, type Instance } from '../e2e/instance.ts';
import { send, transitClient, type ApiAnswer } from '../e2e/transit-client.ts';
import { SERVICES, startService, type Service } from './services.ts';

const OK = 200;
const NO = 400;
const REFUSED = 502;

/** Statuses of what is asked for of each service: 400 is Sidekey's no, 502 the service's. */
interface Expected {
  readonly ec: number;
  readonly pss: number;
  readonly pkcs1: number;
  readonly ed25519: number;
  readonly hmac: number;
  readonly aes: number;
  readonly rotate: number;
  readonly random: number;
}

const EXPECTED: Readonly<Record<Service, Expected>> = {
  'pkcs11-hsm': { ec: OK, pss: OK, pkcs1: OK, ed25519: NO, hmac: OK, aes: OK, rotate: NO, random: OK },
  // PyKMIP makes no EC and no HMAC keys, signs by PKCS #1 alone, and has no RNG Retrieve.
  kmip: {
    ec: REFUSED,
    pss: NO,
    pkcs1: OK,
    ed25519: NO,
    hmac: REFUSED,
    aes: OK,
    rotate: REFUSED,
    random: REFUSED,
  },
  vault: { ec: OK, pss: OK, pkcs1: OK, ed25519: OK, hmac: OK, aes: NO, rotate: OK, random: OK },
  'aws-kms': { ec: OK, pss: OK, pkcs1: OK, ed25519: OK, hmac: OK, aes: NO, rotate: NO, random: OK },
  // A key has one algorithm there: for RSA PKCS #1.
  'gcp-kms': { ec: OK, pss: NO, pkcs1: OK, ed25519: OK, hmac: OK, aes: NO, rotate: OK, random: OK },
  'azure-key-vault': { ec: OK, pss: OK, pkcs1: OK, ed25519: NO, hmac: NO, aes: NO, rotate: OK, random: OK },
};

type Answer = Readonly<Record<string, any>>;

class Mount {
  readonly #client: ReturnType<typeof transitClient>;
  readonly #token: string;

  constructor(instance: Instance, token: string) {
    this.#client = transitClient(instance);
    this.#token = token;
  }

  ask(method: string, path: string, body?: object): Promise<ApiAnswer & { data: Answer }> {
    return this.#client(method, `/${this.#token}/${path}`, body ?? (method === 'POST' ? {} : undefined));
  }

  async status(method: string, path: string, body?: object): Promise<number> {
    return (await this.ask(method, path, body)).status;
  }
}

function toBase64(bytes: Buffer | string): string {
  return Buffer.from(bytes).toString('base64');
}

async function publicKeyOf(mount: Mount, name: string) {
  const { data } = await mount.ask('GET', `keys/${name}`);
  return createPublicKey(data['keys'][data['latest_version']]['public_key']);
}

async function signsWith(t: Test, mount: Mount, name: string, fields: object, expected: number) {
  const message = randomBytes(1000);
  const input = toBase64(message);
  const { status, data } = await mount.ask('POST', `sign/${name}`, { input, ...fields });
  t.equal(status, expected, `${name} ${JSON.stringify(fields)}: ${JSON.stringify(data)}`);
  if (status !== OK) return;
  const checked = await mount.ask('POST', `verify/${name}`, {
    input,
    signature: data['signature'],
    ...fields,
  });
  t.same(checked.data, { valid: true });
  const other = { input: toBase64('other'), signature: data['signature'], ...fields };
  t.same((await mount.ask('POST', `verify/${name}`, other)).data, { valid: false });
  if (!name.startsWith('ec')) return;
  const signature = Buffer.from(data['signature'].split(':')[2], 'base64');
  t.ok(verify('sha256', message, await publicKeyOf(mount, name), signature), 'openssl agrees');
}

async function makesCodes(t: Test, mount: Mount): Promise<void> {
  const input = toBase64('of this');
  const { data } = await mount.ask('POST', 'hmac/mac', { input });
  t.match(data['hmac'], /^vault:v1:[\w+/]{43}=$/);
  t.same((await mount.ask('POST', 'verify/mac', { input, hmac: data['hmac'] })).data, { valid: true });
  const other = { input: toBase64('of that'), hmac: data['hmac'] };
  t.same((await mount.ask('POST', 'verify/mac', other)).data, { valid: false });
}

async function ciphers(t: Test, mount: Mount): Promise<void> {
  const associated_data = toBase64('beside');
  const sealed = await mount.ask('POST', 'encrypt/aes', { plaintext: toBase64('plain'), associated_data });
  t.equal(sealed.status, OK, JSON.stringify(sealed.data));
  const { ciphertext } = sealed.data;
  const opened = await mount.ask('POST', 'decrypt/aes', { ciphertext, associated_data });
  t.equal(opened.data['plaintext'], toBase64('plain'));
  t.equal(await mount.status('POST', 'decrypt/aes', { ciphertext }), NO, 'without what stands beside');
  const rewrapped = await mount.ask('POST', 'rewrap/aes', { ciphertext, associated_data });
  t.not(rewrapped.data['ciphertext'], ciphertext);
  const key = await mount.ask('POST', 'datakey/plaintext/aes');
  const again = await mount.ask('POST', 'decrypt/aes', { ciphertext: key.data['ciphertext'] });
  t.equal(again.data['plaintext'], key.data['plaintext'], 'a data key is wrapped in the service');
  const batch_input = [{ ciphertext, associated_data }, { ciphertext: 'vault:v1:AAAA' }];
  const batch = await mount.ask('POST', 'decrypt/aes', { batch_input });
  t.equal(batch.data['batch_results'][0].plaintext, toBase64('plain'));
  t.ok(batch.data['batch_results'][1].error);
}

async function checkRandom(t: Test, instance: Instance, mount: Mount, kind: Service): Promise<void> {
  const { random } = EXPECTED[kind];
  for (const source of ['seal', 'all']) {
    const { status, data } = await mount.ask('POST', `random/${source}/40`);
    t.equal(status, random, source);
    if (status === OK) t.equal(Buffer.from(data['random_bytes'], 'base64').length, 40);
    t.equal(await mount.status('POST', `random/${source}/1025`), NO);
  }
  t.equal(await mount.status('POST', 'random/platform/40'), OK, 'the kernel is not asked in vain');
  const told = instance.sidekey('random', '8', '--from', 'all', '--token', kind, '--format', 'hex');
  if (random === OK) t.match(told.stdout.trim(), /^[0-9a-f]{16}$/, 'on the command line');
  else t.not(told.status, 0);
}

async function checkCounted(t: Test, instance: Instance, kind: string): Promise<void> {
  const { bytes } = await send(instance.api, 'GET', '/metrics', '');
  const metrics = bytes.toString();
  const operated = `sidekey_operations_total{peer="http",token="${kind}",operation="sign",result="ok"}`;
  t.ok(metrics.includes(operated), 'operations of the token');
  const called = `sidekey_provider_calls_total{provider="${kind}",call="resident-sign",result="ok"}`;
  t.ok(metrics.includes(called), 'calls of the provider');
  const { body } = await transitClient(instance)('GET', '/sidekey/usage');
  const { usage } = body as unknown as { usage: Answer[] };
  t.ok(usage.some((row) => row['peer'] === 'http' && row['token'] === kind && row['key'] === 'rsa'));
}

async function uses(t: Test, instance: Instance, kind: Service): Promise<void> {
  const mount = new Mount(instance, kind);
  const expected = EXPECTED[kind];
  const make = (name: string, type: string, status: number): Promise<void> =>
    mount.ask('POST', `keys/${name}`, { type }).then(({ status: said, data }) => {
      t.equal(said, status, `${type}: ${JSON.stringify(data)}`);
    });
  await make('ec', 'ecdsa-p256', expected.ec);
  await make('rsa', 'rsa-2048', OK);
  await make('ed', 'ed25519', expected.ed25519);
  await make('mac', 'hmac', expected.hmac);
  await make('aes', 'aes256-gcm96', expected.aes);
  if (expected.ec === OK) await signsWith(t, mount, 'ec', {}, OK);
  if (expected.ed25519 === OK) await signsWith(t, mount, 'ed', {}, OK);
  await signsWith(t, mount, 'rsa', { signature_algorithm: 'pkcs1v15' }, expected.pkcs1);
  await signsWith(t, mount, 'rsa', {}, expected.pss);
  if (expected.hmac === OK) await makesCodes(t, mount);
  if (expected.aes === OK) await ciphers(t, mount);
  t.equal(await mount.status('POST', 'rotate/none'), 404);
  t.equal(await mount.status('POST', 'keys/rsa/rotate'), expected.rotate);
  if (expected.rotate === OK) {
    const { data } = await mount.ask('GET', 'keys/rsa');
    t.equal(Object.keys(data['keys']).length, 2, 'two versions');
    t.equal(data['latest_version'], Math.max(...Object.keys(data['keys']).map(Number)));
  }
  await checkRandom(t, instance, mount, kind);
  await checkCounted(t, instance, kind);
  t.equal(await mount.status('GET', 'export/signing-key/rsa'), NO, 'it does not leave');
  t.equal(await mount.status('POST', 'sign/none', { input: '' }), NO, 'a key that is not there');
  const { data } = await mount.ask('LIST', 'keys');
  const made = ['aes', 'ec', 'ed', 'mac', 'rsa'].filter(
    (name) => ({ ...expected, ed: expected.ed25519, mac: expected.hmac, rsa: OK })[name] === OK,
  );
  t.same(data['keys'], made);
  for (const name of made.filter((each) => each !== 'rsa' || kind !== 'azure-key-vault'))
    t.equal(await mount.status('DELETE', `keys/${name}`), 204, `${name} is destroyed`);
}

t.test('keys of each service are made, used, counted and destroyed over HTTP', async (t) => {
  const services: string[] = [];
  for (const kind of SERVICES) services.push(await startService(t, kind));
  const resident = 'resident: { prefix: "http-", create: true, destroy: true }';
  const tokens = SERVICES.map(
    (kind) => `  - label: ${kind}\n    provider: ${kind}\n    login: none\n    ${resident}\n`,
  );
  const instance = initInstance(t, {
    edit: (yaml) =>
      yaml
        .replace(/^tokens:\n/m, `tokens:\n${tokens.join('')}`)
        .replace(/^providers:\n/m, `providers:\n${services.join('')}`),
  });
  await instance.start();
  for (const kind of SERVICES) await t.test(kind, (t) => uses(t, instance, kind));
});
