// Envelopes of Tink's format: how often the key service is asked, when data keys end, and what is refused.
import { test, type Test } from 'tap';
import { serializeDataKey, takeDataKey } from '../../../src/tokens/named-keys/envelope-message.ts';
import { ADMIN, ENVELOPE, makeLeasingRig, type LeasingRig } from '../leasing-rig.ts';

const MINUTE = 60_000;
const AAD = Buffer.from('order 17');
const TEXT = Buffer.from('of the application');

function door({ service }: LeasingRig) {
  return {
    seal: (text = TEXT, aad = AAD) => service.sealEnvelope(ADMIN, 'alpha', ENVELOPE.key, aad, text),
    open: (message: Buffer, aad = AAD) => service.openEnvelope(ADMIN, 'alpha', ENVELOPE.key, aad, message),
  };
}

/** null: it succeeds. */
function codeOf(work: Promise<unknown>): Promise<string | null> {
  return work.then(
    () => null,
    (error: { code: string }) => error.code,
  );
}

test('one data key serves its number of messages, and a cold start of many asks for one', async (t) => {
  const rig = await makeLeasingRig();
  rig.first.latencyMs = 40;
  const sealing = Promise.all(Array.from({ length: 50 }, () => door(rig).seal()));
  await rig.time.advance(40);
  await sealing;
  t.equal(rig.first.wraps, 1);
  rig.first.latencyMs = 0;
  for (let n = 0; n < 175; n++) await door(rig).seal();
  t.equal(rig.first.wraps, 3, '225 messages, 100 by each key');
});

test('the next data key is made ahead of the end of the current one, by time and by messages, and no message waits for it', async (t) => {
  const rig = await makeLeasingRig();
  await door(rig).seal();
  rig.first.latencyMs = 2000;
  const sealAtOnce = async (): Promise<void> => {
    const from = rig.time.monotonic();
    await door(rig).seal();
    t.equal(rig.time.monotonic(), from);
  };
  await rig.time.advance(4.1 * MINUTE);
  await sealAtOnce();
  t.equal(rig.first.wraps, 2, 'begun');
  await rig.time.advance(2000);
  for (let n = 0; n < 20; n++) await sealAtOnce();
  await rig.time.advance(1 * MINUTE);
  for (let n = 0; n < 79; n++) await sealAtOnce();
  t.equal(rig.first.wraps, 2, 'the one that was made ahead serves');
  await sealAtOnce();
  t.equal(rig.first.wraps, 3, 'a fifth of its messages is left');
  await rig.time.advance(2000);
  for (let n = 0; n < 40; n++) await sealAtOnce();
  t.equal(rig.first.wraps, 3);
});

test('a next data key that cannot be made is tried for again now and then, while the current one serves', async (t) => {
  const rig = await makeLeasingRig();
  await door(rig).seal();
  rig.first.is = 'down';
  await rig.time.advance(4.5 * MINUTE);
  for (let n = 0; n < 50; n++) await door(rig).seal();
  t.equal(rig.first.wraps, 2, 'fifty messages asked once');
  rig.first.is = 'up';
  await rig.time.advance(10_000);
  for (let n = 0; n < 50; n++) await door(rig).seal();
  t.equal(rig.first.wraps, 3);
});

test('a message opens without asking while its data key is open, and asks once when it is not', async (t) => {
  const rig = await makeLeasingRig();
  const message = await door(rig).seal();
  rig.first.unwraps.length = 0;
  t.same(await door(rig).open(message), TEXT);
  t.equal(rig.first.unwraps.length, 0);
  await rig.time.advance(6 * MINUTE);
  rig.first.unwraps.length = 0;
  rig.first.latencyMs = 40;
  const opening = Promise.all(Array.from({ length: 200 }, () => door(rig).open(message)));
  await rig.time.advance(40);
  t.ok((await opening).every((text) => text.equals(TEXT)));
  t.equal(rig.first.unwraps.length, 1);
});

