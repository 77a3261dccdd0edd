/**
 * What every key service must do as holder of a KEK, whatever stands behind it. A kind's test says how its service is broken and mended; the
 * expectations are the same for all.
 */
import type { Test } from 'tap';
import type { KeyService } from '../../src/providers/key-service.ts';

export interface ContractSubject {
  /** With `deadlineMs` as its overall deadline. */
  readonly service: KeyService;
  readonly deadlineMs: number;
  /** The KEK is disabled, or its use is forbidden to us; and allowed again. Absent where the service cannot undo it. */
  readonly deny?: () => Promise<void>;
  readonly allow?: () => Promise<void>;
  /** The service is gone: connections are refused; and back. */
  readonly stop: () => Promise<void>;
  readonly start: () => Promise<void>;
  /** The service takes requests and answers none; and answers again. */
  readonly hang: () => Promise<void>;
  readonly unhang: () => Promise<void>;
}

const PURPOSE = 'token 1';
/** A timer may be late on a host with few cores. */
const SLACK_MS = 1500;

async function opensAgain(t: Test, service: KeyService, plaintext: Buffer, wrapped: Buffer): Promise<void> {
  const end = Date.now() + 5000;
  for (;;) {
    try {
      const again = await service.unwrapDataKey(wrapped, PURPOSE);
      t.ok(again.equals(plaintext), 'the same data key');
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}

async function within(t: Test, ms: number, work: Promise<unknown>, code: string): Promise<void> {
  const start = performance.now();
  await t.rejects(work, { code });
  const took = performance.now() - start;
  t.ok(took < ms + SLACK_MS, `within its deadline: ${Math.round(took)} ms of ${ms}`);
}

async function testRoundTrip(t: Test, { service }: ContractSubject): Promise<void> {
  const [one, two] = await Promise.all([service.generateDataKey(PURPOSE), service.generateDataKey(PURPOSE)]);
  t.equal(one.plaintext.length, 32);
  t.notOk(one.plaintext.equals(two.plaintext), 'each is fresh');
  t.notOk(one.wrapped.includes(one.plaintext), 'and wrapped');
  await opensAgain(t, service, one.plaintext, one.wrapped);
  await opensAgain(t, service, two.plaintext, two.wrapped);
  const { ok, detail } = await service.health();
  t.ok(ok, detail);
}

async function testRefusals(t: Test, { service }: ContractSubject): Promise<void> {
  const { wrapped } = await service.generateDataKey(PURPOSE);
  await t.rejects(service.unwrapDataKey(wrapped, 'token 2'), { code: 'provider_refused' }, 'another purpose');
  await t.rejects(service.unwrapDataKey(Buffer.alloc(0), PURPOSE), { code: 'provider_refused' }, 'nothing');
  for (const at of [0, Math.floor(wrapped.length / 2), wrapped.length - 1]) {
    const bytes = Buffer.from(wrapped);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await t.rejects(service.unwrapDataKey(bytes, PURPOSE), { code: 'provider_refused' }, `tampered at ${at}`);
  }
  const short = wrapped.subarray(0, wrapped.length - 1);
  await t.rejects(service.unwrapDataKey(short, PURPOSE), { code: 'provider_refused' }, 'cut short');
}

async function testDenial(t: Test, subject: ContractSubject): Promise<void> {
  const { service, deny, allow } = subject;
  if (!deny) return;
  const { plaintext, wrapped } = await service.generateDataKey(PURPOSE);
  await deny();
  await t.rejects(service.unwrapDataKey(wrapped, PURPOSE), { code: 'provider_refused' });
  await t.rejects(service.generateDataKey(PURPOSE), { code: 'provider_refused' });
  if (!allow) return;
  await allow();
  await opensAgain(t, service, plaintext, wrapped);
}

async function testOutage(t: Test, subject: ContractSubject): Promise<void> {
  const { service, deadlineMs, stop, start, hang, unhang } = subject;
  const { plaintext, wrapped } = await service.generateDataKey(PURPOSE);
  await stop();
  await within(t, deadlineMs, service.unwrapDataKey(wrapped, PURPOSE), 'provider_unreachable');
  t.notOk((await service.health()).ok, 'its health says so');
  await start();
  await opensAgain(t, service, plaintext, wrapped);
  await hang();
  await within(t, deadlineMs, service.unwrapDataKey(wrapped, PURPOSE), 'provider_unreachable');
  await unhang();
  await opensAgain(t, service, plaintext, wrapped);
}

async function testCrowd(t: Test, { service }: ContractSubject): Promise<void> {
  const { plaintext, wrapped } = await service.generateDataKey(PURPOSE);
  const all = await Promise.all(Array.from({ length: 50 }, () => service.unwrapDataKey(wrapped, PURPOSE)));
  t.ok(all.every((each) => each.equals(plaintext)));
}

/** `make` gives a subject of its own to each test, and tears it down. */
export function testContract(t: Test, kind: string, make: (t: Test) => Promise<ContractSubject>): void {
  const run = (name: string, test: (t: Test, subject: ContractSubject) => Promise<void>) =>
    t.test(`${kind}: ${name}`, async (t) => {
      const subject = await make(t);
      t.teardown(() => subject.service.close());
      await test(t, subject);
    });
  run('a data key is made and opens again', testRoundTrip);
  run('another purpose and other bytes are refused', testRefusals);
  run('a key that is denied is refused, and opens when it is allowed again', testDenial);
  run('a service that is down or hangs is unreachable within the deadline, and heals', testOutage);
  run('fifty data keys open at once', testCrowd);
}
