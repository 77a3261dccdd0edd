/** The Transit dialect over real keys: agent, keeper and the HTTP socket as real processes. */
import { createHmac, randomBytes } from 'node:crypto';
import { test } from 'tap';
import { PIN, startInstance } from './instance.ts';
import { transitClient } from './transit-client.ts';

const b64 = (text: string | Buffer) => Buffer.from(text).toString('base64');
const plaintext = b64('seventeen camels');

test('versions: rotate, rewrap, the policy, trim and delete', async (t) => {
  const instance = await startInstance(t);
  const call = transitClient(instance);
  const old = (
    await call('POST', '/transit/keys/orders').then(() =>
      call('POST', '/transit/encrypt/orders', { plaintext }),
    )
  ).data['ciphertext'] as string;
  t.match(old, /^vault:v1:/);
  const rotated = await call('POST', '/transit/keys/orders/rotate');
  t.match(rotated.data, { latest_version: 2, min_decryption_version: 1, keys: { 1: Number, 2: Number } });
  const young = (await call('POST', '/transit/encrypt/orders', { plaintext })).data;
  t.match(young, { ciphertext: /^vault:v2:/, key_version: 2 });
  const first = await call('POST', '/transit/encrypt/orders', { plaintext, key_version: 1 });
  t.match(first.data, { ciphertext: /^vault:v1:/, key_version: 1 });
  for (const ciphertext of [old, young['ciphertext'], first.data['ciphertext']])
    t.equal((await call('POST', '/transit/decrypt/orders', { ciphertext })).data['plaintext'], plaintext);

  const rewrapped = await call('POST', '/transit/rewrap/orders', {
    batch_input: [{ ciphertext: old, reference: 'a' }, { ciphertext: 'vault:v3:AAAA' }],
  });
  t.equal(rewrapped.status, 200);
  t.match(rewrapped.data['batch_results'], [
    { ciphertext: /^vault:v2:/, reference: 'a' },
    { error: 'invalid ciphertext: version is too new' },
  ]);

  const config = '/transit/keys/orders/config';
  t.match((await call('POST', config, { min_decryption_version: 3 })).errors, [/expected 1 to 2/]);
  t.match((await call('POST', '/transit/keys/orders/trim', { min_available_version: 2 })).errors, [
    /minimum encryption version is not set/,
  ]);
  const narrowed = await call('POST', config, { min_decryption_version: 2, min_encryption_version: '2' });
  t.match(narrowed.data, { min_decryption_version: 2, min_encryption_version: 2, keys: { 2: Number } });
  t.notOk((narrowed.data['keys'] as object).hasOwnProperty('1'));
  t.match((await call('POST', '/transit/decrypt/orders', { ciphertext: old })).errors, [/too old/]);
  t.match((await call('POST', '/transit/encrypt/orders', { plaintext, key_version: 1 })).errors, [
    /less than the minimum/,
  ]);

  await instance.stopAgent();
  await instance.start();
  t.match((await call('GET', '/transit/keys/orders')).data, { min_decryption_version: 2, latest_version: 2 });
  t.match((await call('POST', '/transit/keys/orders/trim', { min_available_version: 2 })).data, {
    min_available_version: 2,
  });
  t.match((await call('POST', config, { min_decryption_version: 1 })).errors, [/expected 2 to 2/]);
  t.equal(
    (await call('POST', '/transit/decrypt/orders', { ciphertext: young['ciphertext'] })).data['plaintext'],
    plaintext,
  );
  t.equal((await call('POST', '/transit/keys/orders/rotate')).data['latest_version'], 3);

  t.match((await call('DELETE', '/transit/keys/orders')).errors, ['deletion is not allowed for this key']);
  await call('POST', config, { deletion_allowed: true });
  t.equal((await call('DELETE', '/transit/keys/orders')).status, 204);
  t.equal((await call('GET', '/transit/keys/orders')).status, 404);
});

test('what a PKCS#11 program made is version 1, and its next version may do no more', async (t) => {
  const instance = await startInstance(t);
  const call = transitClient(instance);
  const login = ['--login', '--pin', PIN, '--token-label', 'test'];
  const made = instance.pkcs11Tool(
    ...login,
    ...['--keypairgen', '--key-type', 'EC:prime256v1', '--label', 'legacy', '--usage-sign'],
  );
  t.equal(made.status, 0, made.stderr);
  const before = (await call('GET', '/transit/keys/legacy')).data;
  t.match(before, { type: 'ecdsa-p256', latest_version: 1, supports_signing: true });
  const input = b64('to be signed');
  const { signature } = (await call('POST', '/transit/sign/legacy', { input })).data;
  t.match((await call('POST', '/transit/keys/legacy/rotate')).data, { latest_version: 2 });
  const second = (await call('POST', '/transit/sign/legacy', { input, marshaling_algorithm: 'jws' })).data;
  t.match(second['signature'], /^vault:v2:/);
  t.equal((await call('POST', '/transit/verify/legacy', { input, signature })).data['valid'], true);
  const jws = { input, signature: second['signature'], marshaling_algorithm: 'jws' };
  t.equal((await call('POST', '/transit/verify/legacy', jws)).data['valid'], true);
  const listed = instance.pkcs11Tool(...login, '--list-objects', '--type', 'privkey').stdout;
  t.equal(listed.match(/label: +legacy/g)?.length, 2, 'both are objects of that label');
});

