/** What a running agent can take up from a changed file, and what it cannot. */
import { SidekeyError } from '../errors.ts';
import type { Config } from './config.ts';

const FIXED = [
  'providers',
  'store',
  'sockets',
  'keeper',
  'audit',
] as const satisfies readonly (keyof Config)[];

/** Throws config_invalid when a part changed that only a restart can take up: nothing is taken up then. */
export function checkReload(running: Config, wanted: Config): void {
  const changed = FIXED.filter((part) => JSON.stringify(running[part]) !== JSON.stringify(wanted[part]));
  if (changed.length === 0) return;
  const parts = changed.map((part) => `"${part}"`).join(', ');
  throw new SidekeyError(
    'config_invalid',
    `${wanted.file}: ${parts} changed, which takes a restart of the agent`,
  );
}
