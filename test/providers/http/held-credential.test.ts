// When a held credential is replaced, kept and dropped, with a simulated clock.
import t from 'tap';
import { HeldCredential, type Credential } from '../../../src/providers/http/held-credential.ts';

// Attempts wait with timers that do not keep the process alive.
const alive = setInterval(() => {}, 1000);
t.teardown(() => clearInterval(alive));

const MINUTE = 60_000;
const open = new AbortController().signal;
const settle = (): Promise<void> => new Promise((done) => setImmediate(done));

function scene(lifeMs: number | null, jitter = 0) {
  const at = { now: 1_000_000, mark: 'first', asked: 0 };
  let answer: () => Promise<Credential<number>> = async () => ({
    value: at.asked,
    endsAt: lifeMs === null ? null : at.now + lifeMs,
  });
  const held = new HeldCredential<number>({
    fetch: () => {
      at.asked++;
      return answer();
    },
    watch: () => at.mark,
    clock: { now: () => at.now, monotonic: () => at.now },
    random: (bytes) => Buffer.alloc(bytes, jitter),
    attemptMs: 100,
  });
  return { at, held, answerBy: (other: typeof answer) => void (answer = other) };
}

t.test('many that ask at once are one attempt', async (t) => {
  const { at, held } = scene(60 * MINUTE);
  t.strictSame(await Promise.all(Array.from({ length: 50 }, () => held.get(open))), Array(50).fill(1));
  t.equal(at.asked, 1);
});

for (const [jitter, aheadMs] of [
  [0x00, 5 * MINUTE],
  [0x80, 8 * MINUTE],
  [0xff, 11 * MINUTE - 30_000],
] as const)
  t.test(`an hour's credential is replaced beside the calls ahead of its end (${jitter})`, async (t) => {
    const { at, held } = scene(60 * MINUTE, jitter);
    await held.get(open);
    const from = at.now;
    at.now = from + 49 * MINUTE - 1000;
    t.equal(await held.get(open), 1);
    await settle();
    t.equal(at.asked, 1, 'not earlier than eleven minutes before');
    at.now = from + 60 * MINUTE - aheadMs + 1;
    t.equal(await held.get(open), 1, 'the call has the former one');
    await settle();
    t.equal(at.asked, 2);
    t.equal(await held.get(open), 2);
  });

t.test('while its source is away it is kept to its end, and asked for with pauses', async (t) => {
  const { at, held, answerBy } = scene(60 * MINUTE);
  await held.get(open);
  answerBy(() => Promise.reject(new Error('away')));
  const end = at.now + 60 * MINUTE;
  for (at.now += 55 * MINUTE; at.now < end; at.now += 1000) {
    t.equal(await held.get(open), 1);
    await settle();
  }
  t.ok(at.asked > 10 && at.asked <= 61, `${at.asked} attempts in five minutes`);
  await t.rejects(held.get(open), { message: 'away' }, 'and then the reason is told');
  answerBy(async () => ({ value: 7, endsAt: null }));
  t.equal(await held.get(open), 7);
});

t.test('a file that changed ends it at once', async (t) => {
  const { at, held, answerBy } = scene(null);
  t.equal(await held.get(open), 1);
  at.now += 24 * 60 * MINUTE;
  t.equal(await held.get(open), 1, 'what has no end is kept');
  at.mark = 'second';
  answerBy(() => Promise.reject(new Error('half written')));
  await t.rejects(held.get(open), { message: 'half written' });
  answerBy(async () => ({ value: 2, endsAt: null }));
  t.equal(await held.get(open), 2);
});

t.test('what was under way when it was dropped is not held', async (t) => {
  const { held, answerBy } = scene(null);
  let give = (_: Credential<number>): void => {};
  answerBy(() => new Promise((done) => (give = done)));
  const first = held.get(open);
  await settle();
  held.drop();
  answerBy(async () => ({ value: 2, endsAt: null }));
  t.equal(await held.get(open), 2);
  give({ value: 1, endsAt: null });
  t.equal(await first, 1);
  t.equal(await held.get(open), 2);
});

t.test('an attempt that hangs is given up, and the next one begins anew', async (t) => {
  const { at, held, answerBy } = scene(null);
  answerBy(() => new Promise(() => {}));
  await t.rejects(
    held.get(AbortSignal.timeout(20)),
    { name: 'TimeoutError' },
    'the caller has its own deadline',
  );
  await t.rejects(held.get(open), { message: /did not answer within 0\.1 s/ });
  t.equal(at.asked, 1, 'one attempt for both');
  answerBy(async () => ({ value: 3, endsAt: null }));
  t.equal(await held.get(open), 3);
});

t.test('a source that gives the same one again is not asked without a pause', async (t) => {
  const { at, held, answerBy } = scene(null);
  const endsAt = at.now + 10_000;
  answerBy(async () => ({ value: 1, endsAt }));
  for (; at.now < endsAt; at.now += 10) {
    await held.get(open);
    await settle();
  }
  t.ok(at.asked < 12, `${at.asked} times in ten seconds`);
});
