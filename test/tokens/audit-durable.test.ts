// An operation is answered only after its line of the audit log is on disk; if the line cannot be written, the operation fails.
import { test } from 'tap';
import { SidekeyError } from '../../src/errors.ts';
import { CKA, CKK, CKM, CKO } from '../../src/tokens/cryptoki.ts';
import { createTokenService } from '../../src/tokens/token-service.ts';
import { WireReader, WireWriter } from '../../src/wire/buffer.ts';
import { writeTemplate } from '../../src/wire/template.ts';
import { MemoryKeys } from '../fakes/memory-keys.ts';
import { makeRig, peerOf, Program, template, type Rig } from './rig.ts';

const DATA = { [CKA.CLASS]: CKO.DATA, [CKA.TOKEN]: true, [CKA.LABEL]: 'kept' };

/** The rig's service, with an audit log on this simulated disk. */
async function withDisk(rig: Rig, durable: () => Promise<void>): Promise<void> {
  const audit = { record: rig.deps.audit.record, durable };
  rig.service = createTokenService({ ...rig.deps, audit });
  await rig.service.keeperAttached(1n);
}

test('a program waits for the disk', async (t) => {
  const rig = await makeRig();
  let arrive = (): void => undefined;
  let slow = false;
  await withDisk(rig, () => (slow ? new Promise((done) => (arrive = done)) : Promise.resolve()));
  const app = await Program.start(rig, 1n);
  slow = true;
  let answered = false;
  const made = app.create(DATA).then(() => (answered = true));
  await new Promise((done) => setTimeout(done, 20));
  t.equal(rig.records.at(-1)?.event, 'object-created', 'it is done');
  t.notOk(answered, 'and not yet answered');
  slow = false;
  arrive();
  await made;
});

test('a log that does not reach the disk fails the act, over PKCS#11 and HTTP alike', async (t) => {
  const rig = await makeRig();
  let full = false;
  await withDisk(rig, () =>
    full ? Promise.reject(new SidekeyError('audit_failed', 'no space')) : Promise.resolve(),
  );
  const app = await Program.start(rig, 1n);
  full = true;
  await t.rejects(app.create(DATA), { code: 'audit_failed' });
  const peer = peerOf(7, 1000);
  await t.rejects(rig.service.wrappingKey(peer, 'alpha'), { code: 'audit_failed' });
  full = false;
  await app.create(DATA);
});

/** The rig's service, with an audit log that can be made to refuse lines. */
async function withLog(rig: Rig): Promise<{ full: boolean }> {
  const { record } = rig.deps.audit;
  const log = { full: false };
  const refusing: typeof record = (event, fields) => {
    if (log.full) throw new SidekeyError('audit_failed', 'no space');
    record(event, fields);
  };
  const audit = { record: refusing, durable: () => Promise.resolve() };
  rig.service = createTokenService({ ...rig.deps, audit });
  await rig.service.keeperAttached(1n);
  return log;
}

test('what cannot be recorded when it is made is taken back, and what cannot be recorded is not destroyed', async (t) => {
  const rig = await makeRig();
  const log = await withLog(rig);
  const app = await Program.start(rig, 1n);
  const before = await app.create(DATA);
  log.full = true;
  await t.rejects(app.create(DATA), { code: 'audit_failed' });
  await t.rejects(app.destroy(before), { code: 'audit_failed' });
  log.full = false;
  t.strictSame(await app.find({ [CKA.LABEL]: 'kept' }), [before]);
});

test('a change that cannot be recorded is taken back, and one that the store refuses has no line', async (t) => {
  const rig = await makeRig();
  const log = await withLog(rig);
  const app = await Program.start(rig, 1n);
  const made = await app.create(DATA);
  log.full = true;
  await t.rejects(app.set(made, { [CKA.LABEL]: 'changed' }), { code: 'audit_failed' });
  log.full = false;
  t.strictSame(await app.find({ [CKA.LABEL]: 'kept' }), [made]);
  const lines = rig.records.length;
  const update = rig.store.updateObject.bind(rig.store);
  rig.store.updateObject = () => {
    throw new SidekeyError('store_failed', 'no space');
  };
  await t.rejects(app.set(made, { [CKA.LABEL]: 'changed' }), { code: 'store_failed' });
  rig.store.updateObject = update;
  t.equal(rig.records.length, lines);
  t.strictSame(await app.find({ [CKA.LABEL]: 'kept' }), [made]);
});

