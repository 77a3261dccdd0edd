// The data-key cache as programs experience it, in simulated time: how often key services are asked, and when keys stop working.
import { test } from 'tap';
import { CKM } from '../../src/tokens/cryptoki.ts';
import { makeLeasingRig } from './leasing-rig.ts';
import { AES_TOKEN } from './rig.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;

test('ten thousand operations at once on a cold key ask the key service once', async (t) => {
  const rig = await makeLeasingRig();
  await rig.time.advance(30 * MINUTE);
  rig.first.unwraps.length = 0;
  rig.first.latencyMs = 40;
  const uses = Array.from({ length: 10_000 }, () => rig.use());
  await rig.time.advance(40);
  await Promise.all(uses);
  t.equal(rig.first.unwraps.length, 1);
});

test('a hundred cold keys of one token, used at once, ask the key service once', async (t) => {
  const rig = await makeLeasingRig();
  const keys: number[] = [];
  for (let i = 0; i < 100; i++) keys.push(await rig.app.generate(AES_TOKEN));
  await rig.time.advance(30 * MINUTE);
  rig.first.unwraps.length = 0;
  rig.first.latencyMs = 40;
  const uses = keys.map((key) => rig.app.resolve(key, 'encrypt', CKM.AES_GCM));
  await rig.time.advance(40);
  await Promise.all(uses);
  t.equal(rig.first.unwraps.length, 1);
});

test('a million operations in an hour ask thirteen times at most, and none waits for a renewal', async (t) => {
  const rig = await makeLeasingRig();
  await rig.use();
  rig.first.latencyMs = 2 * SECOND;
  let operations = 0;
  for (let second = 0; second < 3600; second++) {
    // The clock is stopped meanwhile: anything that waited for the service would wait forever.
    for (let i = 0; i < 280; i++, operations++) await rig.use();
    await rig.time.advance(SECOND);
  }
  t.ok(operations >= 1_000_000);
  t.ok(rig.first.unwraps.length <= 13, `${rig.first.unwraps.length} unwraps`);
  const gaps = rig.first.unwraps.slice(2).map((at, i) => at - (rig.first.unwraps[i + 1] ?? 0));
  t.ok(new Set(gaps).size > 1, 'renewals have jitter');
  t.ok(rig.keeper.held.size <= 4, 'cells that were replaced are wiped');
});

test('with a short any and a slow service none waits for a renewal either', async (t) => {
  const rig = await makeLeasingRig({ anyMs: 2 * SECOND });
  await rig.use();
  rig.first.latencyMs = 500;
  await rig.time.advance(3 * SECOND);
  // The first opening measures how slow the service is.
  const first = rig.use();
  await rig.time.advance(500);
  await first;
  rig.first.unwraps.length = 0;
  for (let i = 0; i < 3000; i++) {
    // The clock is stopped meanwhile.
    await rig.use();
    await rig.time.advance(10);
  }
  t.ok(rig.first.unwraps.length <= 31, `${rig.first.unwraps.length} unwraps in thirty seconds`);
});

test('a key that nobody uses is wiped, and not renewed any more', async (t) => {
  const rig = await makeLeasingRig({ unusedMs: 7 * MINUTE });
  await rig.use();
  await rig.time.advance(2 * 60 * MINUTE);
  t.equal(rig.keeper.held.size, 0);
  t.ok(rig.first.unwraps.length <= 2);
  t.ok(rig.events.some((event) => event.is === 'lease-ended' && event.reason === 'unused'));
});

test('without offline a key ends with its lease, by a clear error, and works within a second of the return', async (t) => {
  const rig = await makeLeasingRig();
  await rig.use();
  const from = rig.time.monotonic();
  rig.first.is = 'down';
  let lastGood = 0;
  for (let second = 0; second < 600; second++) {
    const code = await rig.outcome();
    if (code === null) lastGood = rig.time.monotonic();
    else t.equal(code, 'provider_unreachable');
    await rig.time.advance(SECOND);
  }
  t.ok(lastGood - from > 4.9 * MINUTE && lastGood - from <= 5 * MINUTE);
  rig.first.is = 'up';
  await rig.time.advance(SECOND);
  t.equal(await rig.outcome(), null);
});

