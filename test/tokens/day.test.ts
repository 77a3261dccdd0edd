// A day of leases in simulated time: no more is held after a day than after an hour.
import { test } from 'tap';
import { ADMIN, ENVELOPE, makeLeasingRig, type LeasingRig } from './leasing-rig.ts';

const MINUTE = 60_000;
const AAD = Buffer.alloc(0);

/** An hour of a busy host: uses, keys created and destroyed, envelopes, a wipe, a temporary outage of a service. */
async function hour(rig: LeasingRig, n: number): Promise<void> {
  const { service, first } = rig;
  for (let minute = 0; minute < 60; minute++) {
    first.is = minute === 30 ? 'down' : 'up';
    await rig.outcome();
    await service.sealEnvelope(ADMIN, 'alpha', ENVELOPE.key, AAD, Buffer.from('text')).catch(() => undefined);
    await rig.time.advance(MINUTE);
  }
  first.is = 'up';
  await rig.time.advance(MINUTE);
  const name = `key-${n}`;
  const kind = { kind: 'aes', sizeBits: 256 } as const;
  await service.createNamedKey(ADMIN, 'alpha', name, { kind, exportable: false, derived: false });
  await service.configureNamedKey(ADMIN, 'alpha', name, { deletionAllowed: true });
  await service.deleteNamedKey(ADMIN, 'alpha', name);
  service.wipeToken(ADMIN, 'alpha');
  await rig.outcome();
}

function held({ keeper, time, service }: LeasingRig) {
  return {
    cells: keeper.held.size,
    bindings: keeper.bindings.size,
    timers: time.timers,
    leases: service.leases().length,
    keys: service.keys().length,
  };
}

test('after a day nothing is held that was not held after two hours', async (t) => {
  const rig = await makeLeasingRig({ offlineMs: 10 * MINUTE });
  for (let n = 0; n < 2; n++) await hour(rig, n);
  const early = held(rig);
  const heapEarly = process.memoryUsage().heapUsed;
  for (let n = 2; n < 24; n++) await hour(rig, n);
  const late = held(rig);
  for (const name of Object.keys(early) as (keyof typeof early)[])
    t.ok(late[name] <= early[name] + 2, `${name}: ${early[name]}, then ${late[name]}`);
  const grown = (process.memoryUsage().heapUsed - heapEarly) / 1024 / 1024;
  t.ok(grown < 40, `the heap grew by ${grown.toFixed(1)} MiB, what waits to be collected included`);
  t.equal(rig.first.unwraps.length > 24 * 10, true, `${rig.first.unwraps.length} unwraps`);
});
