// How a key is opened into a cell when it is used: once for all concurrent requests, and again if its cell ends meanwhile.
import { test } from 'tap';
import { SidekeyError } from '../../src/errors.ts';
import { CKA, CKK, CKM } from '../../src/tokens/cryptoki.ts';
import { WireWriter } from '../../src/wire/buffer.ts';
import type { NamedKeyUse } from '../../src/tokens/service.ts';
import { createTokenService, type TokenServiceDeps } from '../../src/tokens/token-service.ts';
import { noncedOf } from './nonced-items.ts';
import { AES_KEY_WRAP } from './fake-keeper.ts';
import { AES_TOKEN, makeRig, peerOf, Program } from './rig.ts';

const GCM = CKM.AES_GCM;
test('a hundred requests on a cold key open it once, and ask the provider once', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await app.login();
  const key = await app.generate(AES_TOKEN);
  rig.now += 5000;
  const before = rig.provider.opens;
  await Promise.all(Array.from({ length: 100 }, () => app.resolve(key, 'encrypt', GCM)));
  t.equal(rig.keeper.opens, 1);
  t.equal(rig.provider.opens - before, 1);
  rig.now += 500;
  const other = await app.generate(AES_TOKEN);
  await app.resolve(other, 'encrypt', GCM);
  const leases = [...rig.keeper.held.values()].filter(({ note }) => note?.toString() === `object ${other}`);
  t.ok((leases[0]?.key.leaseMs ?? Infinity) <= 500, 'no lease outlives that of the token key');
});

test('a cell that ends between look-up and use costs one more try, not an error', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await app.login();
  const kek = await app.generate(AES_TOKEN);
  const key = await app.generate({ ...AES_TOKEN, [CKA.EXTRACTABLE]: true });
  await app.wrap(kek, key, AES_KEY_WRAP);
  const endAll = (): void => {
    for (const cell of [...rig.keeper.held.keys()]) rig.keeper.held.delete(cell);
  };
  // Without the events that the real keeper sends first, this is an error with a code, and not a wrong answer.
  endAll();
  const cells = Array.from({ length: 40 }, (_, i) => BigInt(i));
  await t.rejects(app.wrap(kek, key, AES_KEY_WRAP), { code: 'cell_unknown' });
  for (const cell of cells) rig.service.cellEnded(cell);
  rig.now += 2000;
  t.equal((await app.wrap(kek, key, AES_KEY_WRAP)).length, 40);
  const { wrap } = rig.keeper;
  let failures = 1;
  rig.keeper.wrap = (...asked: Parameters<typeof wrap>) => {
    if (failures-- > 0) return Promise.reject(new SidekeyError('cell_unknown', 'gone'));
    return wrap.apply(rig.keeper, asked);
  };
  t.equal((await app.wrap(kek, key, AES_KEY_WRAP)).length, 40);
});

test('a cell that is gone for many at once is opened anew for all of them', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await app.login();
  const peer = peerOf(5, 1000);
  const kind = { kind: 'aes', sizeBits: 256 } as const;
  await rig.service.createNamedKey(peer, 'alpha', 'orders', { kind, exportable: false, derived: false });
  const params = new WireWriter(32).bytes(Buffer.alloc(12)).bytes(Buffer.alloc(0)).u32(128).done();
  const use = { operation: 'encrypt', mechanism: { type: GCM, params }, version: 1 } as const;
  const encrypt = (): Promise<Buffer> =>
    rig.service.operateNamedKey(peer, 'alpha', 'orders', use, Buffer.from('hello'));
  await encrypt();
  const { operate } = rig.keeper;
  let gone: bigint | null = null;
  rig.keeper.operate = (cell, ...asked) => {
    gone ??= cell;
    if (cell === gone) return Promise.reject(new SidekeyError('cell_unknown', 'gone'));
    return operate.call(rig.keeper, cell, ...asked);
  };
  const sealed = await Promise.all(Array.from({ length: 40 }, encrypt));
  t.equal(sealed.length, 40, 'nobody forgets the cell that another has opened meanwhile');
});

test('a key is opened and used also when the token key, and then its own cell, end in the middle of it', async (t) => {
  const rig = await makeRig();
  const peer = peerOf(5, 1000);
  const kind = { kind: 'aes', sizeBits: 256 } as const;
  await rig.service.createNamedKey(peer, 'alpha', 'orders', { kind, exportable: false, derived: false });
  const params = new WireWriter(32).bytes(Buffer.alloc(12)).bytes(Buffer.alloc(0)).u32(128).done();
  const use = { operation: 'encrypt', mechanism: { type: GCM, params }, version: 1 } as const;
  const { open, operate } = rig.keeper;
  const gone = (): Promise<never> => Promise.reject(new SidekeyError('cell_unknown', 'gone'));
  const failures = { open: 2, operate: 3 };
  rig.keeper.open = (...asked) => (failures.open-- > 0 ? gone() : open.apply(rig.keeper, asked));
  rig.keeper.operate = (...asked) => (failures.operate-- > 0 ? gone() : operate.apply(rig.keeper, asked));
  const encrypt = (): Promise<Buffer> =>
    rig.service.operateNamedKey(peer, 'alpha', 'orders', use, Buffer.from('hello'));
  t.ok((await encrypt()).length > 0);
  t.same(failures, { open: -4, operate: -1 }, 'both were met');
  failures.operate = 100;
  await t.rejects(encrypt(), { code: 'cell_unknown' }, 'but not for ever');
});