test('ten thousand messages that are opened at once by a cold data key ask the key service once', async (t) => {
  const rig = await makeLeasingRig();
  const message = await door(rig).seal();
  await rig.time.advance(30 * MINUTE);
  rig.first.unwraps.length = 0;
  rig.first.latencyMs = 40;
  const opening = Promise.all(Array.from({ length: 10_000 }, () => door(rig).open(message)));
  await rig.time.advance(40);
  t.ok((await opening).every((text) => text.equals(TEXT)));
  t.equal(rig.first.unwraps.length, 1);
});

test('thirty-six thousand openings in an hour ask thirteen times at most', async (t) => {
  const rig = await makeLeasingRig();
  const message = await door(rig).seal();
  rig.first.unwraps.length = 0;
  let operations = 0;
  for (let second = 0; second < 3600; second++) {
    for (let i = 0; i < 10; i++, operations++) await door(rig).open(message);
    await rig.time.advance(1000);
  }
  t.ok(operations >= 36_000);
  t.ok(rig.first.unwraps.length >= 11, 'each lease ends');
  t.ok(rig.first.unwraps.length <= 13, `${rig.first.unwraps.length} unwraps`);
});

/** Tries every second for this long; returns when it last succeeded, from the start. Every failure must have this code. */
async function lastSuccess(
  t: Test,
  rig: LeasingRig,
  forMs: number,
  work: () => Promise<unknown>,
  code: string,
) {
  const from = rig.time.monotonic();
  let last = 0;
  while (rig.time.monotonic() - from < forMs) {
    let said: string | null | undefined;
    const begun = rig.time.monotonic() - from;
    codeOf(work()).then((code) => (said = code));
    do await rig.time.advance(1000);
    while (said === undefined);
    if (said === null) last = begun;
    else t.equal(said, code);
  }
  return last;
}

for (const is of ['down', 'silent'] as const)
  test(`while the service is ${is} open data keys go on for any and offline, and it is back within a second`, async (t) => {
    const rig = await makeLeasingRig({ offlineMs: 20 * MINUTE });
    const message = await door(rig).seal();
    rig.first.is = is;
    const last = await lastSuccess(
      t,
      rig,
      30 * MINUTE,
      () => door(rig).open(message),
      'provider_unreachable',
    );
    t.ok(last > 24.8 * MINUTE && last <= 25.1 * MINUTE, `${last} ms`);
    rig.first.is = 'up';
    await rig.time.advance(10_000);
    t.same(await door(rig).open(message), TEXT);
  });

for (const side of ['reader', 'writer'] as const)
  test(`with offline a ${side} waits for a silent service once, and not again while it is known to be away`, async (t) => {
    const rig = await makeLeasingRig({ offlineMs: 20 * MINUTE });
    const message = await door(rig).seal();
    const work = () => (side === 'reader' ? door(rig).open(message) : door(rig).seal());
    await rig.time.advance(6 * MINUTE);
    rig.first.is = 'silent';
    const first = codeOf(work());
    await rig.time.advance(8000);
    t.equal(await first, null, 'the data key that is open serves');
    for (let second = 0; second < 60; second++) {
      const from = rig.time.monotonic();
      t.equal(await codeOf(work()), null);
      t.equal(rig.time.monotonic(), from, `${second} s later nobody waits`);
      await rig.time.advance(1000);
    }
  });

test('a reader whose data key is not open is told at once that a silent service is away, but for the one that asks it again', async (t) => {
  const rig = await makeLeasingRig({ offlineMs: 0 });
  const old = await door(rig).seal();
  await rig.time.advance(6 * MINUTE);
  const recent = await door(rig).seal();
  await rig.time.advance(30 * MINUTE);
  rig.first.is = 'silent';
  const first = codeOf(door(rig).open(old));
  await rig.time.advance(8000);
  t.equal(await first, 'provider_unreachable');
  await rig.time.advance(1000);
  const asked = rig.first.unwraps.length;
  const probe = codeOf(door(rig).open(old));
  for (let n = 0; n < 20; n++) {
    const from = rig.time.monotonic();
    t.equal(await codeOf(door(rig).open(recent)), 'provider_unreachable');
    t.equal(rig.time.monotonic(), from);
    await rig.time.advance(300);
  }
  t.equal(rig.first.unwraps.length, asked + 1);
  await rig.time.advance(2000);
  t.equal(await probe, 'provider_unreachable');
  rig.first.is = 'up';
  await rig.time.advance(1000);
  t.same(await door(rig).open(recent), TEXT);
});

