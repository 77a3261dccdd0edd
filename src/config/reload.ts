/** Which changes of the file a running agent can apply. */
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

/**
 * Fixed are the tokens and their mechanisms, for which keys may already be bound; access rules, login and key
 * lifetimes can change.
 */
function fixedParts(config: Config): Record<string, string> {
  const parts = FIXED.map((part) => [part, JSON.stringify(config[part])] as const);
  const tokens = config.tokens.map(({ label, provider, legacy, fips }) => [label, provider, legacy, fips]);
  return { ...Object.fromEntries(parts), tokens: JSON.stringify(tokens) };
}

/** Throws config_invalid if a changed part needs a restart: then nothing is applied. */
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
