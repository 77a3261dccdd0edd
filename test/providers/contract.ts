/** The contract of every remote key service's adapter. The test file of each kind runs it. */
import type { Test } from 'tap';
import type { KeyService } from '../../src/providers/key-service.ts';
import { parseWrappedKey } from '../../src/providers/wrapped-key.ts';

export interface ContractScene {
  readonly service: KeyService;
  /** Makes the service refuse: the key is disabled, or the caller's permission revoked. */
  deny(): Promise<void> | void;
  /** Ends `deny`. */
  allow(): Promise<void> | void;
  stop(): Promise<void> | void;
  start(): Promise<void> | void;
  /** Makes the service accept requests without answering, until `resume`. null: this service cannot do that. */
  hang: (() => Promise<void> | void) | null;
  resume(): Promise<void> | void;
  /** Range of the seconds left on the credentials after use; absent: they do not expire. */
  readonly credentialSeconds?: readonly [number, number];
  /** This service returns no random bytes, although others of its kind may. */
  readonly refusesRandom?: true;
  /** The adapter's timeout, in milliseconds. */
  readonly overallMs: number;
}

const PURPOSE = 'token 0123456789abcdef';
const SLACK_MS = 1500;

const REFUSED = { code: 'provider_refused' };
const UNREACHABLE = { code: 'provider_unreachable' };

/** Rejects as expected, and the error contains no part of the key. */
async function rejectsQuietly(t: Test, work: Promise<Buffer>, expected: object, key: Buffer): Promise<void> {
  const error: unknown = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  t.match(error, expected);
  const text = `${error instanceof Error ? `${error.message}${error.stack}${String(error.cause)}` : ''}`;
  for (const form of ['hex', 'base64', 'base64url', 'latin1'] as const) {
    if (text.includes(key.toString(form).slice(0, 12))) t.fail('the error tells the key');
  }
}

async function opens(service: KeyService, wrapped: Buffer, key: Buffer): Promise<boolean> {
  return (await service.unwrapDataKey(wrapped, PURPOSE)).equals(key);
}

/** The kind that a blob names: wrapped-key.ts. */
function kindOf(wrapped: Buffer): string {
  return wrapped.toString('utf8', 5, 5 + (wrapped[4] ?? 0));
}

type Check = (t: Test, scene: ContractScene, wrapped: Buffer, key: Buffer) => Promise<void>;

