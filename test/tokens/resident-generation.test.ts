// Keys that are generated, rotated and destroyed in their key service.
import { createPublicKey, verify } from 'node:crypto';
import { test } from 'tap';
import { SidekeyError } from '../../src/errors.ts';
import { CKA, CKK, CKM, CKO } from '../../src/tokens/cryptoki.ts';
import { WireWriter } from '../../src/wire/buffer.ts';
import { OUTPUT, RESIDENT_FROM } from '../../src/wire/tables.ts';
import { P256 } from './fake-keeper.ts';
import { peerOf } from './rig.ts';
import { ECDSA_SHA256, MESSAGE, NO_PARAMS, scene, key, Service, only, listed } from './resident-rig.ts';

/** sign_context: u8 hedge, bytes context. */
function hedged(hedge: number, context = ''): Buffer {
  return new WireWriter().u8(hedge).text(context).done();
}

test('pairs and keys are generated in the service, audited, and destroyed there', async (t) => {
  const { keys, app, rig } = await scene();
  const [shown, hidden] = await app.generatePair(
    { [CKA.EC_PARAMS]: P256, [CKA.TOKEN]: true },
    { [CKA.TOKEN]: true, [CKA.LABEL]: 'made', [CKA.SIGN]: true },
  );
  t.equal(await only(app, CKO.PRIVATE_KEY, 'made'), hidden);
  t.equal(await only(app, CKO.PUBLIC_KEY, 'made'), shown);
  t.match(
    await keys.list('app-made'),
    [{ name: 'app-made', spec: 'ec-p256' }],
    'with the prefix at the service',
  );
  t.match(rig.records.at(-1), { event: 'key-generated', fields: { handle: hidden, service: /^key-/ } });
  const secret = await app.generate(
    { [CKA.TOKEN]: true, [CKA.LABEL]: 'mac', [CKA.VALUE_LEN]: 32 },
    CKM.GENERIC_SECRET_KEY_GEN,
  );
  t.ok(secret >= RESIDENT_FROM);
  await t.rejects(app.destroy(shown), { code: 'action_prohibited' }, 'the public half goes with the other');
  await app.destroy(hidden);
  t.same(await app.find({ [CKA.LABEL]: 'made' }), []);
  t.same(await keys.list('app-made'), []);
  t.match(rig.records.at(-1), { event: 'object-destroyed', fields: { outcome: 'destroyed' } });
  const session = await app.generate({ [CKA.VALUE_LEN]: 32 });
  t.ok(session < RESIDENT_FROM, 'session keys are made here');
});

test('what a template cannot have is refused before the service is asked', async (t) => {
  const { keys, app } = await scene();
  const pair = (hidden: Record<number, Buffer | number | boolean | string>, open = {}) =>
    app.generatePair({ [CKA.EC_PARAMS]: P256, ...open }, { [CKA.TOKEN]: true, [CKA.LABEL]: 'x', ...hidden });
  await t.rejects(pair({ [CKA.LABEL]: '' }), { code: 'template_incomplete' });
  await t.rejects(pair({ [CKA.LABEL]: 'a b' }), { code: 'attribute_value_invalid' });
  await t.rejects(pair({ [CKA.ID]: Buffer.of(1) }), { code: 'template_inconsistent' });
  await t.rejects(pair({ [CKA.EXTRACTABLE]: true }), { code: 'template_inconsistent' });
  const p521 = { [CKA.EC_PARAMS]: Buffer.from('06052b81040023', 'hex') };
  await t.rejects(pair({}, p521), { code: 'curve_not_supported' });
  app.readWrite = false;
  await t.rejects(pair({}), { code: 'session_read_only' });
  t.notOk(keys.calls.includes('create'));
});

test('without create and destroy keys are made in the token, and none of the service is destroyed', async (t) => {
  const { keys, app } = await scene('none', { create: false, destroy: false });
  await keys.create(key('app-ec', 'ec-p256', 'sign'));
  await t.rejects(app.destroy(await only(app, CKO.PRIVATE_KEY, 'ec')), { code: 'action_prohibited' });
  const [, hidden] = await app.generatePair(
    { [CKA.EC_PARAMS]: P256, [CKA.TOKEN]: true },
    { [CKA.TOKEN]: true, [CKA.LABEL]: 'mine' },
  );
  t.ok(hidden < RESIDENT_FROM);
  t.equal(keys.calls.filter((call) => call === 'create').length, 1);
});