test('many uses of a key end each by itself, in order; the cell that ended under some is opened once more', async (t) => {
  const rig = await makeRig();
  const peer = peerOf(5, 1000);
  const kind = { kind: 'aes', sizeBits: 256 } as const;
  await rig.service.createNamedKey(peer, 'alpha', 'orders', { kind, exportable: false, derived: false });
  const params = new WireWriter(32).bytes(Buffer.alloc(12)).bytes(Buffer.alloc(0)).u32(128).done();
  const use = { operation: 'encrypt', mechanism: { type: GCM, params }, version: 1 } as const;
  const texts = ['a', 'b', 'c'].map((text) => Buffer.from(text));
  const encrypted = await rig.service.operateNamedKeys(
    peer,
    'alpha',
    'orders',
    texts.map((data) => ({ use, data })),
  );
  const open = { ...use, operation: 'decrypt' } as const;
  const [a, b, c] = encrypted.map((data) => ({ use: open, data: data as Buffer }));
  if (a === undefined || b === undefined || c === undefined) throw new Error('not all were answered');
  const bad = { use: open, data: Buffer.alloc(20) };
  const old = { use: { ...open, version: 2 }, data: b.data };
  const { operateMany } = rig.keeper;
  let asked = 0;
  rig.keeper.operateMany = async (cell, operation, items) => {
    const outcomes = await operateMany.call(rig.keeper, cell, operation, items);
    if (asked++ === 0) outcomes[0] = new SidekeyError('cell_unknown', 'gone');
    return outcomes;
  };
  const outcomes = await rig.service.operateNamedKeys(peer, 'alpha', 'orders', [c, bad, old, a]);
  t.same(
    outcomes.map((outcome) => (Buffer.isBuffer(outcome) ? outcome.toString() : outcome.code)),
    ['c', 'encrypted_data_invalid', 'key_handle_invalid', 'a'],
  );
  t.equal(asked, 2);
});

test('many uses are done also when what opened their key was overtaken, or their cell ended in the middle', async (t) => {
  const rig = await makeRig();
  const peer = peerOf(5, 1000);
  const kind = { kind: 'aes', sizeBits: 256 } as const;
  await rig.service.createNamedKey(peer, 'alpha', 'orders', { kind, exportable: false, derived: false });
  const params = new WireWriter(32).bytes(Buffer.alloc(12)).bytes(Buffer.alloc(0)).u32(128).done();
  const use = { operation: 'encrypt', mechanism: { type: GCM, params }, version: 1 } as const;
  const items = ['a', 'b'].map((text) => ({ use, data: Buffer.from(text) }));
  const { open, operate } = rig.keeper;
  let wipes = 2;
  rig.keeper.open = async (...asked) => {
    const made = await open.apply(rig.keeper, asked);
    if (wipes-- > 0) await rig.service.wipeLeases(peer);
    return made;
  };
  let losses = 1;
  const lost = new SidekeyError('operation_lost', 'gone');
  rig.keeper.operate = (...asked) => (losses-- > 0 ? Promise.reject(lost) : operate.apply(rig.keeper, asked));
  const outcomes = await rig.service.operateNamedKeys(peer, 'alpha', 'orders', items);
  t.same(
    outcomes.map((outcome) => (Buffer.isBuffer(outcome) ? outcome.length : outcome.code)),
    [17, 17],
  );
  t.ok(wipes < 0 && losses < 0, 'both were met');
  losses = 1;
  const one = await rig.service.operateNamedKey(peer, 'alpha', 'orders', use, Buffer.from('c'));
  t.equal(one.length, 17);
});

test('without a keeper nobody knows its mechanisms: that is not said of the key', async (t) => {
  const rig = await makeRig();
  const peer = peerOf(5, 1000);
  const kind = { kind: 'aes', sizeBits: 256 } as const;
  await rig.service.createNamedKey(peer, 'alpha', 'orders', { kind, exportable: false, derived: false });
  rig.keeper.pid = null;
  rig.keeper.mechanisms = () => [];
  const use = {
    operation: 'encrypt',
    mechanism: { type: GCM, params: Buffer.alloc(0) },
    version: 1,
  } as const;
  const asked = rig.service.operateNamedKey(peer, 'alpha', 'orders', use, Buffer.from('a'));
  await t.rejects(asked, { code: 'keeper_absent' });
  const created = rig.service.createNamedKey(peer, 'alpha', 'other', {
    kind,
    exportable: false,
    derived: false,
  });
  await t.rejects(created, { code: 'keeper_absent' });
});

