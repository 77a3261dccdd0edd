import t from 'tap';
import { SidekeyError } from '../../../src/errors.ts';
import type { HttpReply, HttpRequest } from '../../../src/providers/http/http-client.ts';
import { parseRetryAfter } from '../../../src/providers/http/retry-after.ts';
import { ServiceCaller, type Verdict } from '../../../src/providers/http/service-call.ts';

const REQUEST: HttpRequest = { method: 'GET', url: new URL('http://x/'), headers: {}, body: null };
const HANG = 'hang';

/** A number is the status of a reply, an Error is a broken connection. */
type Step = number | Error | typeof HANG | { status: number; headers: Record<string, string> };

function judge({ status }: HttpReply): Verdict {
  if (status === 200) return { is: 'ok' };
  if (status === 401) return { is: 'reauthenticate', reason: 'who are you' };
  return { is: status < 429 ? 'refused' : 'again', reason: `status ${status}` };
}

/** Simulated time: a timer fires as soon as nothing else is pending. */
function scene(steps: Step[], fraction = 0.5) {
  let nowMs = 0;
  let timers: { at: number; fire: () => void }[] = [];
  const asked: number[] = [];
  const advance = (): void => {
    const [next] = timers.sort((a, b) => a.at - b.at);
    if (!next) return;
    timers = timers.filter((each) => each !== next);
    nowMs = Math.max(nowMs, next.at);
    next.fire();
  };
  const timer = (ms: number, fire: () => void) => {
    const entry = { at: nowMs + ms, fire };
    timers.push(entry);
    setImmediate(() => timers.includes(entry) && advance());
    return () => void (timers = timers.filter((each) => each !== entry));
  };
  const http = {
    close: async () => {},
    send: async (): Promise<HttpReply> => {
      asked.push(nowMs);
      const step = steps.shift() ?? HANG;
      if (step === HANG) return new Promise(() => {});
      if (step instanceof Error) throw step;
      const { status, headers } = typeof step === 'number' ? { status: step, headers: {} } : step;
      return { status, headers, body: Buffer.alloc(0) };
    },
  };
  const random = () => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(fraction * 2 ** 32);
    return bytes;
  };
  const clock = { now: () => nowMs, monotonic: () => nowMs };
  const caller = new ServiceCaller({ http, clock, timer, random, tryMs: 3000, overallMs: 8000 });
  const renewed: number[] = [];
  const call = {
    what: 'key k',
    prepare: () => REQUEST,
    judge,
    reauthenticate: () => void renewed.push(nowMs),
  };
  const wait = (at: number) => new Promise<void>((done) => timer(Math.max(0, at - nowMs), done));
  return { wait, run: () => caller.call(call), caller, call, asked, renewed, now: () => nowMs };
}

t.test('faults are tried again, later each time, with jitter', async (t) => {
  const { run, asked } = scene([503, new Error('reset'), 429, 200]);
  t.equal((await run()).status, 200);
  t.strictSame(asked, [0, 50, 150, 350]);
});

t.test('tries are bounded', async (t) => {
  const { run, asked } = scene([503, 503, 503, 503, 503, 503, 503]);
  const expected = { code: 'provider_unreachable', message: 'key k: status 503, tried 5 times' };
  await t.rejects(run(), expected);
  t.equal(asked.length, 5);
});

t.test('a no is a no at once', async (t) => {
  const { run, asked } = scene([400, 200]);
  await t.rejects(run(), { code: 'provider_refused', message: 'key k: status 400' });
  t.equal(asked.length, 1);
});

t.test('credentials are renewed once', async (t) => {
  const healed = scene([401, 200]);
  t.equal((await healed.run()).status, 200);
  t.equal(healed.renewed.length, 1);
  const broken = scene([401, 401, 200]);
  await t.rejects(broken.run(), { code: 'provider_refused' });
  t.equal(broken.renewed.length, 1);
});

t.test('a service that hangs costs one deadline per try and one in all', async (t) => {
  const { run, asked, now } = scene([]);
  await t.rejects(run(), { code: 'provider_unreachable', message: /no answer within 1\d{3} ms, tried 3/ });
  t.strictSame(asked, [0, 3050, 6150]);
  t.equal(now(), 8000);
});

