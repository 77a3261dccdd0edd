/**
 * Resolves user and group names when the configuration is read: from /etc/passwd and /etc/group, then with
 * getent(1) from whatever else the host uses (LDAP, systemd-userdb).
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const FILES = { passwd: '/etc/passwd', group: '/etc/group' } as const;
type Database = keyof typeof FILES;
const GETENT_TIMEOUT_MS = 3000;

/** passwd(5) and group(5) both have name:password:number:... */
export function parseNumber(text: string, name: string): number | null {
  for (const line of text.split('\n')) {
    const [found, , number] = line.split(':');
    if (found === name && number !== undefined && /^\d+$/.test(number)) return Number(number);
  }
  return null;
}

/** null if there is no such name. */
export function findNumber(database: Database, name: string): number | null {
  const local = parseNumber(readFileSync(FILES[database], 'utf8'), name);
  if (local !== null || name.startsWith('-')) return local;
  const { stdout } = spawnSync('/usr/bin/getent', [database, name], {
    encoding: 'utf8',
    timeout: GETENT_TIMEOUT_MS,
  });
  return parseNumber(stdout ?? '', name);
}
