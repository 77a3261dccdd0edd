// The agent's rules for keys of PKCS#11 3.2: templates, visible and hidden attributes, shared secrets, seals.
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { test } from 'tap';
import { decodeAttributes, encodeAttributes, encodeUlong } from '../../src/tokens/objects/attribute-value.ts';
import { CKA, CKK, CKM, CKO } from '../../src/tokens/cryptoki.ts';
import { WireReader } from '../../src/wire/buffer.ts';
import { writeTemplate } from '../../src/wire/template.ts';
import { makeRig, Program, template, type Rig } from './rig.ts';

const SET = { [CKA.PARAMETER_SET]: 2 };
const OPEN = { [CKA.SENSITIVE]: false, [CKA.EXTRACTABLE]: true };
const SHARED = { [CKA.CLASS]: CKO.SECRET_KEY, [CKA.KEY_TYPE]: CKK.GENERIC_SECRET, ...OPEN };
const CIPHERTEXT_BYTES = 1088;
const MADE_FROM_NOTHING = { [CKA.CLASS]: CKO.PRIVATE_KEY, [CKA.KEY_TYPE]: CKK.ML_KEM, ...SET };

async function start(path?: string): Promise<{ rig: Rig; app: Program }> {
  const rig = await makeRig(path);
  const app = await Program.start(rig, 1n);
  await app.login();
  return { rig, app };
}

type Given = Parameters<Program['create']>[0];

async function encapsulate(app: Program, to: number, roomBytes: number, given: Given = SHARED) {
  const body = app.place().u64(CKM.ML_KEM).bytes(Buffer.alloc(0)).u64(to).u64(roomBytes);
  writeTemplate(body, template(given));
  const reader = new WireReader(await app.send('encapsulate_key', body));
  return { handle: reader.number(), bytes: reader.number(), ciphertext: reader.bytes(65536) };
}

async function decapsulate(app: Program, by: number, ciphertext: Buffer, given: Given = SHARED) {
  const body = app.place().u64(CKM.ML_KEM).bytes(Buffer.alloc(0)).u64(by).bytes(ciphertext);
  writeTemplate(body, template(given));
  return new WireReader(await app.send('decapsulate_key', body)).number();
}

async function secretOf(app: Program, handle: number): Promise<Buffer> {
  const { cell } = await app.read(handle, CKA.VALUE);
  return app.rig.keeper.secret(cell);
}

test('a pair: the public half shows its value, the private half has a seed that is material', async (t) => {
  const { app } = await start();
  const [open, hidden] = await app.generatePair(SET, OPEN, CKM.ML_KEM_KEY_PAIR_GEN);
  const shown = await app.read(
    open,
    CKA.VALUE,
    CKA.PARAMETER_SET,
    CKA.ENCAPSULATE,
    CKA.DECAPSULATE,
    CKA.SEED,
  );
  t.same(shown.states, [0, 0, 0, 2, 2]);
  t.equal(shown.values[0]?.length, 1184);
  t.same(shown.values[1], encodeUlong(2));
  t.same(shown.values[2], Buffer.of(1));
  const kept = await app.read(
    hidden,
    CKA.PARAMETER_SET,
    CKA.DECAPSULATE,
    CKA.SEED,
    CKA.VALUE,
    CKA.ENCAPSULATE,
  );
  t.same(kept.states, [0, 0, 3, 3, 2]);
  const info = (await app.read(hidden, CKA.PUBLIC_KEY_INFO)).values[0] ?? Buffer.alloc(0);
  const raw = createPublicKey({ key: info, format: 'der', type: 'spki' }).export({ format: 'raw-public' });
  t.same(raw, shown.values[0], 'the two halves are of one key');
  const [, closed] = await app.generatePair(SET, {}, CKM.ML_DSA_KEY_PAIR_GEN);
  t.same((await app.read(closed, CKA.SEED, CKA.VALUE, CKA.DECAPSULATE)).states, [1, 1, 2], 'sensitive');
});

