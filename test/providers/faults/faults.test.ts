// Every fault of a key service, with every kind of provider: the call ends with the right error and in time, and the same provider
// works again as soon as the fault ends. For faults that cannot occur, matrix.ts gives the reason.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { temporaryDirectory } from '../../e2e/instance.ts';
import { compileFaultModule } from '../softhsm.ts';
import { httpScene } from './http-scenes.ts';
import { FAULTS, KINDS, type Cell, type End, type FaultRow, type Kind } from './matrix.ts';
import { hsmScene, kmipScene } from './other-scenes.ts';
import { makeAuthority, type FaultScene, type Times } from './scene.ts';

const PURPOSE = 'token 0123456789abcdef';
/** With an HSM, a process must start within one attempt, on a busy host with few cores. */
const SHORT_MS = 5000;
const SHORT: Times = { timeout: `${SHORT_MS}ms`, 'try-timeout': '2s' };
const LONG: Times = { timeout: '9s', 'try-timeout': '8s' };
const HEALED_MS = 5000;
/** Allows for other load on the machine. */
const SLACK_MS = 4000;

const dir = temporaryDirectory(t);
const [own, other] = [join(dir, 'own'), join(dir, 'other')];
for (const each of [own, other]) mkdirSync(each);
const module = compileFaultModule(t);
const authority = makeAuthority(own, other);

const CODES: Readonly<Record<Exclude<End, 'goes on'>, RegExp>> = {
  unreachable: /^provider_unreachable$/,
  refused: /^provider_refused$/,
};

async function scene(t: Test, kind: Kind, times: Times): Promise<FaultScene> {
  if (kind === 'kmip') return kmipScene(t, authority, times);
  if (kind === 'pkcs11-hsm') return hsmScene(t, module, times);
  return httpScene(t, kind, authority, times);
}

/** On a busy host a process may start too late at first. */
async function untilIt(opens: () => Promise<boolean>): Promise<boolean> {
  const end = performance.now() + HEALED_MS;
  for (;;)
    try {
      return await opens();
    } catch (error) {
      if (performance.now() > end) throw error;
    }
}

async function suffer(t: Test, kind: Kind, row: FaultRow, end: End): Promise<void> {
  const { service, casts } = await scene(t, kind, row.isWaitedFor ? SHORT : LONG);
  const { plaintext, wrapped } = await service.generateDataKey(PURPOSE);
  const opens = async () => (await service.unwrapDataKey(wrapped, PURPOSE)).equals(plaintext);
  t.ok(await opens(), 'before');
  const cast = (casts as Record<string, (typeof casts)[keyof typeof casts]>)[row.fault];
  if (cast === undefined) throw new Error(`nobody casts "${row.fault}" on ${kind}`);
  const heal = await cast();
  const begin = performance.now();
  if (end === 'goes on') t.ok(await opens(), 'it goes on');
  else
    await t.rejects(opens(), {
      code: CODES[end],
      message: new RegExp(`^provider "${kind}"`),
    });
  const took = performance.now() - begin;
  t.ok(took >= (row.atLeastMs ?? 0), `${took} ms`);
  if (row.isWaitedFor) t.ok(took < SHORT_MS + SLACK_MS, `${took} ms`);
  await heal();
  t.ok(await untilIt(opens), 'and serves again, without a restart');
}

// Most of them only wait, except those that start processes.
t.jobs = 6;

/** One test for every cell of the matrix in which the fault can occur. */
for (const kind of KINDS)
  for (const row of FAULTS as readonly FaultRow[]) {
    const cell: Cell = row.cells[kind];
    if ('ends' in cell && cell.test === undefined)
      void t.test(`${kind}: a service that ${row.fault}`, { buffered: kind !== 'pkcs11-hsm' }, (t) =>
        suffer(t, kind, row, cell.ends),
      );
  }