t.test('a fault before the last try, which ran out of time, is told with it', async (t) => {
  const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:8200'), { code: 'ECONNREFUSED' });
  const { run } = scene([refused]);
  await t.rejects(run(), {
    code: 'provider_unreachable',
    message: /no answer within \d+ ms, tried \d times; before that: connect ECONNREFUSED/,
    cause: refused,
  });
  await t.rejects(scene([503]).run(), { message: /no answer within .*; before that: status 503$/ });
});

t.test('what must be prepared first cannot hold a try up either', async (t) => {
  const { caller, call, now } = scene([]);
  await t.rejects(caller.call({ ...call, prepare: () => new Promise(() => {}) }), {
    code: 'provider_unreachable',
  });
  t.equal(now(), 8000);
});

t.test('Retry-After is honoured, and not waited for beyond the deadline', async (t) => {
  const { run, asked } = scene([{ status: 429, headers: { 'retry-after': '2' } }, 200]);
  await run();
  t.strictSame(asked, [0, 2050]);
  const late = scene([{ status: 503, headers: { 'retry-after': '30' } }, 200]);
  await t.rejects(late.run(), { code: 'provider_unreachable' });
  t.equal(late.now(), 0);
});

t.test('a bad certificate is not tried again', async (t) => {
  const error = Object.assign(new Error('no'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
  const { run, asked } = scene([error, 200]);
  await t.rejects(run(), { code: 'provider_unreachable', message: /TLS: no \(DEPTH_ZERO/ });
  t.equal(asked.length, 1);
});

t.test("preparation's own refusal ends the call", async (t) => {
  const { caller, call, asked } = scene([200]);
  const prepare = () => Promise.reject(new SidekeyError('provider_refused', 'no login'));
  await t.rejects(caller.call({ ...call, prepare }), { code: 'provider_refused', message: 'no login' });
  t.equal(asked.length, 0);
});

t.test('a service that asked to be left alone is not asked by the calls that follow', async (t) => {
  const { run, asked, wait } = scene([{ status: 503, headers: { 'retry-after': '30' } }, 200, 200]);
  await t.rejects(run(), { code: 'provider_unreachable', message: 'key k: status 503' });
  for (const at of [1000, 15_000]) {
    await wait(at);
    await t.rejects(run(), { code: 'provider_unreachable', message: /asked for a pause of \d+ s/ });
  }
  t.strictSame(asked, [0], 'nothing was sent meanwhile');
  await wait(24_000);
  t.equal((await run()).status, 200, 'near the end a call waits for it');
  t.ok((asked[1] ?? 0) >= 30_000);
  t.equal((await run()).status, 200);
});

t.test('a service is not left alone for more than a minute', async (t) => {
  const { run, wait } = scene([{ status: 503, headers: { 'retry-after': '86400' } }, 200]);
  await t.rejects(run(), { code: 'provider_unreachable' });
  await wait(60_000);
  t.equal((await run()).status, 200);
});

t.test('Retry-After is seconds or a date', async (t) => {
  const now = Date.parse('Wed, 21 Oct 2026 07:28:00 GMT');
  const read = (value?: string) => parseRetryAfter(value, now);
  t.equal(read('3'), 3000);
  t.equal(read('Wed, 21 Oct 2026 07:28:05 GMT'), 5000);
  t.equal(read('Wed, 21 Oct 2026 07:27:00 GMT'), 0);
  t.equal(read('soon'), null);
  t.equal(read(), null);
});

t.test('who points elsewhere has not said no, and is not followed', async (t) => {
  const standby = { status: 307, headers: { location: 'https://active.example:8200/v1/transit?secret=1' } };
  const { run, renewed } = scene([standby, 200]);
  t.equal((await run()).status, 200, 'another try may meet another node');
  const portal = scene(Array(5).fill(standby));
  const error = await portal.run().catch((reason: unknown) => reason);
  t.match(error, {
    code: 'provider_unreachable',
    message: /status 307: it points to https:\/\/active\.example:8200, /,
  });
  t.notMatch(String(error), 'secret');
  t.same([renewed, portal.renewed], [[], []]);
  await t.rejects(scene(Array(5).fill({ status: 302, headers: {} })).run(), { code: 'provider_unreachable' });
});
