/** The host's clocks. Everything that waits or expires is handed this, or in tests a simulated one. */
import { bootTime } from './access/peer-credentials.ts';
import type { Clock, Timer } from './tokens/ports.ts';

export const SYSTEM_CLOCK: Clock = {
  now: () => Date.now(),
  // Not performance.now(), which stands still while the machine is suspended: leases must not.
  monotonic: bootTime,
};

export const SYSTEM_TIMER: Timer = (ms, fire) => {
  const timer = setTimeout(fire, ms);
  return () => clearTimeout(timer);
};
