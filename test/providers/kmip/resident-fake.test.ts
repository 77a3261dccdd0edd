// What PyKMIP does not support for resident keys: digests, salts, curves, decryption by RSA, AES without padding, keys for HMAC; also by KMIP 2.1.
import { constants, createHash, createPublicKey, publicEncrypt, randomBytes, verify } from 'node:crypto';
import { chmodSync } from 'node:fs';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../../src/clock.ts';
import { createLogger } from '../../../src/log/logger.ts';
import { KMIP } from '../../../src/providers/kmip/kmip-kind.ts';
import type { KmipVersion } from '../../../src/providers/kmip/message.ts';
import { OPERATION } from '../../../src/providers/kmip/tables.ts';
import { FakeKmip } from '../../fakes/fake-kmip.ts';
import { FakeKmipKeys } from '../../fakes/fake-kmip-keys.ts';
import { signDigest } from '../../fakes/sign-digest.ts';
import { testResidentKeys } from '../resident-contract.ts';

async function scene(t: Test, version: KmipVersion) {
  const held = new FakeKmipKeys(version);
  const server = await FakeKmip.start(t.testdir(), held.script);
  const { ca, client } = server.certificates;
  chmodSync(client.key, 0o600);
  const files = { 'ca-file': ca, 'certificate-file': client.certificate, 'key-file': client.key };
  const options = { kind: 'kmip', host: '127.0.0.1', port: server.port, ...files, 'key-id': 'none' };
  const service = KMIP.create(KMIP.schema.parse({ ...options, timeout: '9s', 'try-timeout': '9s' }), {
    name: 'kmip',
    log: createLogger('silent'),
    clock: SYSTEM_CLOCK,
    random: randomBytes,
    resolvePath: (path) => path,
  });
  t.teardown(async () => {
    await service.close();
    await server.close();
  });
  if (!service.resident) throw new Error('no resident keys');
  return { held, keys: service.resident, service };
}

for (const [major, minor] of [
  [1, 4],
  [2, 1],
] as const)
  testResidentKeys(t, `a KMIP server of ${major}.${minor}`, async (t) => ({
    keys: (await scene(t, { major, minor })).keys,
    specs:
      major === 1
        ? ['rsa-2048', 'ec-p256', 'ec-secp256k1', 'aes-256', 'generic']
        : ['rsa-2048', 'ec-p384', 'ec-p521', 'aes-128', 'generic'],
  }));

t.test('OAEP takes a label, and destroying takes both halves', async (t) => {
  const { held, keys } = await scene(t, { major: 1, minor: 4 });
  const wanted = { name: 'rsa', spec: 'rsa-2048', sizeBits: 0, ckaId: Buffer.alloc(0) } as const;
  const key = await keys.create({ ...wanted, uses: ['decrypt'] });
  t.strictSame(key.signs, []);
  const algorithm = key.ciphers.find(({ hash }) => hash === 'sha256');
  if (!algorithm) throw new Error('no OAEP');
  const shown = createPublicKey({ key: await keys.publicKey(key), format: 'der', type: 'spki' });
  const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
  const label = Buffer.from('label');
  const ciphertext = publicEncrypt({ key: shown, ...oaep, oaepLabel: label }, Buffer.from('secret'));
  const none = { iv: Buffer.alloc(0), aad: Buffer.alloc(0), tagBits: 0 };
  t.equal((await keys.decrypt(key, algorithm, { ...none, label }, ciphertext)).toString(), 'secret');
  await t.rejects(keys.decrypt(key, algorithm, { ...none, label: Buffer.alloc(0) }, ciphertext), {
    code: 'encrypted_data_invalid',
  });
  t.equal(held.size, 2);
  await keys.destroy(key);
  t.equal(held.size, 0);
});

const PAIR = { sizeBits: 0, uses: ['sign'], ckaId: Buffer.alloc(0) } as const;

for (const spec of ['ec-p256', 'ec-p384', 'ec-p521', 'ec-secp256k1'] as const)
  t.test(
    `a public key of ${spec} that comes as its point (Transparent EC) is read without a second call`,
    async (t) => {
      const { held, keys } = await scene(t, { major: 2, minor: 1 });
      const key = await keys.create({ ...PAIR, name: 'point', spec });
      const shown = createPublicKey({ key: await keys.publicKey(key), format: 'der', type: 'spki' });
      t.strictSame(held.formatsAsked, [null]);
      const algorithm = key.signs.find(({ hash, takesMessage }) => hash === 'sha256' && takesMessage);
      if (!algorithm) throw new Error('it does not sign');
      const signature = await keys.sign(key, algorithm, Buffer.from('message'), 0);
      t.ok(verify('sha256', Buffer.from('message'), { key: shown, dsaEncoding: 'ieee-p1363' }, signature));
    },
  );

