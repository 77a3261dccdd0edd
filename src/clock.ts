/** The host's clocks. Everything that waits or expires is handed this, or in tests a simulated one. */
import type { Clock, Timer } from './tokens/ports.ts';

export const SYSTEM_CLOCK: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

export const SYSTEM_TIMER: Timer = (ms, fire) => {
  const timer = setTimeout(fire, ms);
  return () => clearTimeout(timer);
};
