/**
 * `sidekey init --system` runs as root and creates files for the user of the systemd units: root writes the
 * configuration; everything else is done with that user's effective IDs, so that root owns nothing that it
 * should not.
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

/** Rejects, before anything is changed, if packages or set-up have not created the user and directories. */
export function findSystemOwner(): Owner {
  if (process.geteuid?.() !== 0) throw new SidekeyError('init_refused', '--system requires root: use sudo');
  const [uid, gid] = [findNumber('passwd', USER), findNumber('group', USER)];
  if (uid === null || gid === null)
    throw new SidekeyError('init_refused', `there is no user ${USER}: run systemd-sysusers`);
  const missing = FOLDERS.find((folder) => !existsSync(folder));
  if (missing !== undefined)
    throw new SidekeyError('init_refused', `${missing} does not exist: run systemd-tmpfiles --create`);
  return { uid, gid };
}

/** With the effective IDs of `owner`; as root again afterwards. */
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

/** Owned by root, so that the agent cannot change its own rules, but readable by the agent. */
export function writeSystemConfig(instance: NewInstance, { uid, gid }: Owner): void {
  writeFileSync(SYSTEM_LAYOUT.config, renderConfig(instance, uid), { mode: 0o640, flag: 'wx' });
  chownSync(SYSTEM_LAYOUT.config, 0, gid);
}

export function removeSystemConfig(): void {
  rmSync(SYSTEM_LAYOUT.config, { force: true });
}