test('without offline data keys end with any', async (t) => {
  const rig = await makeLeasingRig({ offlineMs: 0 });
  const message = await door(rig).seal();
  rig.first.is = 'down';
  const last = await lastSuccess(t, rig, 10 * MINUTE, () => door(rig).open(message), 'provider_unreachable');
  t.ok(last > 4.9 * MINUTE && last <= 5.1 * MINUTE, `${last} ms`);
});

test('new messages go on under the open data key while the service is away, for any and offline and its number of messages', async (t) => {
  const rig = await makeLeasingRig({ offlineMs: 20 * MINUTE });
  const first = await door(rig).seal();
  rig.first.is = 'down';
  for (let minute = 0; minute < 20; minute++) {
    await rig.time.advance(MINUTE);
    await door(rig).open(first);
  }
  const message = await door(rig).seal();
  t.same(await door(rig).open(message), TEXT);
  for (let n = 0; n < 98; n++) await door(rig).seal();
  await t.rejects(door(rig).seal(), { code: 'provider_unreachable' }, 'the hundred are over');
  rig.first.is = 'up';
  await rig.time.advance(1000);
  t.same(await door(rig).open(await door(rig).seal()), TEXT);
});

test('a no ends what went on by offline, at once, for reading and for new messages', async (t) => {
  const rig = await makeLeasingRig({ offlineMs: 20 * MINUTE });
  const message = await door(rig).seal();
  rig.first.is = 'down';
  for (let minute = 0; minute < 10; minute++) {
    await rig.time.advance(MINUTE);
    t.same(await door(rig).open(message), TEXT);
  }
  await door(rig).seal();
  rig.first.is = 'refusing';
  await rig.time.advance(1000);
  t.ok([null, 'provider_refused'].includes(await codeOf(door(rig).open(message))), 'it finds out');
  await rig.time.advance(1000);
  t.equal(await codeOf(door(rig).open(message)), 'provider_refused');
  t.equal(await codeOf(door(rig).seal()), 'provider_refused');
  rig.first.is = 'down';
  await rig.time.advance(1000);
  t.equal(await codeOf(door(rig).open(message)), 'provider_unreachable', 'and nothing is left of it');
  t.equal(await codeOf(door(rig).seal()), 'provider_unreachable');
});

test('a no to a reader alone ends the data key, and so does a no to a writer alone', async (t) => {
  for (const side of ['open', 'seal'] as const) {
    const rig = await makeLeasingRig({ offlineMs: 20 * MINUTE });
    const message = await door(rig).seal();
    const work = () => (side === 'open' ? door(rig).open(message) : door(rig).seal());
    await rig.time.advance(6 * MINUTE);
    rig.first.is = 'refusing';
    t.equal(await codeOf(work()), 'provider_refused');
    rig.first.is = 'down';
    await rig.time.advance(2000);
    t.equal(await codeOf(door(rig).open(message)), 'provider_unreachable', `${side}: nothing is left`);
  }
});

test('of two services only the configured one wraps and opens messages', async (t) => {
  const rig = await makeLeasingRig();
  await rig.service.addKek(ADMIN, 'alpha', 'second', false);
  const message = await door(rig).seal();
  const before = rig.second.wraps + rig.second.unwraps.length;
  await rig.time.advance(30 * MINUTE);
  rig.first.is = 'down';
  t.equal(await codeOf(door(rig).open(message)), 'provider_unreachable');
  t.equal(await codeOf(door(rig).seal()), 'provider_unreachable');
  t.equal(rig.second.wraps + rig.second.unwraps.length, before);
});

