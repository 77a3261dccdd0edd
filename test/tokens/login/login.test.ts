// PINs, lock-out, login and what becomes visible by it, initialising and wiping tokens.
import { join } from 'node:path';
import { test } from 'tap';
import { CKA, CKM, CKO } from '../../../src/tokens/cryptoki.ts';
import { WireReader, WireWriter } from '../../../src/wire/buffer.ts';
import { P256 } from '../fake-keeper.ts';
import { AES_TOKEN, makeRig, Program, SO_PIN } from '../rig.ts';

const GCM = CKM.AES_GCM;
const DATA = { [CKA.CLASS]: CKO.DATA, [CKA.TOKEN]: true };

test('ten wrong PINs lock the user out, on the disk and whatever comes after', async (t) => {
  const path = join(t.testdir(), 'store.db');
  const rig = await makeRig(path);
  const app = await Program.start(rig, 1n);
  await t.rejects(app.login('wrong', 7), { code: 'user_type_invalid' });
  for (let i = 0; i < 9; i++) await t.rejects(app.login('wrong'), { code: 'pin_incorrect' });
  await rig.restart();
  const again = await Program.start(rig, 2n);
  await t.rejects(again.login('wrong'), { code: 'pin_incorrect' });
  await t.rejects(again.login(), { code: 'pin_locked' }, 'the right one is too late');
  t.equal(rig.service.tokens()[0]?.userPinLocked, true);

  await again.login(SO_PIN, 0);
  await again.send('init_pin', new WireWriter().u64(0).text('new pin'));
  await again.send('logout', new WireWriter().u64(0));
  await again.login('new pin');
  await t.rejects(again.login('new pin'), { code: 'user_already_logged_in' });
  await t.rejects(again.login(SO_PIN, 0), { code: 'user_another_already_logged_in' });
});

test('many wrong PINs at once give no more than ten guesses', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  const codes = await Promise.all(
    Array.from({ length: 30 }, () => app.login('wrong').catch((error: { code: string }) => error.code)),
  );
  t.equal(codes.filter((code) => code === 'pin_incorrect').length, 10);
  t.equal(codes.filter((code) => code === 'pin_locked').length, 20);
});

test('thirty programs that log in at once with the right PIN are all let in, whatever a guesser does meanwhile', async (t) => {
  const rig = await makeRig();
  const guesser = await Program.start(rig, 1n);
  const apps = await Promise.all(Array.from({ length: 30 }, (_, i) => Program.start(rig, BigInt(2 + i))));
  await Promise.all([
    t.rejects(guesser.login('wrong'), { code: 'pin_incorrect' }),
    ...apps.map((app) => app.login()),
    t.rejects(guesser.login('wrong again'), { code: 'pin_incorrect' }),
  ]);
  t.equal(rig.service.tokens()[0]?.userPinLocked, false);
});

test('set_pin wants the old PIN and a length; a PIN is wiped from the frame', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  const setPin = (before: string, after: string): Promise<Buffer> =>
    app.send('set_pin', new WireWriter().u64(0).u64(1).text(before).text(after));
  await t.rejects(setPin('nope', 'abcdef'), { code: 'pin_incorrect' });
  await t.rejects(setPin('1234', 'abc'), { code: 'pin_len_range' });
  await t.rejects(app.send('init_pin', new WireWriter().u64(0).text('abcd')), { code: 'user_not_logged_in' });
  await setPin('1234', 'abcdef');
  const body = Buffer.from(new WireWriter().u64(0).u64(1).text('abcdef').u64(0).done());
  await rig.service.handle({ message: 'login', id: 1n, client: 1n, body });
  t.notOk(body.includes('abcdef'));
});

test('private objects are invisible until the user is logged in, and again after', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await t.rejects(app.generate(AES_TOKEN), { code: 'user_not_logged_in' });
  await app.login();
  const key = await app.generate({ ...AES_TOKEN, [CKA.LABEL]: 'k' });
  const sessionKey = await app.generate({ [CKA.VALUE_LEN]: 32 });
  const open = await app.create({ ...DATA, [CKA.LABEL]: 'k' });
  t.same(await app.find({ [CKA.LABEL]: 'k' }), [key, open]);
  await app.resolve(key, 'encrypt', GCM);
  t.equal(rig.keeper.bindings.size, 1);

  const other = await Program.start(rig, 2n);
  t.same(await other.find({ [CKA.LABEL]: 'k' }), [open]);
  await t.rejects(other.resolve(key, 'encrypt', GCM), { code: 'key_handle_invalid' });
  await t.rejects(other.read(key, CKA.LABEL), { code: 'object_handle_invalid' });

  await app.send('logout', new WireWriter().u64(0));
  t.equal(rig.keeper.bindings.size, 0, 'bindings are gone');
  t.same(await app.find({}), [open]);
  await app.login();
  await t.rejects(
    app.read(sessionKey, CKA.LABEL),
    { code: 'object_handle_invalid' },
    'private session objects end',
  );
});

