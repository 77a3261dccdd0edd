import { spawn, spawnSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { compile, PIN, startInstance, temporaryDirectory, type Instance } from './instance.ts';
import { transitClient } from './transit-client.ts';
import { aes256Schedule, countInFile, countInProcess, swapWords } from './memory-search.ts';

const LOGIN = ['--login', '--pin', PIN];

function gcore(pid: number, prefix: string): string {
  const result = spawnSync('gcore', ['-a', '-o', prefix, String(pid)], { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`gcore: ${result.stdout}${result.stderr}`);
  return `${prefix}.${pid}`;
}

/** The key, a round key from the middle of its schedule in both byte orders. */
function aesNeedles(key: Buffer): Buffer[] {
  const schedule = aes256Schedule(key).subarray(0, 64);
  return [key, schedule, swapWords(schedule)];
}

/** Secret numbers of an RSA key, as they stand in DER and as OpenSSL's little-endian words hold them. */
function rsaNeedles(jwk: { d?: string; p?: string; q?: string }): Buffer[] {
  const numbers = [jwk.d, jwk.p, jwk.q].map((text) => Buffer.from(text ?? '', 'base64url').subarray(0, 128));
  return numbers.flatMap((bytes) => [bytes.subarray(0, 64), Buffer.from(bytes).reverse().subarray(-64)]);
}

function useKeys(sidekey: Instance, dir: string): void {
  const data = join(dir, 'data');
  writeFileSync(data, randomBytes(1024));
  const out = ['--input-file', data, '--output-file', join(dir, 'out')];
  const iv = ['--iv', '00'.repeat(16)];
  const encrypt = sidekey.pkcs11Tool(
    ...LOGIN,
    '--encrypt',
    '--mechanism',
    'AES-CBC-PAD',
    '--id',
    '01',
    ...iv,
    ...out,
  );
  if (encrypt.status !== 0) throw new Error(encrypt.stderr);
  const sign = sidekey.pkcs11Tool(...LOGIN, '--sign', '--mechanism', 'SHA256-RSA-PKCS', '--id', '02', ...out);
  if (sign.status !== 0) throw new Error(sign.stderr);
}

t.test('the search finds a key and its schedule in an ordinary process', async (t) => {
  const key = randomBytes(32);
  const holder = spawn(compile(t, 'hold-key.c', '-lcrypto'), { stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(() => holder.kill('SIGKILL'));
  holder.stdin.end(key);
  await once(holder.stdout, 'data');
  const needles = aesNeedles(key);
  const [inCore = 0, schedule = 0, swapped = 0] = countInFile(
    gcore(holder.pid ?? 0, join(temporaryDirectory(t), 'core')),
    needles,
  );
  t.ok(inCore > 0, 'the key in the core');
  t.ok(schedule + swapped > 0, 'the key schedule in the core');
  const [inMemory = 0] = countInProcess(holder.pid ?? 0, needles);
  t.ok(inMemory > 0, 'the key in the memory');
});

t.test(
  'no key stands in a core or in the readable memory of keeper and agent while they use it',
  async (t) => {
    const sidekey = await startInstance(t);
    const dir = temporaryDirectory(t);
    const aes = randomBytes(32);
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(join(dir, 'aes'), aes);
    writeFileSync(join(dir, 'rsa'), privateKey.export({ type: 'pkcs1', format: 'der' }));
    for (const [file, type, extra, id] of [
      ['aes', 'secrkey', ['--key-type', 'AES:32', '--extractable'], '01'],
      ['rsa', 'privkey', ['--usage-sign'], '02'],
    ] as const) {
      const write = sidekey.pkcs11Tool(
        ...LOGIN,
        '--write-object',
        join(dir, file),
        '--type',
        type,
        ...extra,
        '--id',
        id,
        '--label',
        file,
      );
      t.equal(write.status, 0, write.stdout + write.stderr);
    }
    useKeys(sidekey, dir);
    const needles = [
      ...aesNeedles(aes),
      ...rsaNeedles(privateKey.export({ format: 'jwk' })),
      ...storeSecrets(sidekey),
    ];
    const { keeper, agent } = sidekey.status();
    const none = needles.map(() => 0);
    t.same(countInFile(gcore(keeper.pid, join(dir, 'keeper')), needles), none, 'a core of the keeper');
    t.same(countInProcess(keeper.pid, needles), none, 'the memory of the keeper');
    t.same(countInProcess(agent.pid, needles), none, 'the memory of the agent');
  },
);

/** By the command line, HTTP and streams; whatever was refused is a fault of the test. */
function useByHttp(sidekey: Instance, dir: string, key: Buffer): void {
  const must = ({ status, stdout, stderr }: { status: number | null; stdout: string; stderr: string }) => {
    if (status !== 0) throw new Error(stdout + stderr);
    return stdout;
  };
  const curl = (...args: string[]): string =>
    must(spawnSync('curl', ['-sSf', '--unix-socket', sidekey.api, ...args], { encoding: 'utf8' }));
  const [raw, text] = [join(dir, 'raw'), join(dir, 'text')];
  writeFileSync(raw, key);
  writeFileSync(text, randomBytes(200_000));
  must(sidekey.sidekey('keys', 'import', 'brought', '--secret', 'aes256-gcm96', '--in', raw));
  const url = 'http://localhost/v1';
  const sealed = curl('-d', '{"plaintext":"aGk="}', `${url}/transit/encrypt/brought`);
  const { data } = JSON.parse(sealed) as { data: { ciphertext: string } };
  curl('-d', JSON.stringify({ ciphertext: data.ciphertext }), `${url}/transit/decrypt/brought`);
  curl('-d', '{}', `${url}/transit/datakey/wrapped/brought`);
  curl('-d', '{"input":"aGk="}', `${url}/transit/hmac/brought`);
  curl('-T', text, '-o', `${text}.sealed`, `${url}/sidekey/stream/encrypt/brought`);
  curl('-T', `${text}.sealed`, '-o', `${text}.open`, `${url}/sidekey/stream/decrypt/brought`);
}

t.test('nor a PIN, an EC key, or one that the command line brought and HTTP used', async (t) => {
  const sidekey = await startInstance(t);
  const dir = temporaryDirectory(t);
  const pin = randomBytes(12).toString('hex');
  const [brought, login] = [randomBytes(32), ['--login', '--pin', pin]];
  t.equal(sidekey.pkcs11Tool(...LOGIN, '--change-pin', '--new-pin', pin).status, 0);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const [file, data] = [join(dir, 'ec'), join(dir, 'data')];
  writeFileSync(file, privateKey.export({ type: 'sec1', format: 'der' }));
  writeFileSync(data, randomBytes(1024));
  const object = ['--type', 'privkey', '--id', '03', '--label', 'ec', '--usage-sign'];
  const written = sidekey.pkcs11Tool(...login, '--write-object', file, ...object);
  t.equal(written.status, 0, written.stderr);
  const sign = ['--sign', '--mechanism', 'ECDSA-SHA256', '--id', '03', '--input-file', data];
  const signed = sidekey.pkcs11Tool(...login, ...sign, '--output-file', join(dir, 'signature'));
  t.equal(signed.status, 0, signed.stderr);
  useByHttp(sidekey, dir, brought);
  const d = Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url');
  const needles = [
    Buffer.from(pin),
    d,
    Buffer.from(d).reverse(),
    ...aesNeedles(brought),
    ...storeSecrets(sidekey),
  ];
  const names = ['PIN', 'd', 'd reversed', 'AES', 'schedule', 'schedule swapped', 'store'];
  const { keeper, agent } = sidekey.status();
  const found = (counts: number[]) => counts.flatMap((count, i) => (count > 0 ? [names[i] ?? 'store'] : []));
  t.strictSame(
    found(countInFile(gcore(keeper.pid, join(dir, 'keeper')), needles)),
    [],
    'a core of the keeper',
  );
  t.strictSame(found(countInProcess(keeper.pid, needles)), [], 'the memory of the keeper');
  t.strictSame(found(countInProcess(agent.pid, needles)), [], 'the memory of the agent');
});

/** In pieces of a vector register. */
function pieces(bytes: Buffer): Buffer[] {
  return Array.from({ length: Math.floor(bytes.length / 16) }, (_, i) => bytes.subarray(16 * i, 16 * i + 16));
}

t.test('no key stands in the registers that a core of a resting keeper has', async (t) => {
  const sidekey = await startInstance(t);
  const call = transitClient(sidekey);
  const dir = temporaryDirectory(t);
  await call('POST', '/transit/keys/out', { exportable: true });
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(join(dir, 'rsa.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const imported = sidekey.sidekey('keys', 'import', 'rsa', '--in', join(dir, 'rsa.pem'));
  t.equal(imported.status, 0, imported.stderr);
  const { d = '', p = '', q = '' } = privateKey.export({ format: 'jwk' });
  const numbers = [d, p, q].map((text) => Buffer.from(text, 'base64url').reverse());
  const uses = [
    () => call('GET', '/transit/export/encryption-key/out'),
    () => call('POST', '/transit/encrypt/out', { plaintext: 'AAAA' }),
    () => call('POST', '/transit/sign/rsa', { input: 'AAAA' }),
  ];
  const out = (await call('GET', '/transit/export/encryption-key/out')).data['keys'] as { 1: string };
  const needles = [Buffer.from(out[1], 'base64'), ...numbers].flatMap(pieces);
  const { keeper } = sidekey.status();
  for (const use of [...uses, ...uses]) {
    for (let times = 0; times < 8; times++) t.equal((await use()).status, 200);
    const counts = countInFile(gcore(keeper.pid, join(dir, 'keeper')), needles);
    t.strictSame(
      counts,
      needles.map(() => 0),
      String(use),
    );
  }
});

/** Files of 32 bytes in the store are key-encryption keys. */
function storeSecrets(sidekey: Instance): Buffer[] {
  const files = readdirSync(sidekey.dir, { recursive: true, encoding: 'utf8' }).map((name) =>
    join(sidekey.dir, name),
  );
  const keys = files
    .filter((file) => statSync(file).isFile() && statSync(file).size === 32)
    .map((file) => readFileSync(file));
  if (keys.length === 0)
    throw new Error('the embedded KEK was not found: the search would prove nothing of it');
  return keys.flatMap((key) => aesNeedles(key));
}

t.test('the schedule is the one of FIPS 197, appendix A.3', (t) => {
  const key = Buffer.from('603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4', 'hex');
  const schedule = aes256Schedule(key);
  t.equal(schedule.subarray(0, 16).toString('hex'), '9ba354118e6925afa51a8b5f2067fcde');
  t.equal(schedule.subarray(-16).toString('hex'), 'fe4890d1e6188d0b046df344706c631e');
  t.end();
});
