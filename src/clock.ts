/** The host's clocks. Everything that waits or expires is handed this, or in tests a simulated one. */
import type { Clock } from './tokens/ports.ts';

export const SYSTEM_CLOCK: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};