t.test('a point that is none is asked for again as X.509, and never taken', async (t) => {
  const { held, keys } = await scene(t, { major: 2, minor: 1 });
  const key = await keys.create({ ...PAIR, name: 'broken', spec: 'ec-p256' });
  const good = await keys.publicKey(key);
  const broken: ((point: Buffer) => Buffer)[] = [
    (point) => point.subarray(1),
    (point) => Buffer.concat([point.subarray(0, -1), Buffer.of((point.at(-1) ?? 0) ^ 1)]),
    () => Buffer.alloc(65),
    () => Buffer.alloc(0),
  ];
  for (const fault of broken) {
    held.formatsAsked.length = 0;
    held.pointFault = fault;
    t.ok((await keys.publicKey(key)).equals(good), 'by X.509');
    t.equal(held.formatsAsked.length, 2);
  }
});

t.test('a signature of a digest whose padding is not PKCS #1 v1.5 is refused, not passed on', async (t) => {
  const { held, keys } = await scene(t, { major: 2, minor: 1 });
  const key = await keys.create({ ...PAIR, name: 'padding', spec: 'rsa-2048' });
  const algorithm = key.signs.find((each) => each.scheme === 'rsa-pkcs1' && !each.takesMessage);
  if (algorithm?.hash !== 'sha256') throw new Error('it signs no digests');
  const digest = createHash('sha256').update('message').digest();
  const other = createHash('sha256').update('another').digest();
  const faults: Record<string, NonNullable<typeof held.signFault>> = {
    'padded by PSS': (by) => signDigest(by, { scheme: 'rsa-pss', hash: 'sha256', saltBytes: 32 }, digest),
    'of another digest': (by) => signDigest(by, { scheme: 'rsa-pkcs1', hash: 'sha256' }, other),
    'by another key': () => Buffer.alloc(256, 1),
    'too short': () => Buffer.alloc(8),
  };
  for (const [what, fault] of Object.entries(faults)) {
    held.signFault = fault;
    await t.rejects(
      keys.sign(key, algorithm, digest, 0),
      { code: 'provider_refused', message: /did not sign with rsa-pkcs1 as requested/ },
      what,
    );
  }
  held.signFault = null;
  const shown = createPublicKey({ key: await keys.publicKey(key), format: 'der', type: 'spki' });
  t.ok(verify('sha256', Buffer.from('message'), shown, await keys.sign(key, algorithm, digest, 0)));
});

t.test('random bytes are those of RNG Retrieve, which came with 1.2', async (t) => {
  for (const [major, minor] of [
    [2, 1],
    [1, 2],
  ] as const) {
    const { service } = await scene(t, { major, minor });
    const [one, two] = [await service.random?.(32), await service.random?.(1024)];
    t.strictSame([one?.length, two?.length], [32, 1024]);
    t.notOk(one?.equals(two?.subarray(0, 32) ?? Buffer.alloc(32)));
  }
  const { service } = await scene(t, { major: 1, minor: 1 });
  await t.rejects(async () => void (await service.random?.(32)), {
    code: 'provider_refused',
    message: /RNG Retrieve needs KMIP 1\.2, and the server speaks 1\.1/,
  });
});

t.test('a server of 1.0 or 1.1 holds no KEK: it has no Encrypt, and the key is never fetched', async (t) => {
  for (const minor of [0, 1]) {
    const { held, service } = await scene(t, { major: 1, minor });
    await t.rejects(service.generateDataKey('token 1'), {
      code: 'provider_refused',
      message: new RegExp(`needs KMIP 1\\.4.*speaks 1\\.${minor}`),
    });
    t.strictSame(held.formatsAsked, []);
  }
});

t.test(
  'a replaced key keeps its name with its identifier as version, and goes with the one that replaced it',
  async (t) => {
    for (const [major, minor] of [
      [1, 4],
      [2, 1],
    ] as const) {
      const { held, keys } = await scene(t, { major, minor });
      const rest = { sizeBits: 256, ckaId: Buffer.alloc(0) };
      const first = await keys.create({ ...rest, name: 'turn/aes', spec: 'aes-256', uses: ['decrypt'] });
      const other = await keys.create({ ...rest, name: 'other', spec: 'aes-256', uses: ['decrypt'] });
      t.equal(first.version, null);
      const gcm = first.ciphers.find(({ scheme }) => scheme === 'aes-gcm');
      if (!gcm || !keys.rotate) throw new Error('no AES-GCM, or no rotation');
      const parameters = { iv: randomBytes(12), aad: Buffer.alloc(0), tagBits: 128, label: Buffer.alloc(0) };
      const sealed = await keys.encrypt(first, gcm, parameters, Buffer.from('before'));
      const second = await keys.rotate(first);
      const third = await keys.rotate(second);
      const listed = await keys.list('turn/', 10);
      t.strictSame(
        listed.map(({ id, name, version, isPrimary }) => [id, name, version, isPrimary]),
        [
          [first.id, 'turn/aes', first.id, false],
          [second.id, 'turn/aes', second.id, false],
          [third.id, 'turn/aes', third.id, true],
        ],
      );
      const [former, , newest] = listed;
      if (!former || !newest) throw new Error('nothing is listed');
      t.equal((await keys.decrypt(former, gcm, parameters, sealed)).toString(), 'before');
      await t.rejects(keys.decrypt(newest, gcm, parameters, sealed), { code: 'encrypted_data_invalid' });
      held.setState(second.id, 'Deactivated');
      t.strictSame(
        (await keys.list('turn/', 10)).map(({ id }) => id),
        [first.id, third.id],
        'over one that is not active',
      );
      await t.rejects(keys.create({ ...rest, name: 'turn/aes', spec: 'aes-256', uses: ['decrypt'] }), {
        code: 'provider_refused',
      });
      t.equal(await keys.destroy(newest), 'destroyed, with 2 that it had replaced');
      t.strictSame(
        (await keys.list('', 10)).map(({ id }) => id),
        [other.id],
      );
      t.equal(held.size, 1);
    }
  },
);

