/** Third-party data next to the checkout. If it is missing, one message says so. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const SHARED = resolve(import.meta.dirname, '../../../../shared/kmip');

export function readShared(name: string): Buffer | null {
  const path = join(SHARED, name);
  if (existsSync(path)) return readFileSync(path);
  console.error(`${path} is absent: it is not tested against`);
  return null;
}

/** Paths, relative to the folder of the shared data. */
export function listShared(folder: string, ending: string): string[] {
  const root = join(SHARED, folder);
  if (!existsSync(root)) {
    console.error(`${root} is absent: it is not tested against`);
    return [];
  }
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith(ending)).map((name) => join(folder, name));
}