test('with offline keys go on for so long while the service is silent, then stop, then come back within a second', async (t) => {
  for (const fault of ['down', 'silent'] as const) {
    const rig = await makeLeasingRig({ offlineMs: 20 * MINUTE });
    await rig.use();
    const from = rig.time.monotonic();
    rig.first.is = fault;
    let lastGood = 0;
    for (let second = 0; second < 24 * 60 + 55; second++) {
      await rig.use();
      lastGood = rig.time.monotonic();
      await rig.time.advance(SECOND);
    }
    t.ok(lastGood - from > 24 * MINUTE, fault);
    await rig.time.advance(10 * SECOND);
    const stopped = rig.outcome();
    await rig.time.advance(10 * SECOND);
    t.equal(await stopped, 'provider_unreachable', `${fault}: it ends`);
    t.equal(rig.keeper.held.size, 0, 'with every cell');
    rig.first.is = 'up';
    await rig.time.advance(SECOND);
    t.equal(await rig.outcome(), null, `${fault}: it is back`);
  }
});

test('in an outage nothing opened stands longer than seconds beyond the agent, and the outage ends with the first answer', async (t) => {
  const rig = await makeLeasingRig({ offlineMs: 20 * MINUTE });
  await rig.use();
  rig.first.is = 'down';
  for (let second = 0; second < 6 * 60; second++) {
    await rig.use();
    await rig.time.advance(SECOND);
  }
  await rig.use();
  const { cell } = rig.keeper.bindings.get(`1/0/${rig.key}`) ?? { cell: 0n };
  t.ok((rig.keeper.held.get(cell)?.key.leaseMs ?? Infinity) <= 10 * SECOND);
  rig.first.is = 'up';
  await rig.time.advance(SECOND);
  const before = rig.first.unwraps.length;
  for (let second = 0; second < 240; second++) {
    await rig.use();
    await rig.time.advance(SECOND);
  }
  t.equal(rig.first.unwraps.length, before, 'a whole lease again');
});

test('a key that is disabled at the service works no longer than any, whatever offline says', async (t) => {
  for (const outage of [false, true]) {
    const rig = await makeLeasingRig({ offlineMs: 60 * MINUTE });
    await rig.use();
    await rig.time.advance(2 * MINUTE);
    if (outage) {
      rig.first.is = 'down';
      for (let i = 0; i < 5; i++) await rig.time.advance(MINUTE).then(() => rig.use());
    }
    rig.first.is = 'refusing';
    const from = rig.time.monotonic();
    let lastGood = from;
    for (let second = 0; second < 600; second++) {
      const code = await rig.outcome();
      if (code === null) lastGood = rig.time.monotonic();
      else t.equal(code, 'provider_refused');
      await rig.time.advance(SECOND);
    }
    t.ok(lastGood - from <= (outage ? SECOND : 5 * MINUTE), `${lastGood - from} ms`);
    t.equal(rig.keeper.held.size, 0, 'nothing is left in the keeper');
    rig.first.is = 'up';
    await rig.time.advance(SECOND);
    t.equal(await rig.outcome(), null, 'and is back when it is allowed again');
  }
});

test('a no is answered to others for a second, so that a crowd does not ask again and again', async (t) => {
  const rig = await makeLeasingRig();
  await rig.time.advance(30 * MINUTE);
  rig.first.is = 'refusing';
  rig.first.unwraps.length = 0;
  for (let i = 0; i < 1000; i++) {
    t.equal(await rig.outcome(), 'provider_refused');
    await rig.time.advance(10);
  }
  t.ok(rig.first.unwraps.length >= 10 && rig.first.unwraps.length <= 21, `${rig.first.unwraps.length}`);
});

