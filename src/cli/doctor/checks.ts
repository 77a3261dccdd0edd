/** The checks of `sidekey doctor`. A check reads and reports; it changes nothing. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { release } from 'node:os';
import { dirname, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { verifyAuditLog } from '../../audit/audit-verify.ts';
import type { Config, EmbeddedConfig, ProviderConfig } from '../../config/config.ts';
import { findKeeper } from '../../keeper/keeper-process.ts';
import { createLogger } from '../../log/logger.ts';
import { createKeyService, isEmbedded } from '../../providers/create-provider.ts';
import { readKek } from '../../providers/embedded/embedded-provider.ts';
import type { KeyService } from '../../providers/key-service.ts';
import { checkAgent, fetchStatus } from './agent-checks.ts';
import { checkDisks, checkUsageCounters } from './disk-checks.ts';
import { checkModuleVersions, checkPidNamespaces, checkRings } from './process-checks.ts';
import { cureOf } from './provider-remedies.ts';

export interface Finding {
  readonly name: string;
  readonly verdict: 'ok' | 'warn' | 'bad';
  readonly detail: string;
  readonly cure?: string;
}

export type Check = (config: Config) => Promise<Finding[]>;

const LOCKED_BYTES_NEEDED = 8 * 1024 * 1024;
const MODULES = [
  resolve(import.meta.dirname, '../../../native-shim/build/sidekey-pkcs11.so'),
  '/usr/lib/sidekey/sidekey-pkcs11.so',
];

const GCM_LIBRARIES = { openssl: 'OpenSSL', 'ipsec-mb': "Intel's ipsec-mb" } as const;

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Bytes; null: unlimited. */
export function parseLockedLimit(limits: string): number | null {
  const [, soft] = /^Max locked memory\s+(\S+)/m.exec(limits) ?? [];
  return soft === undefined || soft === 'unlimited' ? null : Number(soft);
}

async function checkFileMode({ file }: Config): Promise<Finding[]> {
  const mode = statSync(file).mode & 0o777;
  const detail = `${file} has mode ${mode.toString(8)}`;
  const isSafe = (mode & 0o022) === 0;
  return [{ name: 'configuration', verdict: isSafe ? 'ok' : 'bad', detail, cure: `chmod go-w ${file}` }];
}

async function checkLockedMemory(config: Config): Promise<Finding[]> {
  const name = 'locked memory';
  const keeper = (await fetchStatus(config))?.keeper;
  if (keeper)
    return [{ name, verdict: 'ok', detail: `the keeper has locked ${keeper.lockedBytes ?? 0} bytes` }];
  const limit = parseLockedLimit(readFileSync('/proc/self/limits', 'utf8'));
  const isEnough = limit === null || limit >= LOCKED_BYTES_NEEDED;
  const detail = `the limit is ${limit ?? 'unlimited'}${isEnough ? '' : `, and the keeper needs ${LOCKED_BYTES_NEEDED}`}`;
  const cure = 'ulimit -l 8192, LimitMEMLOCK=8M in the unit, --ulimit memlock=8388608 for a container';
  return [{ name, verdict: isEnough ? 'ok' : 'bad', detail, cure }];
}

async function checkSecretMemory(config: Config): Promise<Finding[]> {
  const name = 'memfd_secret';
  const kind = (await fetchStatus(config))?.keeper?.kind;
  const cure = 'a kernel from 5.14 on, with secretmem.enable=1 on its command line before 6.5';
  if (kind === 'memfd_secret') return [{ name, verdict: 'ok', detail: 'the keeper uses it' }];
  if (kind === 'mlock')
    return [
      {
        name,
        verdict: 'warn',
        detail: 'the keeper locks ordinary memory instead, which root can read',
        cure,
      },
    ];
  return [
    { name, verdict: 'ok', detail: `kernel ${release()}; the keeper says which memory it got when it runs` },
  ];
}

async function checkGcm(config: Config): Promise<Finding[]> {
  const gcm = (await fetchStatus(config))?.keeper?.gcm;
  return gcm === undefined
    ? []
    : [{ name: 'AES-GCM', verdict: 'ok', detail: `performed by ${GCM_LIBRARIES[gcm]}` }];
}

function checkSocket(name: string, path: string, mode: number): Finding {
  if (!existsSync(path))
    return { name, verdict: 'warn', detail: `${path} does not exist`, cure: 'start agent and keeper' };
  const found = statSync(path);
  if (!found.isSocket())
    return { name, verdict: 'bad', detail: `${path} is not a socket`, cure: 'move it away' };
  const actual = found.mode & 0o777;
  const detail = `${path} has mode ${actual.toString(8)}`;
  if (actual === mode) return { name, verdict: 'ok', detail };
  return {
    name,
    verdict: 'bad',
    detail: `${detail}, configured is ${mode.toString(8)}`,
    cure: 'restart agent and keeper',
  };
}

async function checkSockets({ sockets, keeper }: Config): Promise<Finding[]> {
  const pkcs11Mode =
    keeper.start || !existsSync(sockets.pkcs11) ? sockets.pkcs11Mode : statSync(sockets.pkcs11).mode & 0o777;
  return [
    checkSocket('socket pkcs11', sockets.pkcs11, pkcs11Mode),
    checkSocket('socket api', sockets.api, sockets.apiMode),
    checkSocket('socket control', sockets.control, 0o600),
  ];
}

async function checkModule(): Promise<Finding[]> {
  const found = MODULES.find((path) => existsSync(path));
  const name = 'module';
  if (found) return [{ name, verdict: 'ok', detail: found }];
  return [{ name, verdict: 'bad', detail: `not at ${MODULES.join(' nor ')}`, cure: 'make -C native-shim' }];
}

