// The domain as a program sees it: frames in, frames out, with a real store file.
import { randomBytes } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { test } from 'tap';
import { encodeAttributes, decodeAttributes, encodeBool } from '../../src/tokens/objects/attribute-value.ts';
import { CKA, CKK, CKM, CKO } from '../../src/tokens/cryptoki.ts';
import { WireReader, WireWriter } from '../../src/wire/buffer.ts';
import { OBJECTS_PER_CLIENT_MAX } from '../../src/tokens/objects/session-objects.ts';
import { AES_KEY_WRAP, P256 } from './fake-keeper.ts';
import { AES_TOKEN, makeRig, peerOf, Program } from './rig.ts';

const GCM = CKM.AES_GCM;
const DATA = { [CKA.CLASS]: CKO.DATA, [CKA.TOKEN]: true };
const SECRET = { [CKA.CLASS]: CKO.SECRET_KEY, [CKA.KEY_TYPE]: CKK.AES };

const PLAIN = { exportable: false, derived: false } as const;

test('a peer that is not admitted sees no slot, and is recorded', async (t) => {
  const rig = await makeRig();
  const stranger = await Program.start(rig, 1n, 4000);
  t.equal(new WireReader(await stranger.send('slots', new WireWriter())).u32(), 0);
  await t.rejects(stranger.find({}), { code: 'slot_id_invalid' });
  await t.rejects(stranger.login(), { code: 'slot_id_invalid' });
  await t.rejects(stranger.send('mechanisms', new WireWriter().u64(0)), { code: 'slot_id_invalid' });
  t.ok(rig.records.some(({ event, fields }) => event === 'denied' && fields['uid'] === 4000));
  for (let times = 0; times < 3; times++)
    t.throws(() => rig.service.listNamedKeys(peerOf(1, 4000), 'alpha'), { code: 'token_not_recognized' });
  const denials = rig.records.filter(({ event }) => event === 'denied').map(({ fields }) => fields['pid']);
  t.strictSame(denials, [101, 1], 'each process once, however often it asks');
  await t.rejects(stranger.send('hello', new WireWriter()), { code: 'wire_malformed' });
});

test('changes of one object at once are made one after the other, and one that came with its end finds nothing', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await app.login();
  const key = await app.generate({ ...AES_TOKEN, [CKA.EXTRACTABLE]: true });
  const set = (type: number, value: Buffer | boolean | string) => app.set(key, { [type]: value });
  const many = Array.from({ length: 16 }, (_, i) => set(CKA.ID, Buffer.from([i])));
  await Promise.all([...many, set(CKA.LABEL, 'both'), set(CKA.EXTRACTABLE, false)]);
  const { values } = await app.read(key, CKA.LABEL, CKA.EXTRACTABLE, CKA.ID);
  t.same(values.slice(0, 2), [Buffer.from('both'), encodeBool(false)]);
  t.equal(values[2]?.length, 1);
  const [change] = await Promise.allSettled([set(CKA.ID, Buffer.from([99])), app.destroy(key)]);
  if (change.status === 'rejected') t.equal(change.reason.code, 'object_handle_invalid');
  await t.rejects(set(CKA.LABEL, 'x'), { code: 'object_handle_invalid' });
});

test('a read-only session makes and changes session objects only', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await app.login();
  const key = await app.generate(AES_TOKEN);
  app.readWrite = false;
  await t.rejects(app.generate(AES_TOKEN), { code: 'session_read_only' });
  await t.rejects(app.destroy(key), { code: 'session_read_only' });
  await t.rejects(app.set(key, { [CKA.LABEL]: 'x' }), { code: 'session_read_only' });
  await t.rejects(app.copy(key, {}), { code: 'session_read_only' });
  const copy = await app.copy(key, { [CKA.TOKEN]: false });
  t.ok(copy > 2 ** 40);
  await app.resolve(key, 'encrypt', GCM);
});

