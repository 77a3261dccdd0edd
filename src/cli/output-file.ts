/**
 * Writes a command's result to a file. Root may name one in a directory that others can write to, such as
 * /tmp, so nothing there is trusted: a symbolic link is not followed, no existing file is written into (its
 * mode would be somebody's choice, and others may have it open), and a pipe must be ours.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  type Stats,
} from 'node:fs';
import { SidekeyError } from '../errors.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

function refused(cause: unknown): SidekeyError {
  if (cause instanceof SidekeyError) return cause;
  return new SidekeyError('file_refused', cause instanceof Error ? cause.message : String(cause), { cause });
}

function statusOf(path: string): Stats | null {
  return lstatSync(path, { throwIfNoEntry: false }) ?? null;
}

function writeAndClose(fd: number, bytes: Buffer): void {
  try {
    writeFileSync(fd, bytes);
    if (fstatSync(fd).isFile()) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Mode 0600. Fails if anything has that name. */
function createFile(path: string, bytes: Buffer): void {
  const fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    writeAndClose(fd, bytes);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}

/** All or nothing: a disk that is full leaves the old file. */
function replaceFile(path: string, bytes: Buffer): void {
  const beside = `${path}.${randomBytes(6).toString('hex')}`;
  createFile(beside, bytes);
  try {
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
}

function belongsToOther({ uid }: Stats): boolean {
  return uid !== 0 && uid !== process.geteuid?.();
}

/** Checked once more when it is open. */
function writeSpecial(path: string, bytes: Buffer): void {
  const found = statusOf(path);
  if (found?.isFIFO() === true && belongsToOther(found))
    throw new SidekeyError('file_refused', `${path} is a pipe of uid ${found.uid}`);
  const fd = openSync(path, O_WRONLY | O_NOFOLLOW);
  const opened = fstatSync(fd);
  if (opened.isFile() || (opened.isFIFO() && belongsToOther(opened))) {
    closeSync(fd);
    throw new SidekeyError('file_refused', `${path} was replaced meanwhile`);
  }
  writeAndClose(fd, bytes);
}

/** Mode 0600; an existing file is replaced. Devices and pipes are written to. Throws file_refused. */
export function writeOutput(path: string, bytes: Buffer): void {
  try {
    const found = statusOf(path);
    if (found === null) return createFile(path, bytes);
    if (found.isFile()) return replaceFile(path, bytes);
    if (found.isSymbolicLink())
      throw new SidekeyError(
        'file_refused',
        `${path} is a symbolic link, which is not followed: name the file`,
      );
    if (found.isDirectory()) throw new SidekeyError('file_refused', `${path} is a directory`);
    writeSpecial(path, bytes);
  } catch (cause) {
    throw refused(cause);
  }
}

/** Mode 0600; anything that exists is left alone. Throws file_refused. */
export function writeNewFile(path: string, bytes: Buffer): void {
  try {
    createFile(path, bytes);
  } catch (cause) {
    throw refused(cause);
  }
}
