/** The add-on native-shim/peer: system calls that Node lacks. */
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import type { Socket } from 'node:net';
import { SidekeyError } from '../errors.ts';

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

interface PeerAddon {
  peerCredentials(fd: number): PeerCredentials;
  /** A pidfd, or -1 if the kernel has none for sockets. */
  peerPidfd(fd: number): number;
  hasEnded(pidfd: number): boolean;
  setNotDumpable(): void;
  notify(path: string, message: string): void;
  /** The descriptor that holds the lock, or -1 if another process holds it. */
  lockFile(path: string): number;
  unlockFile(fd: number): void;
  bootTime(): number;
  processFiles(pid: number): ProcessFiles;
  /** null: nobody could be asked. */
  ringOpen(path: string): Ring | null;
  ringCall(ring: Ring, bodies: readonly Buffer[]): (Buffer | null)[] | null;
  ringPost(ring: Ring, body: Buffer): boolean;
  ringCollect(ring: Ring): (Buffer | null)[] | null;
  ringWake(ring: Ring): void;
  ringClose(ring: Ring): void;
}

/** /proc/PID/stat, exe, cgroup, and stat once more, read in this order; null: not readable. */
export type ProcessFiles = readonly [
  stat: string | null,
  executable: string | null,
  cgroup: string | null,
  statAfter: string | null,
];

/** What the add-on keeps of a ring. */
type Ring = object & { readonly isRing: unique symbol };

const ADDON = resolve(import.meta.dirname, '../../native-shim/build/peer.node');
let loaded: PeerAddon | null = null;

function addon(): PeerAddon {
  loaded ??= createRequire(import.meta.url)(ADDON) as PeerAddon;
  return loaded;
}

function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : null;
  if (typeof fd !== 'number' || fd < 0) throw new SidekeyError('internal', 'the socket is already closed');
  return fd;
}

/** SO_PEERCRED and SO_PEERGROUPS of an accepted Unix socket. Throws if it is already closed. */
export function readCredentials(socket: Socket): PeerCredentials {
  return addon().peerCredentials(descriptorOf(socket));
}

/**
 * The process that connected, even if its pid is reused (SO_PEERPIDFD); null if the kernel cannot tell. The
 * caller closes it.
 */
export function openPeerProcess(socket: Socket): { hasEnded(): boolean; close(): void } | null {
  const pidfd = addon().peerPidfd(descriptorOf(socket));
  if (pidfd < 0) return null;
  return { hasEnded: () => addon().hasEnded(pidfd), close: () => addon().unlockFile(pidfd) };
}

/** Prevents core dumps, and ptrace by processes of the same uid. */
export function refuseDumps(): void {
  addon().setNotDumpable();
}

/** sd_notify(3); does nothing unless systemd asked for it. */
export function notifySystemd(message: string): void {
  const path = process.env['NOTIFY_SOCKET'];
  if (path) addon().notify(path, message);
}

/**
 * Locks `path` against other processes until this one ends or `release` is called; null if another holds it.
 */
export function lockFile(path: string): { release: () => void } | null {
  const fd = addon().lockFile(path);
  return fd < 0 ? null : { release: () => addon().unlockFile(fd) };
}

/** Milliseconds of CLOCK_BOOTTIME, which continues while the machine is suspended. */
export function bootTime(): number {
  return addon().bootTime();
}

export function readProcessFiles(pid: number): ProcessFiles {
  return addon().processFiles(pid);
}

/** A ring to the keeper (ARCHITECTURE.md, "The agent's ring"), for as long as this process is attached to it. */
export class KeeperRing {
  readonly #ring: Ring | null;

  /** Asks for it and does not wait: until the keeper has answered, call() gives null. */
  constructor(path: string) {
    this.#ring = addon().ringOpen(path);
  }

  /**
   * The answers to frames of cell_operate_many, RING_SLOTS at most. null in the place of one, or of all: it was not answered within
   * 2 ms, or there is no ring; it must then be sent through the socket, and may have been performed. The caller wipes `bodies`.
   */
  call(bodies: readonly Buffer[]): (Buffer | null)[] | null {
    return this.#ring === null ? null : addon().ringCall(this.#ring, bodies);
  }

  /** Sends one frame, whose answer collect() gives; RING_SLOTS at most between two of those. false: it was not sent. */
  post(body: Buffer): boolean {
    return this.#ring !== null && addon().ringPost(this.#ring, body);
  }

  /** The answers to what was posted, in that order; null in the place of one as in call(). */
  collect(): (Buffer | null)[] {
    return (this.#ring === null ? null : addon().ringCollect(this.#ring)) ?? [];
  }

  /** Frames are about to come: the keeper wakes while they are written. */
  wake(): void {
    if (this.#ring !== null) addon().ringWake(this.#ring);
  }

  close(): void {
    if (this.#ring !== null) addon().ringClose(this.#ring);
  }
}
