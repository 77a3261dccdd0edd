// A token with KEKs in two services: which is asked, the effect of an outage of one, adding and removing KEKs.
import { test } from 'tap';
import { SidekeyError } from '../../src/errors.ts';
import { CKM } from '../../src/tokens/cryptoki.ts';
import { ADMIN, makeLeasingRig, type LeasingRig } from './leasing-rig.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;

async function makePair(cache = {}): Promise<LeasingRig> {
  const rig = await makeLeasingRig({ anyMs: 10 * SECOND, ...cache });
  await rig.service.addKek(ADMIN, 'alpha', 'second', false);
  rig.first.unwraps.length = rig.second.unwraps.length = 0;
  return rig;
}

/** Uses the key every tenth of a second; returns the codes of failures. */
async function useFor(rig: LeasingRig, ms: number): Promise<string[]> {
  const uses: Promise<string | null>[] = [];
  for (let past = 0; past < ms; past += 100) {
    uses.push(rig.outcome());
    await rig.time.advance(100);
  }
  await rig.time.advance(20 * SECOND);
  return (await Promise.all(uses)).filter((code) => code !== null);
}

test('one service serves; the other is asked when it is gone, and no operation fails', async (t) => {
  for (const fault of ['down', 'silent'] as const) {
    const rig = await makePair();
    t.same(await useFor(rig, 30 * SECOND), []);
    t.equal(rig.second.unwraps.length, 0, 'the order is a preference');
    rig.first.is = fault;
    t.same(await useFor(rig, MINUTE), [], `first ${fault}`);
    t.ok(rig.second.unwraps.length > 0);
    await rig.time.advance(MINUTE);
    const from = rig.time.monotonic();
    await Promise.all([rig.use(), rig.time.advance(2 * SECOND)]);
    t.ok(rig.time.monotonic() - from <= 2 * SECOND, 'a cold key opens while the first does not answer');
    rig.first.is = 'up';
    await useFor(rig, 30 * SECOND);
    rig.first.unwraps.length = rig.second.unwraps.length = 0;
    t.same(await useFor(rig, 30 * SECOND), []);
    t.ok(rig.first.unwraps.length > 0);
    t.equal(rig.second.unwraps.length, 0, 'the first serves again');
  }
});

test('nobody waits for a service that is silent for the first time: the other one is asked beside it', async (t) => {
  const rig = await makePair();
  await rig.time.advance(30 * MINUTE);
  rig.first.is = 'silent';
  const from = rig.time.monotonic();
  let took = Infinity;
  const used = rig.use().then(() => (took = rig.time.monotonic() - from));
  for (let i = 0; i < 20; i++) await rig.time.advance(100);
  t.ok(took >= 1000 && took <= 1100, `${took} ms`);
  await rig.time.advance(10 * SECOND);
  await used;
});

test('a token that is made while the first service is down is under the second, and later under both', async (t) => {
  const rig = await makeLeasingRig();
  await rig.service.createToken({ label: 'beta', provider: 'first', soPin: null, userPin: null });
  await rig.service.addKek(ADMIN, 'beta', 'second', false);
  rig.first.is = 'down';
  rig.app.slot = 1;
  const made = rig.app.generate({ 1: true, 0x161: 32 });
  await rig.time.advance(SECOND);
  const key = await made;
  const keks = () => rig.service.tokens()[1]?.keks.map(({ wrapped }) => wrapped);
  t.same(keks(), [false, true]);
  rig.first.is = 'up';
  for (let i = 0; i < 12; i++) {
    await rig.app.resolve(key, 'encrypt', CKM.AES_GCM);
    await rig.time.advance(MINUTE);
  }
  t.same(keks(), [true, true]);
  rig.second.is = 'down';
  await rig.time.advance(30 * MINUTE);
  const opened = rig.app.resolve(key, 'encrypt', CKM.AES_GCM);
  await rig.time.advance(SECOND);
  await opened;
});

test('a no of one service and the silence of the other are a no', async (t) => {
  const rig = await makePair({ offlineMs: 60 * MINUTE });
  await rig.use();
  rig.first.is = 'refusing';
  rig.second.is = 'down';
  await rig.time.advance(11 * SECOND);
  t.equal(await rig.outcome(), 'provider_refused');
  t.equal(rig.keeper.held.size, 0);
  rig.second.is = 'up';
  await rig.time.advance(SECOND);
  t.equal(await rig.outcome(), null, 'one KEK that opens is enough');
});

