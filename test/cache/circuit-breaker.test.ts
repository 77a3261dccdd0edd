// The breaker by a clock of its own: whom it lets through, and what it takes for an answer.
import { test } from 'tap';
import type { BreakerState } from '../../src/cache/cache-observer.ts';
import { CircuitBreaker } from '../../src/cache/circuit-breaker.ts';
import { SidekeyError, type ErrorCode } from '../../src/errors.ts';
import { SimulatedTime } from './simulated-time.ts';

function makeBreaker() {
  const time = new SimulatedTime();
  const states: BreakerState[] = [];
  const breaker = new CircuitBreaker({
    name: 'cloud',
    clock: time,
    random: () => 0.5,
    changed: (state) => void states.push(state),
  });
  let asked = 0;
  const fail = (code: ErrorCode) =>
    breaker.run(() => (asked++, Promise.reject(new SidekeyError(code, `no ${code}`))));
  const answer = () => breaker.run(async () => ++asked);
  return { time, states, breaker, fail, answer, asked: () => asked };
}

const DOWN = { code: 'provider_unreachable', message: /^cloud is down: no provider_unreachable$/ };

test('a service that cannot be reached is left alone, then asked by one caller', async (t) => {
  const { time, states, breaker, fail, answer, asked } = makeBreaker();
  await t.rejects(fail('provider_unreachable'), { message: 'no provider_unreachable' });
  await t.rejects(answer(), DOWN, 'at once');
  t.equal(asked(), 1);
  await time.advance(100);
  const slow = breaker.run(() => time.sleep(50));
  await t.rejects(answer(), DOWN, 'while another one finds out');
  await time.advance(50);
  await slow;
  await answer();
  t.same(states, ['open', 'probing', 'closed']);
});

test('pauses grow, but the service is found within half a second of its return', async (t) => {
  const { time, fail, asked } = makeBreaker();
  const at: number[] = [];
  for (let i = 0, before = 0; i < 3000; i++) {
    await fail('provider_unreachable').catch(() => undefined);
    if (asked() > before) at.push(time.monotonic());
    before = asked();
    await time.advance(1);
  }
  const pauses = at.slice(1).map((each, i) => each - (at[i] ?? 0));
  t.same(pauses.slice(0, 4), [75, 150, 300, 375]);
  t.ok(Math.max(...pauses) <= 500);
});

test('a no is an answer, and what this host lacks says nothing of the service', async (t) => {
  const { time, states, fail } = makeBreaker();
  await t.rejects(fail('provider_refused'), { code: 'provider_refused' });
  await t.rejects(fail('keeper_absent'), { code: 'keeper_absent' });
  t.same(states, []);
  await fail('provider_unreachable').catch(() => undefined);
  await time.advance(500);
  await t.rejects(fail('keeper_absent'), { code: 'keeper_absent' });
  await t.rejects(fail('provider_refused'), { code: 'provider_refused' }, 'it may be asked again at once');
  t.same(states, ['open', 'probing', 'open', 'probing', 'closed']);
});