test('what is revoked by an event or the operator is wiped at once, and asked for anew', async (t) => {
  const rig = await makeLeasingRig();
  await rig.use();
  rig.first.is = 'refusing';
  rig.service.wipeToken(null, 'alpha');
  t.equal(rig.keeper.held.size, 0);
  t.equal(await rig.outcome(), 'provider_refused');
});

test('a key that was being opened when it was wiped is not kept', async (t) => {
  const rig = await makeLeasingRig();
  await rig.time.advance(30 * MINUTE);
  rig.first.latencyMs = 100;
  const opening = rig.outcome();
  await rig.time.advance(50);
  rig.service.wipeToken(null, 'alpha');
  await rig.time.advance(60);
  rig.first.is = 'refusing';
  await rig.time.advance(SECOND);
  t.equal(await opening, 'provider_refused', 'it is asked for anew');
  t.equal(rig.keeper.held.size, 0);
});

test('an event of the key service ends what was revoked there, and nothing else', async (t) => {
  const rig = await makeLeasingRig();
  await rig.use();
  rig.first.unwraps.length = 0;
  rig.service.providerChanged('second');
  await rig.time.advance(1);
  t.equal(rig.first.unwraps.length, 0, 'of another service');
  rig.service.providerChanged('first');
  await rig.time.advance(1);
  t.equal(rig.first.unwraps.length, 1, 'one question');
  t.equal(await rig.outcome(), null, 'the key is good');
  rig.first.is = 'down';
  rig.service.providerChanged('first');
  await rig.time.advance(1);
  t.equal(await rig.outcome(), null, 'nobody answered: the lease goes on');
  await rig.time.advance(SECOND);
  Object.assign(rig.first, { is: 'refusing', latencyMs: 50 });
  rig.service.providerChanged('first');
  await rig.time.advance(60);
  t.equal(rig.keeper.held.size, 0, 'wiped as soon as the service has said no');
  t.equal(await rig.outcome(), 'provider_refused');
});

test('an event beside an opening that began before it is a question of its own', async (t) => {
  const rig = await makeLeasingRig();
  await rig.time.advance(30 * MINUTE);
  rig.first.unwraps.length = 0;
  rig.first.latencyMs = 100;
  const use = rig.use();
  await rig.time.advance(50);
  rig.service.providerChanged('first');
  await rig.time.advance(200);
  await use;
  t.equal(rig.first.unwraps.length, 2);
});

test('a restarted agent takes its token key over, with what was left of it', async (t) => {
  const rig = await makeLeasingRig({ offlineMs: MINUTE });
  await rig.use();
  await rig.time.advance(2 * MINUTE);
  rig.first.unwraps.length = 0;
  await rig.restart();
  rig.first.is = 'down';
  for (let second = 0; second < 3 * 60 + 55; second++) {
    await rig.use();
    await rig.time.advance(SECOND);
  }
  await rig.time.advance(10 * SECOND);
  t.equal(await rig.outcome(), 'provider_unreachable', 'the outage is counted from the first lease');
});

test('a token that is prewarmed is open before the first use, as soon as its service is there', async (t) => {
  const rig = await makeLeasingRig({}, true);
  await rig.time.advance(30 * MINUTE);
  rig.first.is = 'down';
  rig.first.unwraps.length = 0;
  await rig.restart();
  await rig.time.advance(5 * MINUTE);
  const tries = rig.first.unwraps.length;
  t.ok(tries > 4 && tries < 20, `${tries} tries in five minutes`);
  t.equal(rig.service.tokens()[0]?.tokenKeyOpen, false);
  rig.first.is = 'up';
  await rig.time.advance(MINUTE);
  t.equal(rig.service.tokens()[0]?.tokenKeyOpen, true);
  t.equal(rig.first.unwraps.length, tries + 1);
});
