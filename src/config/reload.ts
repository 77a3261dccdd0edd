/** What a running agent can take up from a changed file, and what it cannot. */
import { SidekeyError } from '../errors.ts';
import type { Config } from './config.ts';

const FIXED = [
  'providers',
  'store',
  'sockets',
  'kms',
  'limits',
  'keeper',
  'audit',
] as const satisfies readonly (keyof Config)[];

/** Which tokens there are is fixed, and what mechanisms they offer, which keys may be bound for already; who is admitted, how they log in and how long keys stay open is not. */
function fixedParts(config: Config): Record<string, string> {
  const parts = FIXED.map((part) => [part, JSON.stringify(config[part])] as const);
  const tokens = config.tokens.map(({ label, provider, legacy, fips }) => [label, provider, legacy, fips]);
  return { ...Object.fromEntries(parts), tokens: JSON.stringify(tokens) };
}

/** Throws config_invalid when a part changed that only a restart can take up: nothing is taken up then. */
export function checkReload(running: Config, wanted: Config): void {
  const [before, after] = [fixedParts(running), fixedParts(wanted)];
  const changed = Object.keys(before).filter((part) => before[part] !== after[part]);
  if (changed.length === 0) return;
  const parts = changed.map((part) => `"${part}"`).join(', ');
  throw new SidekeyError(
    'config_invalid',
    `${wanted.file}: ${parts} changed: restart the agent for this to take effect`,
  );
}
