// OpenBao's own command line, in the syntax that it shares with Vault's, against the socket: BAO_ADDR is all that it is told.
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { startInstance } from '../e2e/instance.ts';
import { installBao } from './openbao.ts';

const bin = installBao();
const sidekey = await startInstance(t);
const TEXT = Buffer.from('seventeen camels').toString('base64');

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function bao(args: readonly string[], input = ''): Ran {
  const env = {
    PATH: '/usr/bin:/bin',
    HOME: sidekey.dir,
    BAO_ADDR: `unix://${sidekey.api}`,
    BAO_TOKEN: 'any',
  };
  return spawnSync(bin, args, { env, input, encoding: 'utf8', timeout: 60_000 });
}

function must(...args: string[]): string {
  const { status, stdout, stderr } = bao(args);
  if (status !== 0) throw new Error(`bao ${args.join(' ')}: ${status} ${stderr}`);
  return stdout.trim();
}

function field(name: string, ...args: string[]): string {
  const [verb = '', ...rest] = args;
  return must(verb, `-field=${name}`, ...rest);
}

t.test('status and who one is', async (t) => {
  t.match(must('status'), /Sealed +false/);
  t.match(must('secrets', 'list'), /^transit\/ +transit +transit_/m);
  t.match(must('token', 'lookup'), new RegExp(`display_name +uid-${process.getuid?.()}`));
});

t.test('a key through its life', async (t) => {
  t.match(must('write', '-f', 'transit/keys/orders'), /latest_version +1/);
  t.match(must('list', 'transit/keys'), /^orders$/m);
  const first = field('ciphertext', 'write', 'transit/encrypt/orders', `plaintext=${TEXT}`);
  t.equal(field('plaintext', 'write', 'transit/decrypt/orders', `ciphertext=${first}`), TEXT);
  t.match(must('write', '-f', 'transit/keys/orders/rotate'), /latest_version +2/);
  const second = field('ciphertext', 'write', 'transit/rewrap/orders', `ciphertext=${first}`);
  t.match(second, /^vault:v2:/);
  t.match(
    must('write', 'transit/keys/orders/config', 'min_decryption_version=2', 'deletion_allowed=true'),
    /min_decryption_version +2/,
  );
  const refused = bao(['write', 'transit/decrypt/orders', `ciphertext=${first}`]);
  t.equal(refused.status, 2);
  t.match(refused.stderr, 'disallowed by policy (too old)');
  t.equal(field('plaintext', 'write', 'transit/decrypt/orders', `ciphertext=${second}`), TEXT);
  t.match(must('read', 'transit/keys/orders'), /type +aes256-gcm96/);
  must('delete', 'transit/keys/orders');
  t.match(bao(['read', 'transit/keys/orders']).stderr, 'No value found');
});

t.test('a batch from a file, and one of which an item is wrong', async (t) => {
  must('write', '-f', 'transit/keys/batch');
  const write = (items: readonly object[]): Ran =>
    bao(['write', '-format=json', 'transit/encrypt/batch', '-'], JSON.stringify({ batch_input: items }));
  const good = write([{ plaintext: TEXT }, { plaintext: TEXT, reference: 'r' }]);
  const { data } = JSON.parse(good.stdout) as { data: { batch_results: { reference: string }[] } };
  t.same(
    data.batch_results.map(({ reference }) => reference),
    ['', 'r'],
  );
  t.equal(write([{ plaintext: TEXT }, { plaintext: '*' }]).status, 2);
});

t.test('signatures, codes, data keys, digests and random bytes', async (t) => {
  must('write', 'transit/keys/signer', 'type=ecdsa-p256');
  const signature = field('signature', 'write', 'transit/sign/signer/sha2-256', `input=${TEXT}`);
  const verify = (input: string): string =>
    field('valid', 'write', 'transit/verify/signer/sha2-256', `input=${input}`, `signature=${signature}`);
  t.equal(verify(TEXT), 'true');
  t.equal(verify('AAAA'), 'false');
  must('write', '-f', 'transit/keys/other');
  const hmac = field('hmac', 'write', 'transit/hmac/other', `input=${TEXT}`);
  t.equal(field('valid', 'write', 'transit/verify/other', `input=${TEXT}`, `hmac=${hmac}`), 'true');
  const wrapped = JSON.parse(must('write', '-f', '-format=json', 'transit/datakey/plaintext/other')) as {
    data: { plaintext: string; ciphertext: string };
  };
  const { plaintext, ciphertext } = wrapped.data;
  t.equal(field('plaintext', 'write', 'transit/decrypt/other', `ciphertext=${ciphertext}`), plaintext);
  t.match(field('random_bytes', 'write', 'transit/random/16', 'format=hex'), /^[0-9a-f]{32}$/);
  t.equal(
    field('sum', 'write', 'transit/hash/sha2-256', 'input=YWJj'),
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  );
});

t.test("a key of one's own is imported, by what the command line wraps it with", async (t) => {
  const key = (): string => randomBytes(32).toString('base64');
  must('transit', 'import', 'transit/keys/brought', key(), 'type=aes256-gcm96');
  must('transit', 'import-version', 'transit/keys/brought', key());
  t.match(must('read', 'transit/keys/brought'), /imported_key +true[^]*latest_version +2/);
});