test('both services down: offline applies', async (t) => {
  const rig = await makePair({ offlineMs: MINUTE });
  await rig.use();
  rig.first.is = rig.second.is = 'down';
  t.same(await useFor(rig, MINUTE), []);
});

test('KEKs are added, reordered, rotated and removed without touching an object', async (t) => {
  const rig = await makeLeasingRig();
  const before = rig.store.object(rig.key);
  const providers = () => rig.service.tokens()[0]?.keks.map(({ provider }) => provider);
  await t.rejects(rig.service.addKek(ADMIN, 'alpha', 'third', false), { code: 'arguments_bad' });
  await t.rejects(rig.service.addKek(ADMIN, 'alpha', 'first', false), { code: 'arguments_bad' });
  await t.rejects(rig.service.removeKek(ADMIN, 'alpha', 'first'), { code: 'arguments_bad' }, 'the last one');
  await rig.service.addKek(ADMIN, 'alpha', 'second', true);
  t.same(providers(), ['second', 'first']);
  t.equal(rig.store.tokens()[0]?.provider, 'second');
  const wrapped = rig.store.tokens()[0]?.keks.map((kek) => kek.wrapped?.toString('hex'));
  await rig.service.rotateKeks(ADMIN, 'alpha');
  const rotated = rig.store.tokens()[0]?.keks.map((kek) => kek.wrapped?.toString('hex'));
  t.ok(wrapped?.every((each, i) => each !== rotated?.[i]));
  await rig.service.removeKek(ADMIN, 'alpha', 'first');
  t.same(providers(), ['second']);
  rig.first.is = 'down';
  await rig.time.advance(30 * MINUTE);
  t.equal(await rig.outcome(), null, 'by the second alone');
  t.same(rig.store.object(rig.key), before);
  const audited = rig.records.map(({ event }) => event).filter((event) => event.startsWith('token-'));
  t.same(audited, ['token-created', 'token-kek-added', 'token-rotated', 'token-kek-removed']);
  t.match(rig.records.at(-1)?.fields, { token: 'alpha', provider: 'first', uid: 0 });
});

test('a lease that ends while KEKs are rotated is no failure', async (t) => {
  const rig = await makePair();
  const { keeper } = rig;
  const seal = keeper.seal.bind(keeper);
  let ends = 1;
  keeper.seal = async (...asked) => {
    if (ends-- > 0) throw new SidekeyError('cell_unknown', 'the lease is over');
    return seal(...asked);
  };
  const before = rig.store.tokens()[0]?.keks.map((kek) => kek.wrapped?.toString('hex'));
  await rig.service.rotateKeks(ADMIN, 'alpha');
  const rotated = rig.store.tokens()[0]?.keks.map((kek) => kek.wrapped?.toString('hex'));
  t.ok(before?.every((each, i) => each !== rotated?.[i]));
  ends = Infinity;
  await t.rejects(rig.service.rotateKeks(ADMIN, 'alpha'), { code: 'cell_unknown' }, 'but not for ever');
});

test('a KEK is not removed when no other one opens the token now, nor rotated by half', async (t) => {
  const rig = await makePair();
  rig.second.is = 'down';
  await t.rejects(rig.service.removeKek(ADMIN, 'alpha', 'first'), { code: 'provider_unreachable' });
  const keks = rig.store.tokens()[0]?.keks;
  await rig.time.advance(SECOND);
  await t.rejects(rig.service.rotateKeks(ADMIN, 'alpha'), { code: 'provider_unreachable' });
  t.same(rig.store.tokens()[0]?.keks, keks);
});

test('wrapped keys that were exchanged in the database do not open', async (t) => {
  const rig = await makePair();
  const [first, second] = rig.store.tokens()[0]?.keks ?? [];
  if (!first || !second) throw new Error('two KEKs');
  const { id = 0 } = rig.store.tokens()[0] ?? {};
  rig.store.setKeks(id, [{ ...second, sealed: null }]);
  await rig.restart();
  rig.service.wipeToken(null, 'alpha');
  t.equal(await rig.outcome(), 'provider_refused', 'a wrapping key is no token key');
});