test('many uses that the key does not permit are all refused', async (t) => {
  const rig = await makeRig();
  const peer = peerOf(5, 1000);
  const kind = { kind: 'aes', sizeBits: 256 } as const;
  await rig.service.createNamedKey(peer, 'alpha', 'orders', { kind, exportable: false, derived: false });
  const params = new WireWriter(32).bytes(Buffer.alloc(12)).bytes(Buffer.alloc(0)).u32(128).done();
  const use = { operation: 'sign', mechanism: { type: GCM, params }, version: 1 } as const;
  const outcomes = await rig.service.operateNamedKeys(peer, 'alpha', 'orders', [
    { use, data: Buffer.alloc(1) },
    { use, data: Buffer.alloc(1) },
  ]);
  t.same(
    outcomes.map((outcome) => (Buffer.isBuffer(outcome) ? 'ok' : outcome.code)),
    ['mechanism_invalid', 'mechanism_invalid'],
  );
});

test('many uses at once come about only with an open key that this process may use so, and else tell nobody', async (t) => {
  const rig = await makeRig();
  const peer = peerOf(5, 1000);
  const kind = { kind: 'aes', sizeBits: 256 } as const;
  await rig.service.createNamedKey(peer, 'alpha', 'orders', { kind, exportable: false, derived: false });
  const params = new WireWriter(32).bytes(Buffer.alloc(12)).bytes(Buffer.alloc(0)).u32(128).done();
  const use: NamedKeyUse = { operation: 'encrypt', mechanism: { type: GCM, params }, version: 1 };
  const [nonce, data] = [Buffer.alloc(12, 1), Buffer.from('hello')];
  let written = 0;
  const ask = (name = 'orders', as: NamedKeyUse = use, service = rig.service) =>
    service.operateNamedKeyAtOnce(peer, 'alpha', name, as, {
      count: 1,
      write: (...where) => {
        written += 1;
        return noncedOf([[nonce, data]]).write(...where);
      },
    });
  t.equal(ask(), null, 'a key that is not open');
  const own = new WireWriter(32).bytes(nonce).bytes(Buffer.alloc(0)).u32(128).done();
  const alone = { ...use, mechanism: { type: GCM, params: own } };
  const sealed = await rig.service.operateNamedKey(peer, 'alpha', 'orders', alone, data);
  t.strictSame(ask(), [sealed]);
  t.ok(written > 0);
  const [recorded, before] = [rig.records.length, written];
  const tokens = rig.deps.tokens.map((token) => ({ ...token, auditEach: ['ord*'] }));
  const withRules = (changed: Partial<TokenServiceDeps>) => createTokenService({ ...rig.deps, ...changed });
  const each = withRules({ tokens });
  const narrow = withRules({ access: { ...rig.deps.access, permits: () => false } });
  for (const service of [each, narrow]) {
    await service.keeperAttached(1n);
    t.equal(
      ask('orders', use, service),
      null,
      'a key of which each use is recorded, or that the rules forbid',
    );
  }
  const derived = { ...use, context: Buffer.from('c') };
  t.equal(ask('orders', derived), null, 'under a context');
  const hkdf = { keyType: CKK.HKDF, min: 0, max: 64, standing: 'approved' } as const;
  const rows = [
    ...rig.keeper.mechanisms(),
    { ...hkdf, type: CKM.HKDF_KEY_GEN, name: 'CKM_HKDF_KEY_GEN', flags: 0x8000 },
    { ...hkdf, type: CKM.HKDF_DERIVE, name: 'CKM_HKDF_DERIVE', flags: 0x80000 },
  ];
  rig.keeper.mechanisms = () => rows;
  const tenants = { kind, exportable: false, derived: true };
  await rig.service.createNamedKey(peer, 'alpha', 'tenants', tenants);
  await rig.service.operateNamedKey(peer, 'alpha', 'tenants', { ...alone, context: derived.context }, data);
  t.equal(ask('tenants'), null, 'a derived key without');
  t.equal(ask('tenants', derived), null, 'and with one');
  t.equal(ask('absent'), null, 'no such key');
  t.equal(ask('orders', { ...use, version: 2 }), null, 'no such version');
  t.equal(ask('orders', { ...use, operation: 'digest' }), null);
  t.equal(ask('orders', { ...use, operation: 'sign' }), null);
  t.equal(ask('orders', { ...use, beside: 'hmac' }), null);
  t.equal(written, before, 'for none of these an item is written');
  t.equal(rig.records.slice(recorded).filter(({ event }) => event.includes('deni')).length, 0);
});

