/** The Unix socket as a file: its owner, its mode, and taking it over from a dead process. */
import { lstat, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { once } from 'node:events';
import { SidekeyError } from '../errors.ts';

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

/**
 * Whether somebody accepts connections here. Refused and reset mean no; no answer counts as yes, since
 * unlinking a live socket is worse.
 */
async function isAnswered(path: string, probeMs: number): Promise<boolean> {
  const probe = connect(path);
  try {
    await once(probe, 'connect', { signal: AbortSignal.timeout(probeMs) });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error)
      return error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT';
    return true;
  } finally {
    probe.destroy();
  }
}

/** Removes a socket that nobody answers. Refuses if somebody does, or if the path is not a socket. */
export async function clearStaleSocket(path: string, probeMs: number): Promise<void> {
  const found = await lstat(path).catch((error: unknown) => {
    if (isMissing(error)) return null;
    throw error;
  });
  if (found === null) return;
  if (!found.isSocket()) throw new SidekeyError('socket_refused', `${path} exists and is not a socket`);
  if (await isAnswered(path, probeMs))
    throw new SidekeyError('already_running', `${path} is in use by another process`);
  await unlink(path).catch((error: unknown) => {
    if (!isMissing(error)) throw error;
  });
}

/**
 * The socket is created with its mode: changing it afterwards would follow a path that somebody could replace.
 */
async function bind(server: Server, path: string, mode: number): Promise<void> {
  // Node binds a path within this call, so the process's umask is restored before any other code runs.
  const mask = process.umask(0o777 & ~mode);
  try {
    server.listen({ path });
  } finally {
    process.umask(mask);
  }
  await once(server, 'listening');
}

/** Node also reports EACCES if the directory does not exist. */
const REASONS: Readonly<Record<string, string>> = {
  ENOTDIR: 'the parent of its path is not a directory',
  EACCES: 'its directory does not exist, or this user may not write to it',
  EROFS: 'its directory is read-only',
  EADDRINUSE: 'another process has just taken it',
};

function reasonOf(error: unknown): string {
  const code = String(Reflect.get(Object(error), 'code'));
  return REASONS[code] ?? code;
}

/** Listens with exactly this mode, or fails with socket_refused. */
export async function listenOnPath(server: Server, path: string, mode: number): Promise<void> {
  try {
    await bind(server, path, mode);
  } catch (error) {
    throw new SidekeyError('socket_refused', `cannot listen at ${path}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
  const found = await lstat(path);
  if (!found.isSocket() || (found.mode & 0o7777) !== mode)
    throw new SidekeyError('socket_refused', `cannot set the mode of ${path} to ${mode.toString(8)}`);
}
