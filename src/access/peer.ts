/**
 * A local process as the kernel describes it. Contains only what was read from the kernel, nothing that the
 * process claims.
 */
export interface Peer {
  readonly pid: number;
  /**
   * Clock ticks after boot (field 22 of /proc/PID/stat); null if the process ended before it could be read.
   */
  readonly startTime: string | null;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** Target of /proc/PID/exe; null if not readable. */
  readonly executable: string | null;
  /** The systemd unit, from the cgroup; null outside one. */
  readonly unit: string | null;
  /** Path in the unified hierarchy of control groups; null or absent if not readable. */
  readonly cgroup?: string | null;
}