test('the lease of a data key is bounded, and a revocation wipes it', async (t) => {
  const rig = await makeLeasingRig();
  const message = await door(rig).seal();
  rig.first.is = 'refusing';
  t.same(await door(rig).open(message), TEXT, 'its lease is good');
  await rig.time.advance(6 * MINUTE);
  await t.rejects(door(rig).open(message), { code: 'provider_refused' });
  await t.rejects(door(rig).seal(), { code: 'provider_refused' });
  rig.first.is = 'up';
  t.same(await door(rig).open(message), TEXT, 'a refusal is not remembered');
  rig.service.wipeToken(ADMIN, 'alpha');
  rig.first.is = 'down';
  await t.rejects(door(rig).open(message), { code: 'provider_unreachable' }, 'wiped at once');
});

test('what is no envelope, or of another key, is refused, and garbage is sent to the service once', async (t) => {
  const rig = await makeLeasingRig();
  const message = await door(rig).seal();
  await t.rejects(door(rig).open(message, Buffer.from('order 18')), { code: 'encrypted_data_invalid' });
  const flipped = Buffer.from(message);
  flipped[20] = (flipped[20] ?? 0) ^ 1;
  rig.first.unwraps.length = 0;
  for (let n = 0; n < 5; n++) await t.rejects(door(rig).open(flipped), { code: 'encrypted_data_invalid' });
  t.equal(rig.first.unwraps.length, 1);
  const length = Buffer.from([0xff, 0xff, 0xff, 0xff]);
  for (const bad of [Buffer.alloc(0), Buffer.alloc(3), length, message.subarray(0, 40), Buffer.alloc(100)])
    await t.rejects(door(rig).open(bad), { code: 'encrypted_data_invalid' });
  await t.rejects(rig.service.sealEnvelope(ADMIN, 'alpha', 'other', AAD, TEXT), {
    code: 'key_handle_invalid',
  });
});

test('a serialized key is taken as Tink writes it, in both sizes, and nothing else is', (t) => {
  for (const size of [16, 32]) {
    const key = Buffer.alloc(size, 9);
    const serialized = serializeDataKey(key);
    t.same(takeDataKey(serialized), key);
    t.same(serialized, Buffer.alloc(size + 2), 'and wiped');
    t.same(takeDataKey(Buffer.concat([Buffer.from([8, 0]), serializeDataKey(key)])), key, 'a version of 0');
  }
  const bad = [[], [0x1a], [0x1a, 32, 1], [8, 1, 0x1a, 16, ...Array(16).fill(1)], Array(64).fill(7)];
  for (const bytes of bad)
    t.throws(() => takeDataKey(Buffer.from(bytes)), { code: 'encrypted_data_invalid' });
  t.end();
});

test('the name stands for envelopes alone', async (t) => {
  const { service } = await makeLeasingRig();
  const name = ENVELOPE.key;
  t.match(service.findNamedKey(ADMIN, 'alpha', name), { kind: 'envelope', latestVersion: 1 });
  t.ok(service.listNamedKeys(ADMIN, 'alpha').includes(name));
  const no = { code: 'function_not_supported' };
  await t.rejects(service.rotateNamedKey(ADMIN, 'alpha', name), no);
  await t.rejects(service.deleteNamedKey(ADMIN, 'alpha', name), no);
  await t.rejects(service.exportNamedKey(ADMIN, 'alpha', name, { version: 1 }), no);
  await t.rejects(service.makeStreamKey(ADMIN, 'alpha', name, { version: 1, aad: AAD }), no);
  const kind = { kind: 'aes', sizeBits: 256 } as const;
  const wanted = { kind, exportable: false, derived: false };
  await t.rejects(service.createNamedKey(ADMIN, 'alpha', name, wanted), no);
});
