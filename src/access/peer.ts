/** A local process as the kernel describes it. Only what was read from the kernel stands here, nothing that the process says. */
export interface Peer {
  readonly pid: number;
  /** Clock ticks after boot (field 22 of /proc/PID/stat); null when the process was gone before it could be read. */
  readonly startTime: string | null;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** Target of /proc/PID/exe; null when it may not be read. */
  readonly executable: string | null;
  /** The systemd unit, by the cgroup; null outside one. */
  readonly unit: string | null;
  /** Path in the unified hierarchy of control groups; null or absent when it may not be read. */
  readonly cgroup?: string | null;
}