const CHECKS: Readonly<Record<string, Check>> = {
  'gives the same data key back': async (t, { service }, wrapped, key) => {
    t.equal(key.length, 32);
    t.notOk(wrapped.includes(key), 'which the blob does not show');
    t.ok(await opens(service, wrapped, key));
    t.ok(await opens(service, wrapped, key), 'and again');
    const other = await service.generateDataKey(PURPOSE);
    t.notOk(other.plaintext.equals(key), 'another one is another');
    t.match(await service.health(), { ok: true });
  },
  'tells how long its credentials last': async (t, { service, credentialSeconds }) => {
    const left = service.credentialSecondsLeft?.() ?? null;
    if (credentialSeconds === undefined) return void t.equal(left, null);
    const [least, most] = credentialSeconds;
    t.ok(left !== null && left >= least && left <= most, `${left} s`);
  },
  'refuses another purpose': async (t, { service }, wrapped, key) => {
    await rejectsQuietly(t, service.unwrapDataKey(wrapped, `${PURPOSE}0`), REFUSED, key);
    await rejectsQuietly(t, service.unwrapDataKey(wrapped, ''), REFUSED, key);
  },
  'refuses a blob that was tampered with': async (t, { service }, wrapped, key) => {
    // Not the last character of base64: some of its bits may be unused.
    for (const at of [0, 5, wrapped.length - 20, wrapped.length - 3]) {
      const bad = Buffer.from(wrapped);
      bad[at] = (bad[at] ?? 0) ^ 1;
      await rejectsQuietly(t, service.unwrapDataKey(bad, PURPOSE), REFUSED, key);
    }
    for (const bad of [wrapped.subarray(0, -1), wrapped.subarray(0, 9), Buffer.alloc(0), Buffer.alloc(64, 1)])
      await rejectsQuietly(t, service.unwrapDataKey(bad, PURPOSE), REFUSED, key);
  },
  'passes the no of the service on, and its yes afterwards': async (t, scene, wrapped, key) => {
    await scene.deny();
    await rejectsQuietly(t, scene.service.unwrapDataKey(wrapped, PURPOSE), REFUSED, key);
    await t.rejects(scene.service.generateDataKey(PURPOSE), REFUSED);
    await scene.allow();
    t.ok(await opens(scene.service, wrapped, key));
  },
  'says when the service is down, and heals without a restart': async (t, scene, wrapped, key) => {
    await scene.stop();
    const begin = performance.now();
    await rejectsQuietly(t, scene.service.unwrapDataKey(wrapped, PURPOSE), UNREACHABLE, key);
    t.ok(performance.now() - begin < scene.overallMs + SLACK_MS);
    t.match(await scene.service.health(), { ok: false });
    await scene.start();
    t.ok(await opens(scene.service, wrapped, key));
  },
  'ends within its deadline when the service hangs': async (t, scene, wrapped, key) => {
    if (!scene.hang) return;
    await scene.hang();
    const begin = performance.now();
    await rejectsQuietly(t, scene.service.unwrapDataKey(wrapped, PURPOSE), UNREACHABLE, key);
    t.ok(performance.now() - begin < scene.overallMs + SLACK_MS);
    await scene.resume();
    t.ok(await opens(scene.service, wrapped, key));
  },
  'is a KEK for envelopes, if it is one at all': async (t, { service }, wrapped) => {
    const { bare } = service;
    if (!bare) return;
    const serialized = Buffer.concat([Buffer.from([0x1a, 32]), Buffer.alloc(32, 7)]);
    const ciphertext = await bare.encrypt(Buffer.from(serialized));
    t.same(await bare.decrypt(ciphertext), serialized);
    const bad = Buffer.from(ciphertext);
    bad[bad.length - 20] = (bad[bad.length - 20] ?? 0) ^ 1;
    await t.rejects(bare.decrypt(bad), { code: 'encrypted_data_invalid' });
    const { ciphertext: bound } = parseWrappedKey(kindOf(wrapped), wrapped);
    await t.rejects(bare.decrypt(bound), { code: 'encrypted_data_invalid' }, 'a token key is none of its');
  },
  'gives random bytes of the service': async (t, { service, refusesRandom }) => {
    const random = service.random ?? (() => Promise.reject(new Error('every service has a generator')));
    if (refusesRandom) return void (await t.rejects(random(32), REFUSED));
    const given = await Promise.all([1, 7, 32, 32, 129, 1024].map((bytes) => random(bytes)));
    t.strictSame(
      given.map(({ length }) => length),
      [1, 7, 32, 32, 129, 1024],
    );
    t.notOk(given[2]?.equals(given[3] ?? Buffer.alloc(0)), 'no two are the same');
    for (const bytes of given.slice(2)) t.notOk(bytes.includes(Buffer.alloc(8)), 'filled to the end');
  },
  'unwraps fifty at once': async (t, { service }, wrapped, key) => {
    const opened = await Promise.all(Array.from({ length: 50 }, () => opens(service, wrapped, key)));
    t.equal(opened.filter(Boolean).length, 50);
  },
  'closes within a second': async (t, { service }) => {
    const begin = performance.now();
    await service.close();
    t.ok(performance.now() - begin < 1000);
  },
};

/** One test per line of the contract, each with a new scene; `makeScene` registers its own teardown. */
export function testContract(t: Test, kind: string, makeScene: (t: Test) => Promise<ContractScene>): void {
  for (const [what, check] of Object.entries(CHECKS)) {
    t.test(`${kind} ${what}`, async (t) => {
      const scene = await makeScene(t);
      t.teardown(() => scene.service.close());
      const { plaintext, wrapped } = await scene.service.generateDataKey(PURPOSE);
      await check(t, scene, wrapped, plaintext);
    });
  }
}
