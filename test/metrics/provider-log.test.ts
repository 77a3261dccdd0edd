// What the log says of a key service that fails: enough to mend it, and no flood.
import t from 'tap';
import { SidekeyError } from '../../src/errors.ts';
import type { Logger } from '../../src/log/logger.ts';
import { ProviderLog } from '../../src/metrics/provider-log.ts';

function scene() {
  let nowMs = 0;
  const lines: unknown[] = [];
  const write = (fields: object, msg: string): void => void lines.push({ ...fields, msg });
  const log = { warn: write, info: write } as unknown as Logger;
  const clock = { now: () => nowMs, monotonic: () => nowMs };
  const down = new SidekeyError('provider_unreachable', 'provider "p", key k: ECONNREFUSED');
  const refused = new SidekeyError('provider_refused', 'provider "p", key k: AccessDenied; request 7');
  return {
    lines,
    down,
    refused,
    told: new ProviderLog('p', log, clock),
    pass: (ms: number) => void (nowMs += ms),
  };
}

t.test('a thousand failures are one line a minute, with the reason and how many were left out', async (t) => {
  const { told, lines, down, pass } = scene();
  for (let i = 0; i < 1000; i++) told.failed(down);
  pass(60_000);
  told.failed(down);
  t.match(lines, [
    { provider: 'p', code: 'provider_unreachable', reason: down.message, untold: 0, msg: /sidekey doctor/ },
    { reason: down.message, untold: 999 },
  ]);
});

t.test('its return is a line, and a service that comes and goes is no flood', async (t) => {
  const { told, lines, down } = scene();
  told.answered();
  t.same(lines, [], 'what always answered did not return');
  for (let i = 0; i < 100; i++) {
    told.failed(down);
    told.answered();
  }
  t.match(lines, [
    { code: 'provider_unreachable' },
    { provider: 'p', msg: 'the key service responds again' },
  ]);
  t.equal(lines.length, 2);
});

t.test('a refusal is told beside an outage, and its end is none of a return', async (t) => {
  const { told, lines, down, refused } = scene();
  for (let i = 0; i < 10; i++) told.failed(refused);
  told.answered();
  told.failed(down);
  t.match(lines, [{ code: 'provider_refused', reason: refused.message }, { code: 'provider_unreachable' }]);
  t.equal(lines.length, 2);
});
