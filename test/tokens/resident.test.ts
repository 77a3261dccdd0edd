// Keys of a key service as objects: what programs see, which requests reach the service, and which never do.
import {
  constants,
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
  randomInt,
  verify,
} from 'node:crypto';
import { test } from 'tap';
import { SidekeyError } from '../../src/errors.ts';
import { readMechanisms } from '../../src/tokens/objects/attribute-value.ts';
import { CKA, CKK, CKM, CKO } from '../../src/tokens/cryptoki.ts';
import { WireWriter } from '../../src/wire/buffer.ts';
import { OPERATE, OUTPUT, RESIDENT_FROM } from '../../src/wire/tables.ts';
import { mutate } from '../fuzz/agent-decoder.ts';
import { P256 } from './fake-keeper.ts';
import { makeRig, Program, type Rig } from './rig.ts';
import { ECDSA_SHA256, MESSAGE, NO_PARAMS, scene, key, Service, only, listed } from './resident-rig.ts';

const SHA256_RSA_PKCS = 0x40;
const SHA256_RSA_PKCS_PSS = 0x43;
const OAEP = 0x09;
const ECDSA = 0x1041;
const ECDSA_SHA384 = 0x1045;
async function looked(rig: Rig, app: Program, afterMs: number): Promise<number> {
  rig.now += afterMs;
  return (await app.find({})).length;
}

test('a pair of the service is a private and a public object of one short CKA_ID', async (t) => {
  const { keys, app, rig } = await scene();
  await keys.create(key('app-sign', 'ec-p256', 'sign'));
  await keys.create(key('other', 'ec-p256', 'sign'));
  const hidden = await only(app, CKO.PRIVATE_KEY, 'sign');
  const shown = await only(app, CKO.PUBLIC_KEY, 'sign');
  t.equal((await app.find({})).length, 2, 'a name without the prefix is not shown');
  t.ok(hidden >= RESIDENT_FROM && shown < RESIDENT_FROM, 'the handle says where operations go');
  const types = [CKA.ID, CKA.SENSITIVE, CKA.EXTRACTABLE, CKA.LOCAL, CKA.TOKEN, CKA.SIGN, CKA.DECRYPT];
  const { values } = await app.read(hidden, ...types);
  t.same(
    values.slice(1).map(([value]) => value),
    [1, 0, 1, 1, 1, 0],
  );
  t.equal(values[0]?.length, 8);
  t.same((await app.read(shown, CKA.ID)).values[0], values[0]);
  const { values: open, states } = await app.read(shown, CKA.EC_PARAMS, CKA.EC_POINT, CKA.PUBLIC_KEY_INFO);
  t.same(open[0], P256);
  t.equal(open[1]?.length, 67);
  t.ok(createPublicKey({ key: open[2] ?? NO_PARAMS, format: 'der', type: 'spki' }));
  t.same(states, [0, 0, 0]);
  t.same((await app.read(hidden, CKA.VALUE)).states, [1], 'the value is sensitive');
  await rig.restart();
  const again = await Program.start(rig, 2n);
  t.equal(await only(again, CKO.PRIVATE_KEY, 'sign'), hidden, 'the handle outlives the agent');
});

