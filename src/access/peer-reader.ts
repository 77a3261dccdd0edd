/** Completes a pid and its credentials to a Peer, from /proc. What may not be read is null: no rule matches null. */
import { readFileSync, readlinkSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Peer } from './peer.ts';
import { readCredentials, type PeerCredentials } from './peer-credentials.ts';

const START_TIME_FIELD = 22;

function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

/** Field 22 of /proc/PID/stat. The second field is a name in parentheses that may itself hold any of them. */
export function parseStartTime(stat: string): string | null {
  const afterName = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return afterName[START_TIME_FIELD - 3] ?? null;
}

/** The innermost .service or .scope of the unified hierarchy (cgroups(7): the line that begins with "0::"). */
export function parseUnit(cgroup: string): string | null {
  const line = cgroup.split('\n').find((each) => each.startsWith('0::'));
  const parts = line?.slice('0::'.length).split('/') ?? [];
  return parts.findLast((part) => /^[^/]+\.(service|scope)$/.test(part)) ?? null;
}

/** " (deleted)" is the kernel's word for a replaced file: such a process is not the program at that path. */
function readExecutable(pid: number): string | null {
  return orNull(() => readlinkSync(`/proc/${pid}/exe`));
}

/**
 * A pid may be used again: the start time is read before and after the rest, and when it changed nothing of the rest is believed.
 */
export function completePeer({ pid, uid, gid, groups }: PeerCredentials): Peer {
  const readStart = () => orNull(() => parseStartTime(readFileSync(`/proc/${pid}/stat`, 'utf8')));
  const startTime = readStart();
  const executable = readExecutable(pid);
  const unit = orNull(() => parseUnit(readFileSync(`/proc/${pid}/cgroup`, 'utf8')));
  const isSame = startTime !== null && readStart() === startTime;
  if (!isSame) return { pid, uid, gid, groups, startTime: null, executable: null, unit: null };
  return { pid, uid, gid, groups, startTime, executable, unit };
}

export function readPeer(socket: Socket): Peer {
  return completePeer(readCredentials(socket));
}
