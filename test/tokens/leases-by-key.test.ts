// Limits of single keys (`cache.by-key`), in simulated time: how long each key works after its service has disappeared, has refused, or is not asked.
import { test } from 'tap';
import type { CacheLimits } from '../../src/cache/data-key-cache.ts';
import { CKA, CKM } from '../../src/tokens/cryptoki.ts';
import { makeLeasingRig } from './leasing-rig.ts';
import { AES_TOKEN } from './rig.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const TOKEN: CacheLimits = { anyMs: 5 * MINUTE, unusedMs: 10 * MINUTE, uses: null, offlineMs: 0 };

/** A key without limits of its own ("plain") beside one that has them ("own"). */
async function scene(own: Partial<CacheLimits>, token: Partial<CacheLimits> = {}) {
  const row = { keys: ['own*'], limits: { ...TOKEN, ...token, ...own } };
  const rig = await makeLeasingRig({ ...TOKEN, ...token }, false, [row]);
  const make = (label: string): Promise<number> =>
    rig.app.generate({ ...AES_TOKEN, [CKA.LABEL]: Buffer.from(label) });
  const keys = { plain: await make('plain'), own: await make('own-1') };
  /** As the keeper serves it: by the binding, as long as its cell exists. */
  const use = async (which: keyof typeof keys): Promise<void> => {
    const bound = rig.keeper.bindings.get(`1/0/${keys[which]}`);
    if (bound !== undefined && rig.keeper.held.has(bound.cell)) return;
    await rig.app.resolve(keys[which], 'encrypt', CKM.AES_GCM);
  };
  const works = (which: keyof typeof keys): Promise<boolean> =>
    use(which).then(
      () => true,
      () => false,
    );
  /** Seconds until each key first fails, when both are used every second; null: it never did. */
  const lastGood = async (seconds: number): Promise<Record<keyof typeof keys, number | null>> => {
    const failed: Record<keyof typeof keys, number | null> = { plain: null, own: null };
    for (let second = 0; second < seconds; second++) {
      for (const which of ['plain', 'own'] as const)
        if (failed[which] === null && !(await works(which))) failed[which] = second;
      await rig.time.advance(SECOND);
    }
    return failed;
  };
  return { rig, keys, use, works, lastGood };
}

test('a key with a shorter any works no longer than that while the service is away; another one does', async (t) => {
  const { rig, use, lastGood } = await scene({ anyMs: MINUTE });
  await use('plain');
  await use('own');
  rig.first.is = 'down';
  const { own, plain } = await lastGood(400);
  t.ok(own !== null && own > 50 && own <= 61, `own: ${own} s`);
  t.ok(plain !== null && plain > 290 && plain <= 301, `plain: ${plain} s`);
});

test('the service is asked in time for the shorter one while it is used, and no use waits for it', async (t) => {
  const { rig, use } = await scene({ anyMs: MINUTE });
  await use('plain');
  await use('own');
  rig.first.unwraps.length = 0;
  // The first lease was quick: its renewal, after 97 percent of a minute at the latest, does not know yet that it takes longer.
  rig.first.latencyMs = 1.5 * SECOND;
  for (let second = 0; second < 3600; second++) {
    // The clock is stopped meanwhile: anything that waited for the service would wait forever.
    await use('own');
    await use('plain');
    await rig.time.advance(SECOND);
  }
  const asked = rig.first.unwraps.length;
  t.ok(asked >= 60 && asked <= 68, `${asked} unwraps in an hour`);
  for (let second = 0; second < 3600; second++) {
    await use('plain');
    await rig.time.advance(SECOND);
  }
  const later = rig.first.unwraps.length - asked;
  t.ok(later <= 15, `${later} in the hour in which nobody used it`);
});

test('after a no every key ends, whatever its own any says', async (t) => {
  const { rig, use, lastGood } = await scene({ anyMs: 60 * MINUTE, unusedMs: 60 * MINUTE });
  await use('plain');
  await use('own');
  rig.first.is = 'refusing';
  const { own, plain } = await lastGood(400);
  t.ok(own !== null && own <= 301, `own: ${own} s`);
  t.ok(plain !== null && plain <= 301, `plain: ${plain} s`);
});

test('offline of one key, and none of the other', async (t) => {
  const { rig, use, lastGood } = await scene({ offlineMs: 10 * MINUTE });
  await use('plain');
  await use('own');
  rig.first.is = 'down';
  const { own, plain } = await lastGood(1000);
  t.ok(plain !== null && plain <= 301, `plain: ${plain} s`);
  t.ok(own !== null && own > 880 && own <= 901, `own: ${own} s`);
  rig.first.is = 'up';
  await rig.time.advance(SECOND);
  await use('own');
  await use('plain');
});

test('offline of the token, and none of one key', async (t) => {
  const { rig, use, lastGood } = await scene({ offlineMs: 0 }, { offlineMs: 10 * MINUTE });
  await use('plain');
  await use('own');
  rig.first.is = 'silent';
  const failing = lastGood(1000);
  await rig.time.advance(2000 * SECOND);
  const { own, plain } = await failing;
  t.ok(own !== null && own <= 301, `own: ${own} s`);
  t.ok(plain !== null && plain > 600, `plain: ${plain} s`);
});

test('uses and unused of one key; by the label of a new one too', async (t) => {
  const { rig, keys, use } = await scene({ uses: 7, unusedMs: 30 * SECOND });
  await use('plain');
  await use('own');
  const cellOf = (which: keyof typeof keys) =>
    rig.keeper.held.get(rig.keeper.bindings.get(`1/0/${keys[which]}`)?.cell ?? 0n);
  t.equal(cellOf('own')?.key.uses, 7);
  t.equal(cellOf('plain')?.key.uses, null);
  await rig.time.advance(31 * SECOND);
  await rig.service.flushUsage();
  t.equal(cellOf('own'), undefined, 'wiped');
  t.not(cellOf('plain'), undefined, 'kept');
});

test('an agent that comes back gives a key no more than its own any', async (t) => {
  const { rig, use, works } = await scene({ anyMs: MINUTE, offlineMs: 0 }, { offlineMs: 10 * MINUTE });
  await use('own');
  rig.first.is = 'down';
  await rig.restart();
  await rig.time.advance(61 * SECOND);
  t.equal(await works('own'), false);
  t.equal(await works('plain'), true);
});