test('templates: the set belongs to the public half, and is needed; a seed stands for the value', async (t) => {
  const { app } = await start();
  await t.rejects(app.generatePair({}, {}, CKM.ML_KEM_KEY_PAIR_GEN), { code: 'template_incomplete' });
  await t.rejects(app.generatePair(SET, SET, CKM.ML_KEM_KEY_PAIR_GEN), { code: 'attribute_read_only' });
  await t.rejects(app.generatePair({ ...SET, [CKA.KEY_TYPE]: CKK.ML_DSA }, {}, CKM.ML_KEM_KEY_PAIR_GEN), {
    code: 'template_inconsistent',
  });
  await t.rejects(app.generatePair(SET, { [CKA.ENCAPSULATE]: true }, CKM.ML_KEM_KEY_PAIR_GEN), {
    code: 'attribute_type_invalid',
  });
  await t.rejects(app.create(MADE_FROM_NOTHING), { code: 'template_incomplete' });
  const seed = generateKeyPairSync('ml-kem-768').privateKey.export({ format: 'raw-seed' });
  await app.create(MADE_FROM_NOTHING, { [CKA.SEED]: seed });
  await t.rejects(app.create({ ...MADE_FROM_NOTHING, [CKA.KEY_TYPE]: CKK.SLH_DSA }, { [CKA.SEED]: seed }), {
    code: 'attribute_type_invalid',
  });
  const rsa = { [CKA.CLASS]: CKO.PRIVATE_KEY, [CKA.KEY_TYPE]: CKK.EC, [CKA.EC_PARAMS]: Buffer.of(5, 0) };
  await t.rejects(app.create(rsa, { [CKA.SEED]: seed }), { code: 'attribute_type_invalid' });
  await t.rejects(
    app.create({ [CKA.CLASS]: CKO.SECRET_KEY, [CKA.KEY_TYPE]: CKK.ML_KEM }, { [CKA.VALUE]: seed }),
    { code: 'template_inconsistent' },
    'no secret key',
  );
});

test('a secret that both sides have; none is made without room for the ciphertext', async (t) => {
  const { rig, app } = await start();
  const [to, by] = await app.generatePair(SET, OPEN, CKM.ML_KEM_KEY_PAIR_GEN);
  const before = (await app.find({ [CKA.CLASS]: CKO.SECRET_KEY })).length;
  const asked = await encapsulate(app, to, CIPHERTEXT_BYTES - 1);
  t.same([asked.handle, asked.bytes, asked.ciphertext.length], [0, CIPHERTEXT_BYTES, 0]);
  t.equal((await app.find({ [CKA.CLASS]: CKO.SECRET_KEY })).length, before);
  const sent = await encapsulate(app, to, CIPHERTEXT_BYTES);
  const got = await decapsulate(app, by, Buffer.from(sent.ciphertext));
  t.same(await secretOf(app, got), await secretOf(app, sent.handle));
  const { values } = await app.read(got, CKA.LOCAL, CKA.ALWAYS_SENSITIVE, CKA.NEVER_EXTRACTABLE);
  t.same(values, [Buffer.of(0), Buffer.of(0), Buffer.of(0)]);
  t.equal(rig.records.filter(({ event }) => event === 'key-derived').length, 2, 'recorded');
});

test('a template of the key demands what its shared secrets are', async (t) => {
  const { app } = await start();
  const demanded = (given: Given): Buffer =>
    encodeAttributes(new Map(template(given).map(({ type, value }) => [type, value])));
  const [to, by] = await app.generatePair(
    { ...SET, [CKA.ENCAPSULATE_TEMPLATE]: demanded({ [CKA.EXTRACTABLE]: false }) },
    { ...OPEN, [CKA.DECAPSULATE_TEMPLATE]: demanded({ [CKA.SENSITIVE]: true, [CKA.EXTRACTABLE]: false }) },
    CKM.ML_KEM_KEY_PAIR_GEN,
  );
  const silent = { [CKA.CLASS]: CKO.SECRET_KEY, [CKA.KEY_TYPE]: CKK.GENERIC_SECRET };
  await t.rejects(encapsulate(app, to, CIPHERTEXT_BYTES), { code: 'template_inconsistent' });
  const sent = await encapsulate(app, to, CIPHERTEXT_BYTES, { ...silent, [CKA.SENSITIVE]: false });
  const ciphertext = Buffer.from(sent.ciphertext);
  await t.rejects(decapsulate(app, by, ciphertext), { code: 'template_inconsistent' });
  const got = await decapsulate(app, by, ciphertext, silent);
  t.same((await app.read(got, CKA.SENSITIVE, CKA.EXTRACTABLE)).values, [Buffer.of(1), Buffer.of(0)]);
  t.same((await app.read(sent.handle, CKA.SENSITIVE, CKA.EXTRACTABLE)).values, [Buffer.of(0), Buffer.of(0)]);
  await t.rejects(
    app.generatePair(SET, { [CKA.ENCAPSULATE_TEMPLATE]: demanded({}) }, CKM.ML_KEM_KEY_PAIR_GEN),
    {
      code: 'attribute_type_invalid',
    },
  );
});

