/** A SoftHSM2 token in its own folder, with an AES key, and a module in front of it that fails on demand (hsm-fault.c). */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { compile, temporaryDirectory } from '../e2e/instance.ts';

export const SOFTHSM = '/usr/lib/softhsm/libsofthsm2.so';
export const HSM_PIN = '987654';

let faultModule: string | null = null;

export function compileFaultModule(t: Test): string {
  faultModule ??= compile(t, '../providers/hsm-fault.c', '-shared', '-fPIC');
  return faultModule;
}

export class SoftHsm {
  readonly dir: string;
  readonly environment: Record<string, string>;
  readonly pinFile: string;
  readonly faultFile: string;
  readonly loginLog: string;
  readonly sessionCount: string;
  readonly #kek = randomBytes(32);

  constructor(t: Test) {
    this.dir = temporaryDirectory(t);
    mkdirSync(join(this.dir, 'tokens'));
    const conf = join(this.dir, 'softhsm2.conf');
    writeFileSync(conf, `directories.tokendir = ${join(this.dir, 'tokens')}\nobjectstore.backend = file\n`);
    this.pinFile = join(this.dir, 'pin');
    this.faultFile = join(this.dir, 'fault');
    this.loginLog = join(this.dir, 'logins');
    this.sessionCount = join(this.dir, 'sessions');
    writeFileSync(this.pinFile, `${HSM_PIN}\n`, { mode: 0o600 });
    const faults = {
      FAULT_FILE: this.faultFile,
      FAULT_LOGINS: this.loginLog,
      FAULT_SESSIONS: this.sessionCount,
    };
    this.environment = { SOFTHSM2_CONF: conf, ...faults };
    this.#run(
      'softhsm2-util',
      '--init-token',
      '--free',
      '--label',
      'kek',
      '--so-pin',
      '12345678',
      '--pin',
      HSM_PIN,
    );
  }

  #run(program: string, ...args: string[]): void {
    const env = { ...process.env, ...this.environment };
    const { status, stderr, error } = spawnSync(program, args, { env, encoding: 'utf8' });
    if (status !== 0) throw new Error(`${program}: ${error?.message ?? stderr}`);
  }

  tool(...args: string[]): void {
    const login = ['--module', SOFTHSM, '--token-label', 'kek', '--login', '--pin', HSM_PIN];
    this.#run('pkcs11-tool', ...login, ...args);
  }

  /** Always the same key, so that a deleted one can be restored. */
  writeKey(label: string): void {
    const file = join(this.dir, 'kek');
    writeFileSync(file, this.#kek);
    const usage = ['--usage-decrypt', '--usage-wrap'];
    this.tool(
      '--write-object',
      file,
      '--type',
      'secrkey',
      '--key-type',
      'AES:32',
      '--label',
      label,
      '--id',
      '01',
      ...usage,
    );
  }

  makeKey(label: string, id = '01'): void {
    this.tool('--keygen', '--key-type', 'AES:32', '--label', label, '--id', id, '--sensitive');
  }

  deleteKey(label: string): void {
    this.tool('--delete-object', '--type', 'secrkey', '--label', label);
  }

  fail(fault: string): void {
    writeFileSync(this.faultFile, fault);
  }

  mend(): void {
    rmSync(this.faultFile, { force: true });
  }
}
