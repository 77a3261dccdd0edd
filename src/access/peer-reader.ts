/** Completes credentials to a Peer, from /proc. What cannot be read is null, which no rule matches. */
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Peer } from './peer.ts';
import {
  openPeerProcess,
  readCredentials,
  readProcessFiles,
  type PeerCredentials,
} from './peer-credentials.ts';

const START_TIME_FIELD = 22;

function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

/**
 * Field 22 of /proc/PID/stat. The second field is a name in parentheses, which may contain spaces and
 * parentheses.
 */
export function parseStartTime(stat: string): string | null {
  const afterName = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return afterName[START_TIME_FIELD - 3] ?? null;
}

/** The path in the unified hierarchy (cgroups(7): the line that begins with "0::"). */
function parseCgroup(cgroup: string): string | null {
  const line = cgroup.split('\n').find((each) => each.startsWith('0::'));
  return line?.slice('0::'.length) ?? null;
}

/** Slices, and steps out of the agent's own cgroup namespace. */
const ABOVE_UNIT = /^\.\.$|\.slice$/;
const UNIT = /^.+\.(service|scope)$/;

/**
 * The system unit, by systemd's own rule: the first component that is not a slice. Anything below it may be
 * arbitrary: users and containers manage the subtree of their unit, and may choose the names in it.
 */
export function parseUnit(cgroup: string): string | null {
  const [, ...parts] = parseCgroup(cgroup)?.split('/') ?? [];
  const first = parts.find((part) => !ABOVE_UNIT.test(part)) ?? '';
  return UNIT.test(first) ? first : null;
}

/**
 * A pid may be reused: the start time is read before and after the rest, and if it changed, the rest is
 * discarded. " (deleted)" after an executable marks a replaced file: such a process is not the program at
 * that path.
 */
export function completePeer({ pid, uid, gid, groups }: PeerCredentials): Peer {
  const [stat, executable, groupsFile, statAfter] = readProcessFiles(pid);
  const startTime = stat === null ? null : parseStartTime(stat);
  const isSame = startTime !== null && statAfter !== null && parseStartTime(statAfter) === startTime;
  const who = { pid, uid, gid, groups };
  if (!isSame) return { ...who, startTime: null, executable: null, unit: null, cgroup: null };
  const [unit, cgroup] = [parseUnit(groupsFile ?? ''), parseCgroup(groupsFile ?? '')];
  return { ...who, startTime, executable, unit, cgroup };
}

/**
 * The peer that connected, even if it has ended and its pid was reused: /proc is only trusted if the process
 * that connected is still alive, by its pidfd (Linux 6.5), after everything was read. Older kernels only have
 * the start time.
 */
export function readPeer(socket: Socket): Peer {
  const process = openPeerProcess(socket);
  try {
    const peer = completePeer(readCredentials(socket));
    if (process?.hasEnded() !== true) return peer;
    return { ...peer, startTime: null, executable: null, unit: null, cgroup: null };
  } finally {
    process?.close();
  }
}

const STATUS_LINE = /^(Uid|Gid|Groups):[ \t]*(.*)$/gm;

/** Any process by its pid, with the effective IDs that its connection would show; null if there is none. */
export function readProcess(pid: number): Peer | null {
  const status = orNull(() => readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (status === null) return null;
  const lines = new Map([...status.matchAll(STATUS_LINE)].map(([, name, text = '']) => [name, text]));
  const numbers = (name: string): number[] =>
    (lines.get(name) ?? '').split(/\s+/).filter(Boolean).map(Number);
  const [uid, gid] = [numbers('Uid')[1], numbers('Gid')[1]];
  if (uid === undefined || gid === undefined) return null;
  const peer = completePeer({ pid, uid, gid, groups: numbers('Groups') });
  return peer.startTime === null ? null : peer;
}