test('CKA_SENSITIVE only rises and CKA_EXTRACTABLE only falls, in place and in a copy', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await app.login();
  const open = { [CKA.SENSITIVE]: false, [CKA.EXTRACTABLE]: true };
  const key = await app.create(
    { ...SECRET, ...open, [CKA.TOKEN]: true },
    { [CKA.VALUE]: Buffer.alloc(32, 7) },
  );
  const { cell, states } = await app.read(key, CKA.VALUE, CKA.VALUE_LEN, CKA.MODULUS, 0x80001234);
  t.same(states, [3, 0, 2, 2], 'material, value, unknown, unknown');
  t.same(rig.keeper.secret(cell), Buffer.alloc(32, 7));
  const closed = await app.copy(key, { [CKA.SENSITIVE]: true });
  t.same((await app.read(closed, CKA.VALUE)).states, [1], 'sensitive');
  await t.rejects(app.copy(closed, { [CKA.SENSITIVE]: false }), { code: 'attribute_read_only' });
  await t.rejects(app.set(closed, { [CKA.SENSITIVE]: false }), { code: 'attribute_read_only' });
  await app.set(key, { [CKA.EXTRACTABLE]: false });
  t.same((await app.read(key, CKA.VALUE)).states, [1]);
  await t.rejects(app.set(key, { [CKA.EXTRACTABLE]: true }), { code: 'attribute_read_only' });
  await rig.restart();
  await Program.start(rig, 1n);
  await app.resolve(key, 'encrypt', GCM);
  t.pass('the new seal opens in a new agent');
});

test('CKA_MODIFIABLE, CKA_COPYABLE and CKA_DESTROYABLE are honoured', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  const fixed = { [CKA.MODIFIABLE]: false, [CKA.COPYABLE]: false, [CKA.DESTROYABLE]: false };
  const handle = await app.create({ ...DATA, ...fixed });
  await t.rejects(app.set(handle, { [CKA.LABEL]: 'x' }), { code: 'action_prohibited' });
  await t.rejects(app.copy(handle, {}), { code: 'action_prohibited' });
  await t.rejects(app.destroy(handle), { code: 'action_prohibited' });
});

test('a row that was edited in the database does not open', async (t) => {
  const path = join(t.testdir(), 'store.db');
  const rig = await makeRig(path);
  const app = await Program.start(rig, 1n);
  await app.login();
  const key = await app.generate({ ...AES_TOKEN, [CKA.SENSITIVE]: true });
  const note = await app.create({ ...DATA, [CKA.PRIVATE]: true, [CKA.VALUE]: 'a secret note' });
  const [shown] = await app.generatePair({ [CKA.TOKEN]: true, [CKA.EC_PARAMS]: P256 }, { [CKA.TOKEN]: true });
  t.same((await app.read(note, CKA.VALUE)).values, [Buffer.from('a secret note')]);

  const db = new DatabaseSync(path);
  const edit = (handle: number, change: (attributes: Map<number, Buffer>) => void): void => {
    const row = db.prepare('SELECT attributes FROM object WHERE handle = ?').get(handle);
    const attributes = decodeAttributes(Buffer.from(row?.['attributes'] as Uint8Array));
    change(attributes);
    db.prepare('UPDATE object SET attributes = ? WHERE handle = ?').run(encodeAttributes(attributes), handle);
  };
  t.notOk(
    Buffer.from(String(db.prepare('SELECT hex(blob) AS b FROM object').all()[1]?.['b']), 'hex').includes(
      'secret',
    ),
  );
  edit(key, (attributes) => attributes.set(CKA.EXTRACTABLE, encodeBool(true)));
  edit(note, (attributes) => attributes.set(CKA.PRIVATE, encodeBool(false)));
  edit(shown, (attributes) => attributes.set(CKA.EC_POINT, Buffer.alloc(67, 4)));
  db.close();

  await rig.restart();
  await t.rejects(app.resolve(key, 'encrypt', GCM), { code: 'seal_broken' });
  await t.rejects(app.read(note, CKA.VALUE), { code: 'seal_broken' });
  await t.rejects(app.resolve(shown, 'verify', 0x1044), { code: 'seal_broken' });
});

test('handles are stable over restarts and never used again', async (t) => {
  const rig = await makeRig(join(t.testdir(), 'store.db'));
  const app = await Program.start(rig, 1n);
  const first = await app.create(DATA);
  const second = await app.create(DATA);
  await app.destroy(second);
  await rig.restart();
  const third = await app.create(DATA);
  t.ok(third > second);
  t.same(await app.find({}), [first, third]);
  await t.rejects(app.destroy(second), { code: 'object_handle_invalid' });
});

test('a restarted agent knows session keys and logins again; a new keeper has none of the keys', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await app.login();
  const key = await app.generate({ [CKA.VALUE_LEN]: 16, [CKA.LABEL]: 'mine' });
  await rig.restart();
  t.same(await app.find({ [CKA.LABEL]: 'mine' }), [key]);
  await app.resolve(key, 'encrypt', GCM);
  t.ok((await app.generate({ [CKA.VALUE_LEN]: 16 })) > key);
  await app.send('session_closed', new WireWriter().u64(0).u64(1));
  t.same(await app.find({ [CKA.TOKEN]: false }), []);

  await app.generate({ [CKA.VALUE_LEN]: 16 });
  rig.service.keeperLost();
  rig.keeper.held.clear();
  rig.keeper.connected.clear();
  await rig.service.keeperAttached(2n);
  const back = await Program.start(rig, 9n);
  t.same(await back.find({ [CKA.TOKEN]: false }), []);
  rig.service.keeperLost();
  const same = { client: 12n, pid: 101, uid: 1000, gid: 1000, groups: [], program: 'app', note: null };
  rig.keeper.connected.set(12n, same);
  await rig.service.keeperAttached(3n);
  await new Program(rig, 12n).generate(AES_TOKEN);
  t.pass('the same process is still logged in');
});