test('a public half that the service keeps is an object that verifies there, and does nothing else', async (t) => {
  const { keys, app, rig } = await scene();
  keys.hidesPublic = true;
  await keys.create(key('app-rsa', 'rsa-2048', 'sign', 'decrypt'));
  await keys.create(key('app-ed', 'ed25519', 'sign'));
  const service = new Service(app);
  for (const [label, mechanism] of [
    ['rsa', SHA256_RSA_PKCS],
    ['ed', 0x1057],
  ] as const) {
    const hidden = await only(app, CKO.PRIVATE_KEY, label);
    const shown = await only(app, CKO.PUBLIC_KEY, label);
    t.ok(shown >= RESIDENT_FROM && shown !== hidden, 'its handle sends operations to the service');
    const { values } = await app.read(shown, CKA.VERIFY, CKA.ENCRYPT, CKA.WRAP, CKA.PRIVATE);
    t.same(
      values.map((value) => value?.[0]),
      [1, 0, 0, 0],
    );
    const signature = await service.run('sign', hidden, mechanism, [MESSAGE]);
    const parts = [MESSAGE.subarray(0, 3), MESSAGE.subarray(3)];
    const before = keys.calls.filter((call) => call === 'verify').length;
    t.same(await service.run('verify', shown, mechanism, parts, { signature }), NO_PARAMS);
    t.equal(keys.calls.filter((call) => call === 'verify').length, before + 1);
    const bad = Buffer.from(signature);
    bad[5] = (bad[5] ?? 0) ^ 1;
    await t.rejects(service.run('verify', shown, mechanism, [MESSAGE], { signature: bad }), {
      code: 'signature_invalid',
    });
    await t.rejects(service.run('verify', shown, mechanism, [Buffer.from('other')], { signature }), {
      code: 'signature_invalid',
    });
    const short = signature.subarray(1);
    await t.rejects(service.run('verify', shown, mechanism, [MESSAGE], { signature: short }), {
      code: 'signature_len_range',
    });
    await t.rejects(service.check('sign', shown, mechanism), { code: 'key_function_not_permitted' });
    await t.rejects(service.check('verify', hidden, mechanism), { code: 'key_function_not_permitted' });
  }
  const rsa = await only(app, CKO.PUBLIC_KEY, 'rsa');
  const oaep = new WireWriter().u64(0x250).u64(2).bytes(NO_PARAMS).done();
  await t.rejects(service.check('encrypt', rsa, OAEP, oaep), { code: 'key_function_not_permitted' });
  const shownBefore = await only(app, CKO.PUBLIC_KEY, 'ed');
  await rig.restart();
  t.equal(await only(await Program.start(rig, 2n), CKO.PUBLIC_KEY, 'ed'), shownBefore);
});

test('signing in one part and in three is one request to the service, with the digest', async (t) => {
  const { keys, app } = await scene();
  await keys.create(key('app-ec', 'ec-p256', 'sign'));
  await keys.create(key('app-rsa', 'rsa-2048', 'sign'));
  const service = new Service(app);
  const parts = [MESSAGE.subarray(0, 3), MESSAGE.subarray(3, 7), MESSAGE.subarray(7)];
  for (const [label, mechanism] of [
    ['ec', ECDSA_SHA256],
    ['ec', ECDSA_SHA384],
    ['rsa', SHA256_RSA_PKCS],
  ] as const) {
    const hidden = await only(app, CKO.PRIVATE_KEY, label);
    const info = (await app.read(hidden, CKA.PUBLIC_KEY_INFO)).values[0] ?? NO_PARAMS;
    const shown = createPublicKey({ key: info, format: 'der', type: 'spki' });
    const [rule, size, keyType, bits] = await service.check('sign', hidden, mechanism);
    t.same([rule, keyType], [OUTPUT.fixed, label === 'ec' ? CKK.EC : CKK.RSA]);
    for (const data of [[MESSAGE], parts]) {
      const before = keys.calls.filter((call) => call === 'sign').length;
      const signature = await service.run('sign', hidden, mechanism, data);
      t.equal(keys.calls.filter((call) => call === 'sign').length, before + 1);
      t.equal(signature.length, size, `${bits} bits`);
      const hash = mechanism === ECDSA_SHA384 ? 'sha384' : 'sha256';
      t.ok(verify(hash, MESSAGE, { key: shown, dsaEncoding: 'ieee-p1363' }, signature), hash);
    }
  }
});

test('raw RSA takes a DigestInfo, raw ECDSA a digest of any length, PSS the salt of the service', async (t) => {
  const { keys, app } = await scene();
  await keys.create(key('app-ec', 'ec-p256', 'sign'));
  await keys.create(key('app-rsa', 'rsa-2048', 'sign'));
  const service = new Service(app);
  const ec = await only(app, CKO.PRIVATE_KEY, 'ec');
  const rsa = await only(app, CKO.PRIVATE_KEY, 'rsa');
  const shownOf = async (handle: number) => {
    const info = (await app.read(handle, CKA.PUBLIC_KEY_INFO)).values[0] ?? NO_PARAMS;
    return createPublicKey({ key: info, format: 'der', type: 'spki' });
  };
  for (const hash of ['sha1', 'sha256', 'sha512']) {
    const digest = createHash(hash).update(MESSAGE).digest();
    const signature = await service.run('sign', ec, ECDSA, [digest]);
    t.ok(verify(hash, MESSAGE, { key: await shownOf(ec), dsaEncoding: 'ieee-p1363' }, signature), hash);
  }
  await t.rejects(service.run('sign', rsa, 1, [randomBytes(246)]), { code: 'data_len_range' });
  const pss = (salt: number) => new WireWriter().u64(0x250).u64(2).u64(salt).done();
  const signature = await service.run('sign', rsa, SHA256_RSA_PKCS_PSS, [MESSAGE], { params: pss(32) });
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  t.ok(verify('sha256', MESSAGE, { key: await shownOf(rsa), padding, saltLength: 32 }, signature));
  const refused = service.check('sign', rsa, SHA256_RSA_PKCS_PSS, pss(20));
  await t.rejects(refused, { code: 'mechanism_param_invalid' }, 'another salt is refused at the beginning');
  const SHA512_RSA_PKCS_PSS = 0x45;
  const free = (salt: number) => new WireWriter().u64(0x270).u64(4).u64(salt).done();
  const other = await service.run('sign', rsa, SHA512_RSA_PKCS_PSS, [MESSAGE], { params: free(20) });
  t.ok(verify('sha512', MESSAGE, { key: await shownOf(rsa), padding, saltLength: 20 }, other));
  const unsalted = service.check('sign', rsa, SHA512_RSA_PKCS_PSS, free(0));
  await t.rejects(unsalted, { code: 'mechanism_param_invalid' }, 'where none means something else');
});