test('derived keys: each context has its own, as HKDF says', async (t) => {
  const instance = await startInstance(t);
  const call = transitClient(instance);
  t.match((await call('POST', '/transit/keys/tenants', { derived: true, exportable: true })).data, {
    derived: true,
    type: 'aes256-gcm96',
  });
  const [one, two] = [b64('tenant one'), b64('tenant two')];
  const sealed = await call('POST', '/transit/encrypt/tenants', {
    plaintext,
    context: one,
    associated_data: b64('x'),
  });
  t.equal(sealed.status, 200);
  const { ciphertext } = sealed.data;
  const open = (context: string) =>
    call('POST', '/transit/decrypt/tenants', { ciphertext, context, associated_data: b64('x') });
  t.equal((await open(one)).data['plaintext'], plaintext);
  t.match((await open(two)).errors, ['invalid ciphertext: unable to decrypt']);
  t.match((await call('POST', '/transit/encrypt/tenants', { plaintext })).errors, [/missing 'context'/]);
  t.match((await call('POST', '/transit/keys/x', { type: 'ed25519', derived: true })).errors, [/derived/]);
});

test('hmac of any key, with its versions; data keys; hash; who asks', async (t) => {
  const instance = await startInstance(t);
  const call = transitClient(instance);
  await call('POST', '/transit/keys/pair', { type: 'ed25519' });
  const input = b64('message');
  const mac = (await call('POST', '/transit/hmac/pair/sha2-512', { input })).data['hmac'];
  t.match(mac, /^vault:v1:/);
  const verify = (hmac: unknown, path = '/sha2-512') =>
    call('POST', `/transit/verify/pair${path}`, { input, hmac }).then(({ data }) => data['valid']);
  t.equal(await verify(mac), true);
  t.equal(await verify(mac, ''), false, 'another hash');
  await call('POST', '/transit/keys/pair/rotate');
  t.equal(await verify(mac), true, 'after a rotation');
  t.equal(await verify(`vault:v2:${b64(createHmac('sha512', 'k').digest())}`), false, 'never made');
  t.match((await call('POST', '/transit/hmac/pair', { input })).data, { hmac: /^vault:v2:/ });
  t.same(
    (await call('LIST', '/transit/keys')).data,
    { keys: ['pair'] },
    'the secret beside it is no key of its own',
  );

  await call('POST', '/transit/keys/kek');
  for (const [path, bytes] of [
    ['', 32],
    ['/128', 16],
    ['/512', 64],
  ] as const) {
    const made = (await call('POST', `/transit/datakey/plaintext/kek${path}`, { context: '' })).data;
    t.equal(Buffer.from(String(made['plaintext']), 'base64').length, bytes);
    const opened = await call('POST', '/transit/decrypt/kek', { ciphertext: made['ciphertext'] });
    t.equal(opened.data['plaintext'], made['plaintext']);
  }
  const wrapped = (await call('POST', '/transit/datakey/wrapped/kek', { bits: 512 })).data;
  t.same(Object.keys(wrapped), ['ciphertext', 'key_version']);
  t.equal((await call('POST', '/transit/datakey/plaintext/kek/64')).status, 400);
  t.equal((await call('POST', '/transit/datakey/bare/kek')).status, 400);

  t.equal(
    (await call('POST', '/transit/hash/sha2-256', { input: b64('abc') })).data['sum'],
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  );
  t.match((await call('GET', '/auth/token/lookup-self')).data, {
    ttl: 0,
    meta: { pid: String(process.pid), uid: String(process.getuid?.()) },
  });
});

test('a body may have 32 MiB, and no more', async (t) => {
  const call = transitClient(await startInstance(t));
  await call('POST', '/transit/keys/large');
  const large = randomBytes(23 * 1024 * 1024).toString('base64');
  const sealed = await call('POST', '/transit/encrypt/large', { plaintext: large });
  t.equal(sealed.status, 200);
  const opened = await call('POST', '/transit/decrypt/large', { ciphertext: sealed.data['ciphertext'] });
  t.ok(opened.data['plaintext'] === large, 'it comes back');
  const over = randomBytes(25 * 1024 * 1024).toString('base64');
  // What is over the bound may be refused while it is still sent: then the connection ends.
  const refused = await call('POST', '/transit/encrypt/large', { plaintext: over }).catch(() => null);
  if (refused !== null) t.same([refused.status, refused.errors], [413, ['request body too large']]);
  t.equal((await call('GET', '/transit/keys/large')).status, 200, 'and hurts nobody else');
});