test('resolve refuses by handle, attribute, mechanism, key type and date', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await app.login();
  const data = await app.create(DATA);
  await t.rejects(app.resolve(data, 'encrypt', GCM), { code: 'key_handle_invalid' });
  await t.rejects(app.resolve(999, 'encrypt', GCM), { code: 'key_handle_invalid' });
  const key = await app.generate({ ...AES_TOKEN, [CKA.ENCRYPT]: false, [CKA.START_DATE]: '20200101' });
  await t.rejects(app.resolve(key, 'encrypt', GCM), { code: 'key_function_not_permitted' });
  await t.rejects(app.resolve(key, 'sign', GCM), { code: 'mechanism_invalid' });
  await t.rejects(app.resolve(key, 'sign', CKM.SHA256_HMAC), { code: 'key_type_inconsistent' });
  await app.resolve(key, 'decrypt', GCM);
  const old = await app.generate({ ...AES_TOKEN, [CKA.END_DATE]: '20200101' });
  await t.rejects(app.resolve(old, 'encrypt', GCM), { code: 'key_function_not_permitted' });
  await app.resolve(old, 'decrypt', GCM);
  const only = Buffer.alloc(8);
  only.writeUInt32LE(CKM.SHA512_HMAC);
  const hmac = { [CKA.VALUE_LEN]: 32, [CKA.ALLOWED_MECHANISMS]: only };
  const limited = await app.generate(hmac, CKM.GENERIC_SECRET_KEY_GEN);
  await t.rejects(app.resolve(limited, 'sign', CKM.SHA256_HMAC), { code: 'mechanism_invalid' });
  const typed = await app.generate(
    { [CKA.VALUE_LEN]: 32, [CKA.KEY_TYPE]: CKK.SHA256_HMAC },
    CKM.GENERIC_SECRET_KEY_GEN,
  );
  await t.rejects(app.resolve(typed, 'sign', CKM.SHA512_HMAC), { code: 'key_type_inconsistent' });
  await app.resolve(typed, 'sign', CKM.SHA256_HMAC);
});

test('wrapping obeys CKA_EXTRACTABLE and CKA_WRAP_WITH_TRUSTED; what is unwrapped was never always sensitive', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await app.login();
  const kek = await app.generate(AES_TOKEN);
  const kept = await app.generate(AES_TOKEN);
  const loose = await app.generate({ ...AES_TOKEN, [CKA.EXTRACTABLE]: true });
  const proud = await app.generate({ ...AES_TOKEN, [CKA.EXTRACTABLE]: true, [CKA.WRAP_WITH_TRUSTED]: true });
  await t.rejects(app.wrap(kek, kept, AES_KEY_WRAP), { code: 'key_unextractable' });
  await t.rejects(app.wrap(kek, proud, AES_KEY_WRAP), { code: 'key_not_wrappable' });
  await t.rejects(app.wrap(999, loose, AES_KEY_WRAP), { code: 'wrapping_key_handle_invalid' });
  const wrapped = await app.wrap(kek, loose, AES_KEY_WRAP);
  const back = await app.unwrap(
    kek,
    wrapped,
    { ...SECRET, [CKA.TOKEN]: true, [CKA.SENSITIVE]: true },
    AES_KEY_WRAP,
  );
  const flags = [CKA.LOCAL, CKA.ALWAYS_SENSITIVE, CKA.NEVER_EXTRACTABLE];
  t.same(
    (await app.read(back, ...flags)).values.map((value) => value[0]),
    [0, 0, 0],
  );
  t.same(
    (await app.read(kept, ...flags)).values.map((value) => value[0]),
    [1, 1, 1],
  );
  t.same(
    (await app.read(loose, ...flags)).values.map((value) => value[0]),
    [1, 0, 0],
  );
});