test('login belongs to the process: a hung-up one has to log in again, another thread has not', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await app.login();
  await app.generate(AES_TOKEN);
  rig.service.clientClosed(1n);
  const next = await Program.start(rig, 1n);
  t.same(await next.find({}), []);
});

test('a key with CKA_ALWAYS_AUTHENTICATE asks for its PIN at each use', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await app.login();
  const hidden = { [CKA.TOKEN]: true, [CKA.ALWAYS_AUTHENTICATE]: true };
  const [, key] = await app.generatePair({ [CKA.EC_PARAMS]: P256, [CKA.TOKEN]: true }, hidden);
  await app.resolve(key, 'sign', 0x1044);
  const binding = () => [...rig.keeper.bindings.values()].find(({ handle }) => handle === key);
  t.match(binding(), { contextLogin: true, credits: 0 });
  await t.rejects(app.login('wrong', 2, key), { code: 'pin_incorrect' });
  await app.login('1234', 2, key);
  t.match(binding(), { contextLogin: true, credits: 1 });
});

test('the free slot is the last, for those who may; init_token makes and wipes tokens', async (t) => {
  const rig = await makeRig();
  const root = await Program.start(rig, 1n, 0);
  const app = await Program.start(rig, 2n);
  t.equal(new WireReader(await app.send('slots', new WireWriter())).u32(), 1);
  t.equal(new WireReader(await root.send('slots', new WireWriter())).u32(), 2);
  const init = (slot: number, pin: string, label: string): WireWriter =>
    new WireWriter().u64(slot).text(pin).text(label.padEnd(32));
  await t.rejects(app.send('init_token', init(1, 'abcd', 'beta')), { code: 'slot_id_invalid' });
  await root.send('init_token', init(1, 'abcd', 'beta'));
  t.same(
    rig.service.tokens().map(({ label, slot }) => [label, slot]),
    [
      ['alpha', 0],
      ['beta', 1],
    ],
  );
  root.slot = 1;
  await t.rejects(root.login('1234'), { code: 'user_pin_not_initialized' });

  const kept = await app.create(DATA);
  await t.rejects(app.send('init_token', init(0, 'nope', 'alpha')), { code: 'pin_incorrect' });
  t.same(await app.find({}), [kept]);
  await app.send('init_token', init(0, SO_PIN, 'gamma'));
  t.same(await app.find({}), []);
  await t.rejects(app.login(), { code: 'user_pin_not_initialized' });
});

test('a token says whether a program may log in without a PIN', async (t) => {
  const [LOGIN_REQUIRED, PROTECTED_PATH] = [0x4, 0x100];
  for (const [login, wanted] of [
    ['pin', LOGIN_REQUIRED],
    ['none', PROTECTED_PATH],
  ] as const) {
    const app = await Program.start(await makeRig(':memory:', login), 1n);
    const reader = new WireReader(await app.send('slots', new WireWriter()));
    t.equal(reader.u32() > 0, true);
    t.same([reader.number(), reader.text(100), reader.u8()].slice(2), [1], 'a token in the first slot');
    t.equal(reader.number() & (LOGIN_REQUIRED | PROTECTED_PATH), wanted, login);
    const withoutPin = app.send('login', new WireWriter().u64(0).u64(1).bytes(null).u64(0));
    if (login === 'none') await withoutPin;
    else await t.rejects(withoutPin, { code: 'arguments_bad' });
  }
});

test('a token without a login shows private objects, and takes any PIN', async (t) => {
  const rig = await makeRig(':memory:', 'none');
  const app = await Program.start(rig, 1n);
  const key = await app.generate(AES_TOKEN);
  t.same(await app.find({}), [key]);
  await app.login('whatever');
  await t.rejects(app.login('whatever'), { code: 'user_already_logged_in' });
});

test('the security officer is locked out as well, and sees no private object', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await app.login();
  await app.generate(AES_TOKEN);
  await app.send('logout', new WireWriter().u64(0));
  await t.rejects(app.send('logout', new WireWriter().u64(0)), { code: 'user_not_logged_in' });
  await app.login(SO_PIN, 0);
  t.same(await app.find({}), []);
  await t.rejects(app.generate(AES_TOKEN), { code: 'user_not_logged_in' });
  await app.send('logout', new WireWriter().u64(0));
  for (let i = 0; i < 10; i++) await t.rejects(app.login('wrong', 0), { code: 'pin_incorrect' });
  await t.rejects(app.login(SO_PIN, 0), { code: 'pin_locked' });
  await app.login();
});