test('a rotated key has two versions: the new one by the label, the former one by its own handle', async (t) => {
  const { keys, app, rig } = await scene();
  await keys.create(key('app-sign', 'ec-p256', 'sign'));
  const service = new Service(app);
  const former = await only(app, CKO.PRIVATE_KEY, 'sign');
  const [token] = rig.service.tokens();
  if (token === undefined) throw new Error('no token');
  await rig.service.rotateResident(peerOf(7, 0), token.label, 'sign');
  const made = await only(app, CKO.PRIVATE_KEY, 'sign');
  t.not(made, former);
  t.equal(await only(app, CKO.PRIVATE_KEY, 'sign:1'), former);
  for (const handle of [former, made])
    t.equal((await service.run('sign', handle, ECDSA_SHA256, [MESSAGE])).length, 64);
  t.match(rig.records.at(-1), { event: 'resident-key-rotated', fields: { label: 'sign' } });
  const again = (label: string) => rig.service.rotateResident(peerOf(7, 0), token.label, label);
  await t.rejects(again('nobody'), { code: 'arguments_bad' }, 'no such key');
  await t.rejects(again('sign:1'), { code: 'arguments_bad' }, 'the newest version alone');
  keys.fault = new SidekeyError('provider_refused', 'no right');
  await t.rejects(again('sign'), { code: 'provider_refused' });
});

test('a token that makes no keys in its service rotates none either', async (t) => {
  const { keys, rig } = await scene('none', { create: false });
  await keys.create(key('app-sign', 'ec-p256', 'sign'));
  const label = rig.service.tokens()[0]?.label ?? '';
  await t.rejects(rig.service.rotateResident(peerOf(7, 0), label, 'sign'), { code: 'arguments_bad' });
});

test('ML-DSA of a service is offered whatever OpenSSL has here, made there, and signs there', async (t) => {
  const { app, rig } = await scene();
  rig.keeper.hasSets = false;
  const mechanisms = await listed(app);
  t.equal(mechanisms.get(CKM.ML_DSA), 0x800, 'it signs; verifying is not said');
  t.equal(mechanisms.get(CKM.ML_DSA_KEY_PAIR_GEN), 0x10000);
  t.notOk(mechanisms.has(CKM.ML_KEM), 'the service has no ML-KEM');
  rig.keeper.hasSets = true;
  t.equal((await listed(app)).get(CKM.ML_DSA), 0x2800, 'the row is the keeper’s where it has one');
  rig.keeper.hasSets = false;
  const token = { [CKA.TOKEN]: true, [CKA.LABEL]: 'quantum' };
  const make = (set: number) =>
    app.generatePair({ ...token, [CKA.PARAMETER_SET]: set }, token, CKM.ML_DSA_KEY_PAIR_GEN);
  await t.rejects(make(1), { code: 'key_size_range' }, 'a set that the service does not make');
  const [shown, hidden] = await make(2);
  const { values } = await app.read(shown, CKA.VALUE, CKA.PARAMETER_SET, CKA.PUBLIC_KEY_INFO);
  t.equal(values[0]?.length, 1952);
  t.equal(values[1]?.[0], 2);
  const service = new Service(app);
  t.same(await service.check('sign', hidden, CKM.ML_DSA), [OUTPUT.fixed, 3309, CKK.ML_DSA, 8 * 1952, 0]);
  const info = createPublicKey({ key: values[2] ?? NO_PARAMS, format: 'der', type: 'spki' });
  for (const params of [NO_PARAMS, hedged(0), hedged(1)]) {
    const signature = await service.run('sign', hidden, CKM.ML_DSA, [MESSAGE, MESSAGE], { params });
    t.ok(verify(null, Buffer.concat([MESSAGE, MESSAGE]), info, signature), 'node:crypto verifies it');
  }
  for (const params of [hedged(2), hedged(0, 'a context')])
    await t.rejects(service.check('sign', hidden, CKM.ML_DSA, params), { code: 'mechanism_param_invalid' });
  await t.rejects(service.check('sign', hidden, 0x24), { code: 'mechanism_invalid' }, 'no prehash');
  await t.rejects(service.run('sign', hidden, CKM.ML_DSA, [Buffer.alloc(4097)]), { code: 'data_len_range' });
});