test('what is refused: the wrong half, the wrong key, the wrong length, what the attributes or dates forbid', async (t) => {
  const { app } = await start();
  const [to, by] = await app.generatePair(SET, {}, CKM.ML_KEM_KEY_PAIR_GEN);
  const whole = Buffer.alloc(CIPHERTEXT_BYTES);
  await t.rejects(encapsulate(app, by, 2000), { code: 'key_function_not_permitted' });
  await t.rejects(decapsulate(app, to, whole), { code: 'key_function_not_permitted' });
  await t.rejects(decapsulate(app, by, whole.subarray(1)), { code: 'wrapped_key_len_range' });
  await t.rejects(encapsulate(app, 999, 2000), { code: 'key_handle_invalid' });
  await t.rejects(decapsulate(app, 999, whole), { code: 'unwrapping_key_handle_invalid' });
  const [signing] = await app.generatePair(SET, {}, CKM.ML_DSA_KEY_PAIR_GEN);
  await t.rejects(encapsulate(app, signing, 2000), { code: 'key_type_inconsistent' });
  await app.set(to, { [CKA.ENCAPSULATE]: false });
  await t.rejects(encapsulate(app, to, 2000), { code: 'key_function_not_permitted' });
  await app.set(by, { [CKA.DECAPSULATE]: false });
  await t.rejects(decapsulate(app, by, whole), { code: 'key_function_not_permitted' });
  const old = { ...SET, [CKA.END_DATE]: '20200101' };
  const [expired] = await app.generatePair(old, {}, CKM.ML_KEM_KEY_PAIR_GEN);
  await t.rejects(encapsulate(app, expired, 2000), { code: 'key_function_not_permitted' });
  await t.rejects(encapsulate(app, expired, 2000, { [CKA.CLASS]: CKO.PUBLIC_KEY }), {
    code: 'key_function_not_permitted',
  });
});

test('access rules: encapsulating and decapsulating is deriving', async (t) => {
  const { rig, app } = await start();
  const [to, by] = await app.generatePair(
    { ...SET, [CKA.TOKEN]: true },
    { [CKA.TOKEN]: true },
    CKM.ML_KEM_KEY_PAIR_GEN,
  );
  rig.deps.access.permits = (_peer, _token, _key, operation) => operation !== 'derive';
  await t.rejects(encapsulate(app, to, 2000), { code: 'key_function_not_permitted' });
  await t.rejects(decapsulate(app, by, Buffer.alloc(CIPHERTEXT_BYTES)), {
    code: 'key_function_not_permitted',
  });
});

test('a public value that was exchanged in the store does not open', async (t) => {
  const path = join(t.testdir(), 'store');
  const { rig, app } = await start(path);
  const stays = { ...SET, [CKA.TOKEN]: true };
  const [to] = await app.generatePair(stays, { [CKA.TOKEN]: true }, CKM.ML_KEM_KEY_PAIR_GEN);
  const file = new DatabaseSync(path);
  const row = file.prepare('SELECT attributes FROM object WHERE handle = ?').get(to) ?? {};
  const attributes = decodeAttributes(Buffer.from(row['attributes'] as Uint8Array));
  attributes.set(CKA.VALUE, generateKeyPairSync('ml-kem-768').publicKey.export({ format: 'raw-public' }));
  file.prepare('UPDATE object SET attributes = ? WHERE handle = ?').run(encodeAttributes(attributes), to);
  file.close();
  await rig.restart();
  const again = await Program.start(rig, 2n);
  await again.login();
  await t.rejects(encapsulate(again, to, 2000), { code: 'seal_broken' });
});