test('a stream outlives the cell of its key, but not the permission to begin it', async (t) => {
  const rig = await makeRig();
  const [peer, nonce] = [peerOf(5, 1000), Buffer.alloc(12, 1)];
  const rows = rig.keeper.mechanisms().map((row) => ({ ...row, flags: row.flags | 0x60000 }));
  rig.keeper.mechanisms = () => rows;
  let permitted = true;
  rig.service = createTokenService({
    ...rig.deps,
    access: { ...rig.deps.access, permits: () => permitted },
  });
  await rig.service.keeperAttached(1n);
  const kind = { kind: 'aes', sizeBits: 256 } as const;
  await rig.service.createNamedKey(peer, 'alpha', 'orders', { kind, exportable: false, derived: false });
  const made = await rig.service.makeStreamKey(peer, 'alpha', 'orders', { version: 1, aad: Buffer.alloc(0) });
  const where = { version: 1, aad: Buffer.alloc(0), wrapped: made.wrapped };
  const opened = await rig.service.openStreamKey(peer, 'alpha', 'orders', where);
  const first = await made.operate('encrypt', nonce, Buffer.from('segment'));
  for (const end of [() => rig.keeper.held.clear(), () => void 0]) {
    await rig.service.wipeLeases(peer);
    end();
    t.strictSame(await made.operate('encrypt', nonce, Buffer.from('segment')), first);
    t.equal(String(await opened.operate('decrypt', nonce, first)), 'segment');
  }
  rig.keeper.held.clear();
  await rig.service.wipeLeases(peer);
  permitted = false;
  for (const [key, way] of [
    [made, 'encrypt'],
    [opened, 'decrypt'],
  ] as const)
    await t.rejects(key.operate(way, nonce, first), { code: 'action_prohibited' });
  permitted = true;
  t.strictSame(await made.operate('encrypt', nonce, Buffer.from('segment')), first);
  await rig.service.configureNamedKey(peer, 'alpha', 'orders', { deletionAllowed: true });
  await rig.service.deleteNamedKey(peer, 'alpha', 'orders');
  t.strictSame(
    await made.operate('encrypt', nonce, Buffer.from('segment')),
    first,
    'its cell is still there',
  );
  rig.keeper.held.clear();
  for (const key of [made, opened])
    await t.rejects(
      key.operate('encrypt', nonce, first),
      { code: 'key_handle_invalid' },
      'a key that is destroyed',
    );
});

test('a stream that ends while its key is opened again leaves no cell', async (t) => {
  const rig = await makeRig();
  const peer = peerOf(5, 1000);
  const rows = rig.keeper.mechanisms().map((row) => ({ ...row, flags: row.flags | 0x60000 }));
  rig.keeper.mechanisms = () => rows;
  const kind = { kind: 'aes', sizeBits: 256 } as const;
  await rig.service.createNamedKey(peer, 'alpha', 'orders', { kind, exportable: false, derived: false });
  const made = await rig.service.makeStreamKey(peer, 'alpha', 'orders', { version: 1, aad: Buffer.alloc(0) });
  rig.keeper.held.clear();
  await rig.service.wipeLeases(peer);
  const { unwrap } = rig.keeper;
  let closed = 0;
  rig.keeper.unwrap = async (...asked) => {
    if (asked[0].note === null && closed++ === 0) made.close();
    return unwrap.apply(rig.keeper, asked);
  };
  const used = made.operate('encrypt', Buffer.alloc(12), Buffer.from('segment'));
  await t.rejects(used, { code: 'cell_unknown' });
  t.equal(closed, 1);
  const streams = [...rig.keeper.held.values()].filter(({ key }) => key.note === null && key.seal === null);
  t.equal(streams.length, 1, 'the token key alone');
});

test('a key that was being opened while the rules became narrower is not bound by the former ones', async (t) => {
  const rig = await makeRig();
  let permitted = true;
  const access = { ...rig.deps.access, permits: () => permitted };
  rig.service = createTokenService({ ...rig.deps, access });
  await rig.service.keeperAttached(1n);
  const app = await Program.start(rig, 1n);
  await app.login();
  const key = await app.generate(AES_TOKEN);
  const open = rig.keeper.open.bind(rig.keeper);
  rig.keeper.open = async (...asked) => {
    permitted = false;
    await rig.service.rulesChanged();
    return open(...asked);
  };
  await t.rejects(app.resolve(key, 'encrypt', GCM), { code: 'key_function_not_permitted' });
  t.equal(rig.keeper.bindings.size, 0);
});
