// A search binds the key ahead of its answer, with exactly the permissions that the first use would have been given.
import { test } from 'tap';
import { SidekeyError } from '../../src/errors.ts';
import { CKA, CKM } from '../../src/tokens/cryptoki.ts';
import { createTokenService } from '../../src/tokens/token-service.ts';
import { WireWriter } from '../../src/wire/buffer.ts';
import { P256 } from './fake-keeper.ts';
import { AES_TOKEN, makeRig, Program, type Rig } from './rig.ts';

const GCM = CKM.AES_GCM;
const LABEL = { [CKA.LABEL]: 'k' };
const ENCRYPTS = { ...AES_TOKEN, ...LABEL, [CKA.ENCRYPT]: true, [CKA.DECRYPT]: true };
const LOGOUT = (): WireWriter => new WireWriter().u64(0);

/** A key that one program has used, so that it is open, and another program. */
async function makeOpen(rig: Rig, given = ENCRYPTS): Promise<{ key: number; app: Program; owner: Program }> {
  const owner = await Program.start(rig, 1n);
  await owner.login();
  const key = await owner.generate(given);
  await owner.resolve(key, 'encrypt', GCM);
  const app = await Program.start(rig, 2n);
  await app.login();
  return { key, app, owner };
}

const boundTo = (rig: Rig, client: bigint) =>
  [...rig.keeper.bindings.values()].filter((binding) => binding.client === client);

test('who finds one key that stands open is bound to it, as at its first use', async (t) => {
  const rig = await makeRig();
  const { key, app } = await makeOpen(rig);
  const { opens } = rig.keeper;
  t.strictSame(await app.find(LABEL), [key]);
  const [ahead] = boundTo(rig, 2n);
  t.match(ahead, { handle: key, slot: 0, contextLogin: false, credits: 0, eachAsks: false });
  rig.keeper.bindings.clear();
  await app.resolve(key, 'encrypt', GCM);
  t.strictSame(boundTo(rig, 2n)[0], ahead);
  t.equal(rig.keeper.opens, opens, 'nothing was opened for it');
});

test('a key is bound ahead once for each connection: what was taken away is asked for', async (t) => {
  const rig = await makeRig();
  const { key, app } = await makeOpen(rig);
  await app.find(LABEL);
  await app.send('logout', LOGOUT());
  t.strictSame(boundTo(rig, 2n), [], 'a logout takes it away');
  await app.login();
  await app.find(LABEL);
  t.strictSame(boundTo(rig, 2n), []);
  await app.resolve(key, 'encrypt', GCM);
  t.equal(boundTo(rig, 2n).length, 1);
});

test('nothing is bound ahead that is not open, not one, not permitted, not a key, or asks for more than a login', async (t) => {
  const rig = await makeRig();
  const { key, app, owner } = await makeOpen(rig);
  const closed = await owner.generate({ ...ENCRYPTS, [CKA.LABEL]: 'closed' });
  t.strictSame(await app.find({ [CKA.LABEL]: 'closed' }), [closed]);
  t.strictSame(await app.find({}), [key, closed]);
  t.strictSame(boundTo(rig, 2n), []);
  const hidden = { [CKA.TOKEN]: true, [CKA.ALWAYS_AUTHENTICATE]: true, [CKA.LABEL]: 'asks' };
  const [, asks] = await owner.generatePair({ [CKA.EC_PARAMS]: P256 }, hidden);
  await owner.resolve(asks, 'sign', 0x1044);
  t.strictSame(await app.find({ [CKA.LABEL]: 'asks' }), [asks]);
  t.strictSame(boundTo(rig, 2n), []);
  const stranger = await Program.start(rig, 3n);
  t.strictSame(await stranger.find(LABEL), [], 'who is not logged in finds none');
  t.strictSame(boundTo(rig, 3n), []);
  await app.find(LABEL);
  t.equal(boundTo(rig, 2n).length, 1, 'and the first one would have been');
});

test('rules that permit nothing leave nothing to bind, and no refusal is recorded before there is a use', async (t) => {
  const rig = await makeRig();
  const { key, owner } = await makeOpen(rig);
  const access = { ...rig.deps.access, permits: () => false };
  rig.service = createTokenService({ ...rig.deps, access });
  await rig.service.keeperAttached(1n);
  const app = await Program.start(rig, 4n);
  await app.login();
  t.strictSame(await app.find(LABEL), [key]);
  t.strictSame(boundTo(rig, 4n), []);
  t.notOk(rig.records.some(({ event }) => event === 'denied'));
  await t.rejects(app.resolve(key, 'encrypt', GCM), { code: 'key_function_not_permitted' });
  t.ok(rig.records.some(({ event }) => event === 'denied'));
  t.ok(owner);
});

test("a binding that the keeper refuses is the keeper's to ask for again, and then the program is told", async (t) => {
  const rig = await makeRig();
  const { key, app } = await makeOpen(rig);
  const bind = rig.keeper.bind.bind(rig.keeper);
  rig.keeper.bind = () => Promise.reject(new SidekeyError('memory', 'none is left'));
  await app.resolve(key, 'encrypt', GCM);
  await t.rejects(app.resolve(key, 'encrypt', GCM), { code: 'memory' }, 'it asked again');
  rig.keeper.bind = bind;
  rig.keeper.held.clear();
  await app.resolve(key, 'encrypt', GCM).catch(() => undefined);
  await app.resolve(key, 'encrypt', GCM).catch(() => undefined);
  const cells = boundTo(rig, 2n).map(({ cell }) => cell);
  t.strictSame(
    cells.filter((cell) => !rig.keeper.held.has(cell)),
    [],
    'a cell that has ended is not bound: the key was opened anew',
  );
});

test('a login whose line does not reach the disk is none', async (t) => {
  const rig = await makeRig();
  await makeOpen(rig);
  let full = true;
  const durable = (): Promise<void> =>
    full ? Promise.reject(new SidekeyError('audit_failed', 'no space')) : Promise.resolve();
  rig.service = createTokenService({ ...rig.deps, audit: { record: rig.deps.audit.record, durable } });
  await rig.service.keeperAttached(1n);
  const app = await Program.start(rig, 5n);
  await t.rejects(app.login(), { code: 'audit_failed' });
  full = false;
  t.strictSame(await app.find(LABEL), []);
  await app.login();
  t.equal((await app.find(LABEL)).length, 1);
});
