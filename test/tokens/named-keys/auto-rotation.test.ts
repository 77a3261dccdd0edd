// auto_rotate_period in simulated time: when the next version of a key is created, and when not.
import { test } from 'tap';
import { ADMIN, makeLeasingRig, type LeasingRig } from '../leasing-rig.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const AES = { kind: 'aes', sizeBits: 256 } as const;

/** Objects get their dates from the rig's clock. */
async function versions({ service }: LeasingRig, name: string): Promise<number> {
  return service.findNamedKey(ADMIN, 'alpha', name)?.latestVersion ?? 0;
}

/** A check takes turns of the event loop, for which simulated time does not wait. */
async function advance(rig: LeasingRig, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= HOUR) {
    await rig.time.advance(Math.min(left, HOUR));
    for (let n = 0; n < 20; n++) await new Promise((done) => setImmediate(done));
  }
}

test('a key with a period gets a version each time its latest is so old, and others do not', async (t) => {
  const rig = await makeLeasingRig();
  const wanted = { kind: AES, exportable: false, derived: false };
  await rig.service.createNamedKey(ADMIN, 'alpha', 'daily', { ...wanted, autoRotateMs: DAY });
  await rig.service.createNamedKey(ADMIN, 'alpha', 'still', wanted);
  await advance(rig, 23 * HOUR);
  t.equal(await versions(rig, 'daily'), 1);
  await advance(rig, 3 * HOUR);
  t.equal(await versions(rig, 'daily'), 2, 'within an hour of its day');
  await advance(rig, 10 * DAY);
  const after = await versions(rig, 'daily');
  t.equal(after, 12, 'one, and eleven more in eleven days and two hours');
  t.equal(await versions(rig, 'still'), 1);
  t.match(
    rig.service.findNamedKey(ADMIN, 'alpha', 'daily'),
    { policy: { autoRotateMs: DAY } },
    'each version takes the period over',
  );
  t.match(
    rig.records.filter(({ event, fields }) => event === 'key-generated' && fields['version'] === 2),
    [{ fields: { label: 'daily', pid: null } }],
    "by nobody's asking",
  );
  await rig.service.configureNamedKey(ADMIN, 'alpha', 'daily', { autoRotateMs: 0 });
  await advance(rig, 3 * DAY);
  t.equal(await versions(rig, 'daily'), after, 'until it is switched off');
});

test('while the key service is away nothing is made; it is recorded, and made up for later', async (t) => {
  const rig = await makeLeasingRig();
  const wanted = { kind: AES, exportable: false, derived: false, autoRotateMs: DAY };
  await rig.service.createNamedKey(ADMIN, 'alpha', 'daily', wanted);
  rig.first.is = 'down';
  await advance(rig, 30 * HOUR);
  t.equal(await versions(rig, 'daily'), 1);
  t.match(
    rig.records.find(({ event }) => event === 'rotation-failed'),
    { fields: { label: 'daily', reason: 'provider_unreachable' } },
  );
  rig.first.is = 'up';
  await advance(rig, 3 * HOUR);
  t.equal(await versions(rig, 'daily'), 2);
});

test('a closed service looks no more', async (t) => {
  const rig = await makeLeasingRig();
  const timers = rig.time.timers;
  await rig.service.close();
  t.ok(rig.time.timers < timers);
});