test('decryption, encryption, and codes that are made and compared', async (t) => {
  const { keys, app } = await scene();
  await keys.create(key('app-rsa', 'rsa-2048', 'decrypt'));
  await keys.create(key('app-aes', 'aes-256', 'decrypt'));
  await keys.create(key('app-mac', 'generic', 'sign'));
  const service = new Service(app);
  const rsa = await only(app, CKO.PRIVATE_KEY, 'rsa');
  const info = (await app.read(rsa, CKA.PUBLIC_KEY_INFO)).values[0] ?? NO_PARAMS;
  const shown = createPublicKey({ key: info, format: 'der', type: 'spki' });
  const oaep = { key: shown, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
  const params = new WireWriter().u64(0x250).u64(2).bytes(NO_PARAMS).done();
  const ciphertext = publicEncrypt(oaep, MESSAGE);
  t.same(await service.run('decrypt', rsa, OAEP, [ciphertext], { params }), MESSAGE);
  await t.rejects(service.run('decrypt', rsa, OAEP, [ciphertext.subarray(1)], { params }), {
    code: 'encrypted_data_len_range',
  });
  await t.rejects(service.check('sign', rsa, SHA256_RSA_PKCS), { code: 'key_function_not_permitted' });
  const aes = await only(app, CKO.SECRET_KEY, 'aes');
  const gcm = new WireWriter().bytes(randomBytes(12)).bytes(Buffer.from('beside')).u32(128).done();
  const sealed = await service.run('encrypt', aes, CKM.AES_GCM, [MESSAGE, MESSAGE], { params: gcm });
  t.equal(sealed.length, 2 * MESSAGE.length + 16);
  t.same(
    await service.run('decrypt', aes, CKM.AES_GCM, [sealed], { params: gcm }),
    Buffer.concat([MESSAGE, MESSAGE]),
  );
  const mac = await only(app, CKO.SECRET_KEY, 'mac');
  const code = await service.run('sign', mac, CKM.SHA256_HMAC, [MESSAGE]);
  await service.run('verify', mac, CKM.SHA256_HMAC, [MESSAGE], { signature: code });
  const wrong = service.run('verify', mac, CKM.SHA256_HMAC, [MESSAGE], { signature: randomBytes(32) });
  await t.rejects(wrong, { code: 'signature_invalid' });
});

test('a public half is used from a cell, and the service is not asked', async (t) => {
  const { keys, app, rig } = await scene();
  await keys.create(key('app-ec', 'ec-p256', 'sign'));
  const shown = await only(app, CKO.PUBLIC_KEY, 'ec');
  const before = keys.calls.length;
  await app.resolve(shown, 'verify', ECDSA_SHA256);
  t.equal(rig.keeper.bindings.size, 1);
  t.equal(keys.calls.length, before);
  const hidden = await only(app, CKO.PRIVATE_KEY, 'ec');
  await t.rejects(app.resolve(hidden, 'sign', ECDSA_SHA256), { code: 'key_handle_invalid' });
  await t.rejects(app.copy(hidden, {}), { code: 'action_prohibited' });
  await t.rejects(app.set(hidden, { [CKA.LABEL]: 'x' }), { code: 'action_prohibited' });
});

test('a mechanism that the key has not is refused at the beginning', async (t) => {
  const { keys, app } = await scene();
  await keys.create(key('app-ec', 'ec-p256', 'sign'));
  const service = new Service(app);
  const hidden = await only(app, CKO.PRIVATE_KEY, 'ec');
  const allowed = (await app.read(hidden, CKA.ALLOWED_MECHANISMS)).values[0] ?? NO_PARAMS;
  t.ok(readMechanisms(new Map([[1, allowed]]), 1).includes(ECDSA_SHA256));
  await t.rejects(service.check('sign', hidden, SHA256_RSA_PKCS), { code: 'key_type_inconsistent' });
  await t.rejects(service.check('decrypt', hidden, ECDSA), { code: 'mechanism_invalid' });
  await t.rejects(service.check('sign', hidden, ECDSA, Buffer.of(1)), { code: 'mechanism_param_invalid' });
  await t.rejects(service.check('sign', hidden + 1, ECDSA), { code: 'key_handle_invalid' });
});

test('without a login the private half is not there, and a logout ends what was begun', async (t) => {
  const { keys, app, rig } = await scene('pin');
  await keys.create(key('app-ec', 'ec-p256', 'sign'));
  t.same(await app.find({ [CKA.CLASS]: CKO.PRIVATE_KEY }), []);
  await app.login();
  const hidden = await only(app, CKO.PRIVATE_KEY, 'ec');
  const service = new Service(app);
  await service.step(7n, 'sign', { flags: 0, data: MESSAGE }, service.begin(hidden, ECDSA_SHA256, NO_PARAMS));
  await app.send('logout', new WireWriter().u64(app.slot));
  const finish = service.step(7n, 'sign', { flags: OPERATE.final, data: NO_PARAMS });
  await t.rejects(finish, { code: 'key_handle_invalid' });
  t.notOk(keys.calls.includes('sign'), 'and the service was never asked');
  const stranger = await Program.start(rig, 5n, 4711);
  await t.rejects(new Service(stranger).check('sign', hidden, ECDSA_SHA256), { code: 'slot_id_invalid' });
});

test('gathered data have a bound, and an operation belongs to its client and ends with it', async (t) => {
  const { keys, app, rig } = await scene();
  await keys.create(key('app-ed', 'ed25519', 'sign'));
  const hidden = await only(app, CKO.PRIVATE_KEY, 'ed');
  const service = new Service(app);
  const begin = service.begin(hidden, 0x1057, NO_PARAMS);
  await service.step(1n, 'sign', { flags: 0, data: Buffer.alloc(4000) }, begin);
  await t.rejects(service.step(1n, 'sign', { flags: 0, data: Buffer.alloc(97) }), { code: 'data_len_range' });
  await t.rejects(service.step(1n, 'sign', { flags: OPERATE.final, data: NO_PARAMS }), {
    code: 'operation_lost',
  });
  await service.step(2n, 'sign', { flags: 0, data: MESSAGE }, begin);
  const other = new Service(await Program.start(rig, 2n));
  const stolen = other.step(2n, 'sign', { flags: OPERATE.final, data: NO_PARAMS });
  await t.rejects(stolen, { code: 'operation_lost' });
  await service.step(2n, 'sign', { flags: OPERATE.cancel, data: NO_PARAMS });
  await t.rejects(service.step(2n, 'sign', { flags: OPERATE.final, data: NO_PARAMS }), {
    code: 'operation_lost',
  });
  await service.step(3n, 'sign', { flags: 0, data: MESSAGE }, begin);
  rig.service.clientClosed(1n);
  await rig.service.clientOpened({ ...rig.keeper.connected.get(1n)! /* it is connected above */ });
  await t.rejects(service.step(3n, 'sign', { flags: OPERATE.final, data: NO_PARAMS }), {
    code: 'operation_lost',
  });
});

test('the list is asked once per refresh, outlives an outage, and ends with a refusal', async (t) => {
  const { keys, app, rig } = await scene();
  await keys.create(key('app-ec', 'ec-p256', 'sign'));
  const lists = () => keys.calls.filter((call) => call === 'list').length;
  await Promise.all([app.find({}), app.find({}), app.find({})]);
  t.equal(lists(), 1, 'however many look at once');
  await looked(rig, app, 999);
  t.equal(lists(), 1);
  keys.fault = new SidekeyError('provider_unreachable', 'nobody answers');
  t.equal(await looked(rig, app, 1), 2, 'what was there is there');
  t.equal(await looked(rig, app, 100), 2);
  t.equal(lists(), 2, 'and the service is not asked again at once');
  keys.fault = new SidekeyError('provider_refused', 'no right');
  await t.rejects(looked(rig, app, 2000), { code: 'provider_refused' });
  await t.rejects(looked(rig, app, 100), { code: 'provider_refused' });
  keys.fault = null;
  t.equal(await looked(rig, app, 2000), 2, 'and is back when the service says yes again');
});

test('a certificate in the store stands beside the pair whose CKA_ID it has', async (t) => {
  const { keys, app } = await scene();
  await keys.create(key('app-tls', 'ec-p256', 'sign'));
  const [id = NO_PARAMS] = (await app.read(await only(app, CKO.PRIVATE_KEY, 'tls'), CKA.ID)).values;
  const stored = { [CKA.CERTIFICATE_TYPE]: 0, [CKA.SUBJECT]: 'subject', [CKA.VALUE]: 'DER' };
  await app.create({ [CKA.CLASS]: CKO.CERTIFICATE, [CKA.TOKEN]: true, [CKA.ID]: id, ...stored });
  const classes = await Promise.all(
    (await app.find({ [CKA.ID]: id })).map(
      async (handle) => (await app.read(handle, CKA.CLASS)).values[0]?.[0],
    ),
  );
  t.same(classes, [CKO.CERTIFICATE, CKO.PUBLIC_KEY, CKO.PRIVATE_KEY]);
});

test('a key that a program brings is an object of the token, and the service is not asked to take it', async (t) => {
  const { keys, app } = await scene();
  const before = keys.calls.filter((call) => call !== 'list').length;
  const brought = { [CKA.CLASS]: CKO.SECRET_KEY, [CKA.KEY_TYPE]: CKK.AES, [CKA.TOKEN]: true };
  const handle = await app.create({ ...brought, [CKA.LABEL]: 'brought' }, { [CKA.VALUE]: randomBytes(32) });
  t.ok(handle < RESIDENT_FROM, 'it is none of the service');
  t.equal(keys.calls.filter((call) => call !== 'list').length, before);
  t.equal((await app.find({ [CKA.LABEL]: 'brought' })).length, 1);
});

test('whatever bytes come as a request, the answer is one or a SidekeyError', async (t) => {
  const { keys, app } = await scene();
  await keys.create(key('app-rsa', 'rsa-2048', 'sign', 'decrypt'));
  await keys.create(key('app-aes', 'aes-256', 'decrypt'));
  const [rsa, aes] = [await only(app, CKO.PRIVATE_KEY, 'rsa'), await only(app, CKO.SECRET_KEY, 'aes')];
  const pss = new WireWriter().u64(0x250).u64(2).u64(32).done();
  const gcm = new WireWriter().bytes(randomBytes(12)).bytes(Buffer.from('beside')).u32(128).done();
  const service = new Service(app);
  const seeds = [
    service.begin(rsa, SHA256_RSA_PKCS_PSS, pss),
    service.begin(rsa, OAEP, pss),
    service.begin(aes, CKM.AES_GCM, gcm),
  ].flatMap((begin) =>
    [0, OPERATE.final].map((flags) => {
      const head = new WireWriter().u8(OPERATE.begin | flags).u8(randomInt(1, 5));
      return head.u64(7n).raw(begin).bytes(MESSAGE).bytes(null).done();
    }),
  );
  let refused = 0;
  for (let i = 0; i < 2000; i++) {
    const body = mutate(seeds[i % seeds.length] ?? NO_PARAMS);
    const message = i % 4 === 0 ? 'resident_check' : 'resident_operate';
    await app.send(message, new WireWriter().raw(body)).catch((error: unknown) => {
      if (!(error instanceof SidekeyError) || error.code === 'internal') throw error;
      refused++;
    });
  }
  t.ok(refused > 500);
});

test('a use that the service refuses or does not answer is that error, and uses are counted for the audit log', async (t) => {
  const { keys, app, rig } = await scene();
  await keys.create(key('app-ec', 'ec-p256', 'sign'));
  const hidden = await only(app, CKO.PRIVATE_KEY, 'ec');
  const service = new Service(app);
  for (const code of ['provider_unreachable', 'provider_refused'] as const) {
    keys.fault = new SidekeyError(code, 'as it is');
    await t.rejects(service.run('sign', hidden, ECDSA_SHA256, [MESSAGE]), { code });
  }
  keys.fault = null;
  await service.run('sign', hidden, ECDSA_SHA256, [MESSAGE]);
  await service.run('sign', hidden, ECDSA_SHA256, [MESSAGE, MESSAGE]);
  await rig.service.flushUsage();
  const fields = { handle: hidden, operation: 'sign', times: 2, bytes: 3 * MESSAGE.length };
  t.match(rig.records.at(-1), { event: 'key-used', fields });
});

test('a token without keys of a service offers what the keeper has and nothing else', async (t) => {
  const rig = await makeRig();
  rig.keeper.hasSets = false;
  const app = await Program.start(rig, 1n);
  t.notOk((await listed(app)).has(CKM.ML_DSA));
  await app.login();
  await t.rejects(app.generatePair({ [CKA.PARAMETER_SET]: 2 }, {}, CKM.ML_DSA_KEY_PAIR_GEN), {
    code: 'mechanism_invalid',
  });
});

test('a secret is agreed on in the service, and what is no point of the curve is refused before it is asked', async (t) => {
  const { keys, app, rig } = await scene();
  const made = await keys.create(key('app-dh', 'ec-p256', 'agree'));
  await keys.create(key('app-sign', 'ec-p256', 'sign'));
  const [hidden, signer] = [await only(app, CKO.PRIVATE_KEY, 'dh'), await only(app, CKO.PRIVATE_KEY, 'sign')];
  const other = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const { x = '', y = '' } = other.publicKey.export({ format: 'jwk' });
  const point = Buffer.concat([Buffer.of(4), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
  const shown = createPublicKey({ key: await keys.publicKey(made), format: 'der', type: 'spki' });
  const secret = diffieHellman({ privateKey: other.privateKey, publicKey: shown });
  const derive = async (handle: number, kdf: number, shared: Buffer, given: Buffer, bytes: number) => {
    const params = new WireWriter().u64(kdf).bytes(shared).bytes(given).done();
    const template = { [CKA.VALUE_LEN]: bytes, [CKA.SENSITIVE]: false, [CKA.EXTRACTABLE]: true };
    return app.derive(handle, CKM.ECDH1_DERIVE, params, template);
  };
  const value = async (handle: number) => rig.keeper.secret((await app.read(handle, CKA.VALUE)).cell);
  t.same(await value(await derive(hidden, 1, NO_PARAMS, point, 32)), secret);
  const derived = rig.records.filter(({ event }) => event === 'key-derived');
  t.equal(derived.length, 1, 'and has its line in the audit log, as a key that is generated has');
  t.same(await value(await derive(hidden, 1, NO_PARAMS, point, 16)), secret.subarray(16), 'its end');
  const octets = Buffer.concat([Buffer.of(4, point.length), point]);
  t.same(await value(await derive(hidden, 1, NO_PARAMS, octets, 32)), secret, 'a point in an OCTET STRING');
  const block = (i: number) =>
    createHash('sha256')
      .update(secret)
      .update(Buffer.of(0, 0, 0, i))
      .update('beside')
      .digest();
  const expanded = Buffer.concat([block(1), block(2)]).subarray(0, 40);
  t.same(await value(await derive(hidden, 6, Buffer.from('beside'), point, 40)), expanded, 'X9.63');
  const first = (i: number) =>
    createHash('sha256')
      .update(Buffer.of(0, 0, 0, i))
      .update(secret)
      .update('beside')
      .digest();
  const oneStep = Buffer.concat([first(1), first(2)]).subarray(0, 40);
  t.same(await value(await derive(hidden, 0x10, Buffer.from('beside'), point, 40)), oneStep, 'SP 800-56A');
  keys.calls.length = 0;
  const off = Buffer.from(point);
  off[40] = (off[40] ?? 0) ^ 1;
  for (const [kdf, shared, given] of [
    [1, NO_PARAMS, off],
    [1, NO_PARAMS, point.subarray(1)],
    [1, NO_PARAMS, NO_PARAMS],
    [1, Buffer.from('beside'), point],
    [99, NO_PARAMS, point],
  ] as const)
    await t.rejects(derive(hidden, kdf, shared, given, 32), { code: 'mechanism_param_invalid' });
  await t.rejects(derive(hidden, 1, NO_PARAMS, point, 33), { code: 'key_size_range' });
  await t.rejects(derive(signer, 1, NO_PARAMS, point, 32), { code: 'key_function_not_permitted' });
  t.same(keys.calls, []);
});