test('a secret key that may be extracted is readable unless its template says CKA_SENSITIVE', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await app.login();
  const extractable = { [CKA.EXTRACTABLE]: true };
  const open = await app.generate({ ...AES_TOKEN, ...extractable });
  const said = await app.generate({ ...AES_TOKEN, ...extractable, [CKA.SENSITIVE]: true });
  const neither = await app.generate(AES_TOKEN);
  const shown = await app.generate({ ...AES_TOKEN, [CKA.SENSITIVE]: false });
  const [, pair] = await app.generatePair({ [CKA.EC_PARAMS]: P256 }, extractable);
  const rows = [open, said, neither, shown, pair].map((key) => app.read(key, CKA.SENSITIVE, CKA.EXTRACTABLE));
  t.same(
    (await Promise.all(rows)).map(({ values }) => values.map((value) => value[0])),
    [
      [0, 1],
      [1, 1],
      [1, 0],
      [0, 0],
      [1, 1],
    ],
  );
  t.same((await app.read(open, CKA.VALUE)).states, [3], 'its material');
  for (const key of [said, neither, shown]) t.same((await app.read(key, CKA.VALUE)).states, [1], 'hidden');
});

test('keys by name are the same objects; two creations at once make one', async (t) => {
  const rig = await makeRig();
  const peer = peerOf(5, 1000);
  const create = () =>
    rig.service.createNamedKey(peer, 'alpha', 'orders', { ...PLAIN, kind: { kind: 'aes', sizeBits: 256 } });
  const [first] = await Promise.all([create(), create()]);
  t.match(first, { name: 'orders', kind: 'aes', sizeBits: 256, extractable: false });
  const kind = { kind: 'ec', sizeBits: 256 } as const;
  const pair = await rig.service.createNamedKey(peer, 'alpha', 'signing', { ...PLAIN, kind });
  t.match(pair, { kind: 'ec', sizeBits: 256 });
  t.same(rig.service.listNamedKeys(peer, 'alpha'), ['orders', 'signing']);
  t.equal(rig.service.keys('alpha').length, 3);
  const params = Buffer.from(new WireWriter().bytes(randomBytes(12)).bytes(Buffer.alloc(0)).u32(128).done());
  const use = { operation: 'encrypt', mechanism: { type: GCM, params }, version: 1 } as const;
  const sealed = await rig.service.operateNamedKey(peer, 'alpha', 'orders', use, Buffer.from('hello'));
  const open = { ...use, operation: 'decrypt' } as const;
  const plain = await rig.service.operateNamedKey(peer, 'alpha', 'orders', open, sealed);
  t.equal(plain.toString(), 'hello');
  await t.rejects(rig.service.operateNamedKey(peer, 'alpha', 'nobody', use, plain), {
    code: 'key_handle_invalid',
  });
  t.ok(rig.records.filter(({ event }) => event === 'key-generated').length === 3);
});

test('attribute bits change what a bound client may do, at once', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await app.login();
  const key = await app.generate(AES_TOKEN);
  await app.resolve(key, 'encrypt', GCM);
  await app.set(key, { [CKA.ENCRYPT]: false });
  t.equal(rig.keeper.bindings.size, 0);
  await t.rejects(app.resolve(key, 'encrypt', GCM), { code: 'key_function_not_permitted' });
  await app.resolve(key, 'decrypt', GCM);
  await app.destroy(key);
  t.equal(rig.keeper.bindings.size, 0);
});

test('a process has so many session objects and no more', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  const data = { [CKA.CLASS]: CKO.DATA };
  for (let i = 0; i < OBJECTS_PER_CLIENT_MAX; i++) await app.create(data);
  await t.rejects(app.create(data), { code: 'memory' });
  const other = await Program.start(rig, 2n);
  t.same(await other.find({}), [], 'and they are its own');
  await other.create(data);
});

test('a session pair that is copied to the token works from there, as keytool does', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await app.login();
  const [shown, key] = await app.generatePair({ [CKA.EC_PARAMS]: P256 }, { [CKA.SENSITIVE]: true });
  const copies = await Promise.all(
    [shown, key].map((handle) => app.copy(handle, { [CKA.TOKEN]: true, [CKA.ID]: 'id' })),
  );
  const points = await Promise.all(
    [shown, key, ...copies].map((handle) => app.read(handle, CKA.EC_POINT, CKA.LOCAL)),
  );
  for (const { values } of points) t.same(values, points[0]?.values);
  await app.send('session_closed', new WireWriter().u64(0).u64(1));
  t.same(
    await app.find({ [CKA.ID]: 'id' }),
    copies.sort((a, b) => a - b),
  );
  await app.resolve(copies.at(-1) ?? 0, 'sign', 0x1044);
  const ids = await Promise.all([...copies].map((handle) => app.read(handle, CKA.UNIQUE_ID)));
  t.notSame(ids[0]?.values, ids[1]?.values);
});
