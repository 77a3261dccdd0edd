/** Reads a file that holds a secret: refused when others than its owner could read or replace it. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { SidekeyError } from '../errors.ts';

const OTHERS = 0o077;
const FILE_MAX_BYTES = 4096;

function open(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SidekeyError('provider_unreachable', `cannot open ${path}: ${reason}`, { cause });
  }
}

function check(path: string, fd: number, ownUid: number): number {
  const { mode, uid, size } = fstatSync(fd);
  const fail = (why: string): never => {
    throw new SidekeyError('provider_refused', `${path} ${why}`);
  };
  if ((mode & constants.S_IFMT) !== constants.S_IFREG) return fail('is not a file');
  if (uid !== ownUid && uid !== 0) return fail(`belongs to uid ${uid}: chown it to ${ownUid}`);
  if ((mode & OTHERS) !== 0) return fail(`has mode ${(mode & 0o777).toString(8)}: chmod 600 it`);
  if (size > FILE_MAX_BYTES) return fail(`has ${size} bytes`);
  return size;
}

/** The caller wipes the Buffer. Rejections: provider_unreachable, provider_refused. */
export function readPrivateFile(path: string, ownUid: number): Buffer {
  const fd = open(path);
  try {
    const bytes = Buffer.alloc(check(path, fd, ownUid));
    const length = readSync(fd, bytes, 0, bytes.length, 0);
    if (length !== bytes.length)
      throw new SidekeyError('provider_unreachable', `${path} changed while it was read`);
    return bytes;
  } finally {
    closeSync(fd);
  }
}