t.test(
  'a pair is replaced as a whole, its public half too, and one version is destroyed alone',
  async (t) => {
    const { held, keys } = await scene(t, { major: 2, minor: 1 });
    const first = await keys.create({ ...PAIR, name: 'pair', spec: 'ec-p256' });
    if (!keys.rotate) throw new Error('no rotation');
    const second = await keys.rotate(first);
    t.ok(held.asked.includes(OPERATION.RekeyKeyPair));
    t.notOk((await keys.publicKey(second)).equals(await keys.publicKey(first)));
    t.equal(held.idsNamed('pair.public').length, 1);
    const former = (await keys.list('pair', 10)).find(({ id }) => id === first.id);
    if (!former) throw new Error('the former key is not listed');
    t.equal(await keys.destroy(former), 'destroyed');
    t.strictSame(
      (await keys.list('pair', 10)).map(({ id }) => id),
      [second.id],
    );
    t.equal(held.size, 2);
  },
);

t.test('links that lead in a circle, or nowhere, end', async (t) => {
  const { held, keys } = await scene(t, { major: 2, minor: 1 });
  const rest = { sizeBits: 256, ckaId: Buffer.alloc(0), uses: ['decrypt'] } as const;
  const [one, two] = [
    await keys.create({ ...rest, name: 'one', spec: 'aes-256' }),
    await keys.create({ ...rest, name: 'two', spec: 'aes-256' }),
  ];
  held.link(one.id, 'ReplacementObjectLink', two.id);
  held.link(two.id, 'ReplacementObjectLink', one.id);
  held.link(two.id, 'ReplacedObjectLink', two.id);
  held.unname(one.id);
  held.unname(two.id);
  t.strictSame(await keys.list('', 10), []);
  held.link(one.id, 'ReplacementObjectLink', 'gone');
  t.strictSame(await keys.list('', 10), []);
});

t.test(
  'a public key that the server keeps: it verifies by itself, by every way in which it signs',
  async (t) => {
    for (const [major, minor] of [
      [1, 4],
      [2, 1],
    ] as const) {
      const { held, keys } = await scene(t, { major, minor });
      held.hidesPublic = true;
      for (const spec of ['rsa-2048', 'ec-p256'] as const) {
        const key = await keys.create({ ...PAIR, name: `kept-${spec}`, spec });
        await t.rejects(keys.publicKey(key), { code: 'provider_refused' });
        if (!keys.verify) throw new Error('it verifies nothing');
        t.equal(await keys.verifies?.(key), true);
        const algorithms = key.signs.filter(({ takesMessage }) => takesMessage === true);
        t.ok(algorithms.length >= 5);
        for (const algorithm of algorithms) {
          const [message, salt] = [Buffer.from('message'), 20];
          const signature = await keys.sign(key, algorithm, message, salt);
          const what = `${spec} by ${algorithm.scheme} ${algorithm.hash ?? ''}`;
          t.equal(await keys.verify(key, algorithm, message, signature, salt), true, what);
          t.equal(await keys.verify(key, algorithm, Buffer.from('another'), signature, salt), false);
          const bad = Buffer.from(signature);
          bad[9] = (bad[9] ?? 0) ^ 1;
          t.equal(await keys.verify(key, algorithm, message, bad, salt), false);
          t.equal(await keys.verify(key, algorithm, message, signature.subarray(1), salt), false);
        }
      }
      const key = await keys.create({ ...PAIR, name: 'kept', spec: 'rsa-2048' });
      const pss = key.signs.find((each) => each.scheme === 'rsa-pss' && each.takesMessage);
      if (!pss) throw new Error('no PSS');
      held.signFault = (by, digest) => signDigest(by, { scheme: 'rsa-pkcs1', hash: 'sha256' }, digest);
      await t.rejects(keys.sign(key, pss, Buffer.from('message'), 32), {
        code: 'provider_refused',
        message: /did not sign with rsa-pss as requested/,
      });
    }
  },
);