async function checkStore({ store }: Config): Promise<Finding[]> {
  const name = 'store';
  if (!existsSync(store.path))
    return [{ name, verdict: 'warn', detail: `${store.path} does not exist yet`, cure: 'start the agent' }];
  const folder = dirname(store.path);
  const mode = statSync(folder).mode & 0o777;
  if ((mode & 0o022) !== 0) {
    return [
      { name, verdict: 'bad', detail: `${folder} has mode ${mode.toString(8)}`, cure: `chmod 700 ${folder}` },
    ];
  }
  try {
    const database = new DatabaseSync(store.path, { readOnly: true });
    const [row] = database.prepare('PRAGMA quick_check(1)').all();
    database.close();
    const answer = String(row?.['quick_check']);
    return [
      {
        name,
        verdict: answer === 'ok' ? 'ok' : 'bad',
        detail: `${store.path}: ${answer}`,
        cure: 'restore a copy',
      },
    ];
  } catch (error) {
    return [
      {
        name,
        verdict: 'bad',
        detail: `${store.path}: ${reasonOf(error)}`,
        cure: 'look at its owner and mode',
      },
    ];
  }
}

function checkKeeperProgram({ keeper }: Config): Finding {
  const name = 'keeper';
  try {
    return { name, verdict: 'ok', detail: `${findKeeper(keeper.path)} will be started by the agent` };
  } catch (error) {
    const cure =
      keeper.path === null ? 'make -C native-shim' : 'another keeper.path, or none, in the configuration';
    return { name, verdict: 'bad', detail: reasonOf(error), cure };
  }
}

async function checkKeeper(config: Config): Promise<Finding[]> {
  const name = 'keeper';
  const { keeper, keeperFault } = (await fetchStatus(config)) ?? {};
  if (keeper && keeperFault) {
    const cure = `look at its state (ps ${keeper.pid}); kill -CONT, or kill it: another one is started`;
    return [{ name, verdict: 'bad', detail: `pid ${keeper.pid}: ${keeperFault}`, cure }];
  }
  if (keeper) return [{ name, verdict: 'ok', detail: `pid ${keeper.pid} is attached` }];
  const detail = `none is attached${keeperFault ? `: ${keeperFault}` : ''}`;
  if (!config.keeper.start) {
    const cure = 'systemctl start sidekey-keeper, or keeper.start: true';
    return [{ name, verdict: 'warn', detail, cure }];
  }
  const program = checkKeeperProgram(config);
  if (program.verdict === 'bad' || !keeperFault) return [program];
  return [{ name, verdict: 'bad', detail, cure: "the keeper's own lines in the agent's log say more" }];
}

/** Root may check instances of other users: the store's directory shows the owner. */
function ownerOf({ store }: Pick<Config, 'store'>): number {
  const own = process.geteuid?.() ?? 0;
  return own === 0 ? statSync(dirname(store.path)).uid : own;
}

async function checkKeyFile(name: string, files: EmbeddedConfig, ownUid: number): Promise<Finding> {
  (await readKek({ ...files, ownUid })).fill(0);
  if (files.passphraseFile || files.systemdCredential)
    return { name, verdict: 'ok', detail: `${files.keyFile} opens` };
  const cure = 'sidekey init --passphrase-file, or a systemd credential';
  return { name, verdict: 'warn', detail: `${files.keyFile} has no passphrase`, cure };
}

/** Queries a key service for the state of its key, as the agent would. */
async function checkKeyService(name: string, kind: string, service: KeyService): Promise<Finding> {
  const { ok, detail, error } = await service.health();
  await service.close();
  return ok ? { name, verdict: 'ok', detail } : { name, verdict: 'bad', detail, cure: cureOf(kind, error) };
}

async function checkProvider(
  config: Pick<Config, 'file' | 'providers' | 'store'>,
  provider: string,
  each: ProviderConfig,
): Promise<Finding> {
  const name = `provider ${provider}`;
  try {
    if (isEmbedded(each)) return await checkKeyFile(name, each, ownerOf(config));
    const log = createLogger('error');
    return await checkKeyService(
      name,
      each.kind,
      createKeyService(provider, each, dirname(config.file), log),
    );
  } catch (error) {
    return { name, verdict: 'bad', detail: reasonOf(error), cure: cureOf(each.kind, error) };
  }
}

export function checkProviders(config: Pick<Config, 'file' | 'providers' | 'store'>): Promise<Finding[]> {
  const all = Object.entries(config.providers);
  return Promise.all(all.map(([provider, each]) => checkProvider(config, provider, each)));
}

async function checkAudit({ audit }: Config): Promise<Finding[]> {
  const name = 'audit';
  if (!existsSync(audit.path))
    return [{ name, verdict: 'warn', detail: `${audit.path} does not exist yet`, cure: 'start the agent' }];
  try {
    const { lines } = await verifyAuditLog(audit.path);
    return [{ name, verdict: 'ok', detail: `${lines} records, none altered` }];
  } catch (error) {
    return [{ name, verdict: 'bad', detail: reasonOf(error), cure: 'see docs/errors.md, audit_broken' }];
  }
}

export const CHECKS: readonly Check[] = [
  checkFileMode,
  checkAgent,
  checkKeeper,
  checkLockedMemory,
  checkSecretMemory,
  checkGcm,
  checkSockets,
  checkRings,
  checkModuleVersions,
  checkPidNamespaces,
  checkModule,
  checkStore,
  checkDisks,
  checkUsageCounters,
  checkProviders,
  checkAudit,
];
