/** Checks of `sidekey doctor` on the disks that the agent writes to: the store's and the audit log's. */
import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Config } from '../../config/config.ts';
import type { Finding } from './checks.ts';

const MIB = 1024 * 1024;
/** Less than this, and the next key or line of the log may not fit; soon it will not. */
const FULL_BYTES = MIB / 4;
const NEARLY_FULL_BYTES = 16 * MIB;
const FULL_INODES = 8;

type Fault = Omit<Finding, 'name'>;

const UNWRITABLE: Readonly<Record<string, readonly [detail: string, cure: string]>> = {
  EROFS: [
    'is on a read-only file system',
    'mount it read-write (dmesg shows whether the kernel made it read-only after an error); a container needs a volume there',
  ],
  EACCES: ['cannot be written to by this user', "chown it to the agent's user"],
};

function unwritable(folder: string): Fault | null {
  try {
    accessSync(folder, constants.W_OK);
    return null;
  } catch (error) {
    const code = String(Reflect.get(Object(error), 'code'));
    const [detail, cure] = UNWRITABLE[code] ?? [
      `cannot be written to (${code})`,
      'look at its owner and mode',
    ];
    return { verdict: 'bad', detail: `${folder} ${detail}`, cure };
  }
}

/** File systems that create inodes as needed report none. */
function checkSpace(folder: string): Fault {
  const { bavail, bsize, files, ffree } = statfsSync(folder);
  const free = bavail * bsize;
  const detail = `${Math.floor(free / MIB)} MiB free at ${folder}`;
  const cure = 'make room, or move the file to another disk: it then works again without a restart';
  if (files > 0 && ffree < FULL_INODES)
    return { verdict: 'bad', detail: `${ffree} inodes free at ${folder}`, cure: 'delete files there' };
  if (free < FULL_BYTES) return { verdict: 'bad', detail: `the disk is full: ${detail}`, cure };
  if (free < NEARLY_FULL_BYTES)
    return { verdict: 'warn', detail: `the disk is nearly full: ${detail}`, cure };
  return { verdict: 'ok', detail };
}

function checkFolder(name: string, path: string): Finding {
  const folder = dirname(path);
  if (!existsSync(folder)) {
    const cure = "create it with mode 0700, owned by the agent's user";
    return { name, verdict: 'bad', detail: `${folder} does not exist`, cure };
  }
  return { name, ...(unwritable(folder) ?? checkSpace(folder)) };
}

export async function checkDisks({ store, audit }: Config): Promise<Finding[]> {
  return [checkFolder('disk of the store', store.path), checkFolder('disk of the audit log', audit.path)];
}

/** Without it the agent counts in memory only. */
export async function checkUsageCounters({ store }: Config): Promise<Finding[]> {
  const name = 'usage counters';
  const path = join(dirname(store.path), 'usage.db');
  if (!existsSync(path)) return [];
  try {
    const database = new DatabaseSync(path, { readOnly: true });
    database.prepare('SELECT count(*) FROM usage').get();
    database.close();
    return [{ name, verdict: 'ok', detail: path }];
  } catch (error) {
    const detail = `${path}: ${error instanceof Error ? error.message : String(error)}`;
    return [
      { name, verdict: 'warn', detail, cure: 'move it away and restart the agent, which creates a new one' },
    ];
  }
}
