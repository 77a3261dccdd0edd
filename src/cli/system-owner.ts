/**
 * `sidekey init --system` runs as root and makes files for the user of systemd's units: root writes the configuration, everything
 * else is done with that user's effective ids, so that nothing is ever root's that must not be.
 */
import { chownSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { findNumber } from '../access/account-names.ts';
import { SidekeyError } from '../errors.ts';
import { renderConfig, SYSTEM_LAYOUT, type NewInstance } from './instance-files.ts';

const USER = 'sidekey';
const FOLDERS = ['/etc/sidekey', '/var/lib/sidekey', '/var/log/sidekey'];

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Rejects, before anything was changed, when packages or set-up have not done their part. */
export function findSystemOwner(): Owner {
  if (process.geteuid?.() !== 0) throw new SidekeyError('init_refused', '--system is for root: use sudo');
  const [uid, gid] = [findNumber('passwd', USER), findNumber('group', USER)];
  if (uid === null || gid === null)
    throw new SidekeyError('init_refused', `there is no user ${USER}: run systemd-sysusers`);
  const missing = FOLDERS.find((folder) => !existsSync(folder));
  if (missing !== undefined)
    throw new SidekeyError('init_refused', `${missing} does not exist: run systemd-tmpfiles --create`);
  return { uid, gid };
}

/** With the effective ids of `owner`; root again afterwards. */
export async function actAs<T>({ uid, gid }: Owner, work: () => Promise<T>): Promise<T> {
  process.setegid?.(gid);
  process.seteuid?.(uid);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

/** Root's, so that the agent cannot change its own rules; readable for it. */
export function writeSystemConfig(instance: NewInstance, { uid, gid }: Owner): void {
  writeFileSync(SYSTEM_LAYOUT.config, renderConfig(instance, uid), { mode: 0o640, flag: 'wx' });
  chownSync(SYSTEM_LAYOUT.config, 0, gid);
}

export function removeSystemConfig(): void {
  rmSync(SYSTEM_LAYOUT.config, { force: true });
}
