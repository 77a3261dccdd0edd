/**
 * Starts the keeper as a separate process that outlives the agent: its own session, nothing inherited but
 * stderr, an empty environment. After a crash of the agent it waits for a new one.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { resolve } from 'node:path';
import { SidekeyError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';

const LINGER_S = 600;
const INSTALLED = '/usr/lib/sidekey/sidekey-keeper';
const BUILT = resolve(import.meta.dirname, '../../native-shim/build/sidekey-keeper');

export interface KeeperProgram {
  readonly path: string | null;
  readonly pkcs11: string;
  readonly pkcs11Mode: number;
  readonly control: string;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The configured keeper, else the one built here, else the installed one. */
export function findKeeper(configured: string | null): string {
  const candidates = configured ? [configured] : [BUILT, INSTALLED];
  const found = candidates.find(isExecutable);
  if (!found) throw new SidekeyError('keeper_absent', `no keeper program at ${candidates.join(' nor at ')}`);
  return found;
}

function keeperArguments(program: KeeperProgram): string[] {
  const mode = `0${program.pkcs11Mode.toString(8)}`;
  const sockets = ['--pkcs11', program.pkcs11, '--control', program.control];
  return [...sockets, '--pkcs11-mode', mode, '--linger', String(LINGER_S)];
}

/** `ended` is called if it could not be started, or ended while this agent is alive. */
export function startKeeper(program: KeeperProgram, log: Logger, ended: (why: string) => void): void {
  const path = findKeeper(program.path);
  const child = spawn(path, keeperArguments(program), {
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {},
    cwd: '/',
  });
  log.info({ keeper: child.pid, path }, 'started a keeper');
  child.once('error', (error) => {
    log.error({ error }, 'cannot start the keeper');
    ended(error.message);
  });
  child.once('exit', (code, signal) => {
    log.warn({ keeper: child.pid, code, signal }, 'the keeper ended');
    ended(code === null ? `signal ${signal}` : `exit code ${code}`);
  });
  child.unref();
}