test('an object that the store could not remove has a second line, and is there', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  const made = await app.create(DATA);
  const remove = rig.store.removeObject.bind(rig.store);
  rig.store.removeObject = () => {
    throw new SidekeyError('store_failed', 'no space');
  };
  await t.rejects(app.destroy(made), { code: 'store_failed' });
  t.strictSame(
    rig.records.slice(-2).map(({ event }) => event),
    ['object-destroyed', 'object-kept'],
  );
  t.equal(rig.records.at(-1)?.fields['code'], 'store_failed');
  rig.store.removeObject = remove;
  t.strictSame(await app.find({ [CKA.LABEL]: 'kept' }), [made]);
  await app.destroy(made);
  t.equal(rig.records.at(-1)?.event, 'object-destroyed');
});

const AES = { kind: { kind: 'aes', sizeBits: 256 }, exportable: false, derived: false } as const;
const FAILED = { code: 'audit_failed' };

test('so it is with keys by name: made, rotated, configured and deleted', async (t) => {
  const rig = await makeRig();
  const log = await withLog(rig);
  const peer = peerOf(7, 1000);
  const { service } = rig;
  const found = (name: string) => service.findNamedKey(peer, 'alpha', name);
  await service.createNamedKey(peer, 'alpha', 'kept', AES);
  await service.configureNamedKey(peer, 'alpha', 'kept', { deletionAllowed: true });
  log.full = true;
  await t.rejects(service.createNamedKey(peer, 'alpha', 'new', AES), FAILED);
  await t.rejects(
    service.createNamedKey(peer, 'alpha', 'pair', { ...AES, kind: { kind: 'ec', sizeBits: 256 } }),
    FAILED,
  );
  await t.rejects(service.rotateNamedKey(peer, 'alpha', 'kept'), FAILED);
  await t.rejects(service.configureNamedKey(peer, 'alpha', 'kept', { deletionAllowed: false }), FAILED);
  await t.rejects(service.deleteNamedKey(peer, 'alpha', 'kept'), FAILED);
  await t.rejects(service.wrappingKey(peer, 'alpha'), FAILED);
  log.full = false;
  t.same(service.listNamedKeys(peer, 'alpha'), ['kept'], 'no half of a pair either');
  t.match(found('kept'), { latestVersion: 1, policy: { deletionAllowed: true } });
  t.equal((await service.rotateNamedKey(peer, 'alpha', 'kept')).latestVersion, 2, 'it heals by itself');
});

test('and with keys of a key service: what was made there is destroyed again, nothing else is begun', async (t) => {
  const keys = new MemoryKeys();
  const options = { prefix: 'app-', refreshMs: 1000, create: true, destroy: true };
  const rig = await makeRig(':memory:', 'none', 1000, { keys, options });
  const log = await withLog(rig);
  const peer = peerOf(7, 1000);
  const { service } = rig;
  const ids = async () => (await keys.list('app-')).map(({ id }) => id);
  await service.createNamedKey(peer, 'alpha', 'kept', AES);
  const before = await ids();
  log.full = true;
  await t.rejects(service.createNamedKey(peer, 'alpha', 'new', AES), FAILED);
  t.same(await ids(), before, 'the service has it no more');
  await t.rejects(service.rotateNamedKey(peer, 'alpha', 'kept'), FAILED);
  await t.rejects(service.deleteNamedKey(peer, 'alpha', 'kept'), FAILED);
  t.same(await ids(), before);
  log.full = false;
  t.same(service.listNamedKeys(peer, 'alpha'), ['kept']);
  await service.deleteNamedKey(peer, 'alpha', 'kept');
  t.same(await ids(), []);
});

test('a shared secret that cannot be recorded is taken back, on both sides', async (t) => {
  const rig = await makeRig();
  const log = await withLog(rig);
  const app = await Program.start(rig, 1n);
  await app.login();
  const [to, by] = await app.generatePair({ [CKA.PARAMETER_SET]: 2 }, {}, CKM.ML_KEM_KEY_PAIR_GEN);
  const kept = { [CKA.CLASS]: CKO.SECRET_KEY, [CKA.KEY_TYPE]: CKK.GENERIC_SECRET, [CKA.TOKEN]: true };
  const exchange = (message: string, place: WireWriter): Promise<Buffer> => {
    writeTemplate(place, template(kept));
    return app.send(message, place);
  };
  const mechanism = (): WireWriter => app.place().u64(CKM.ML_KEM).bytes(Buffer.alloc(0));
  const encapsulate = () => exchange('encapsulate_key', mechanism().u64(to).u64(1088));
  const made = new WireReader(await encapsulate());
  const [handle] = [made.number(), made.number()];
  const ciphertext = Buffer.from(made.bytes(1088));
  log.full = true;
  await t.rejects(encapsulate(), { code: 'audit_failed' });
  await t.rejects(exchange('decapsulate_key', mechanism().u64(by).bytes(ciphertext)), {
    code: 'audit_failed',
  });
  log.full = false;
  t.strictSame(await app.find(kept), [handle]);
});
