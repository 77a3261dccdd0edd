/** How long a provider's call may take: below the ten seconds after which a module's own call ends. */
import { duration } from '../config/units.ts';

const MIN_MS = 50;
const MAX_MS = 9000;

export const callDuration = duration.refine(
  (ms) => ms >= MIN_MS && ms <= MAX_MS,
  'at least 50ms, at most 9s',
);
