/** The agent: assembled from a configuration, with the order in which its parts start and stop. */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createAccessPolicy, type RulePolicy } from './access/rules.ts';
import { completePeer, readProcess } from './access/peer-reader.ts';
import { lockFile } from './access/peer-credentials.ts';
import type { AccessExplained, AccessQuestion } from './api/sidekey/admin-routes.ts';
import type { Api } from './api/server.ts';
import { AuditLog } from './audit/audit-log.ts';
import type { CacheLimits } from './cache/data-key-cache.ts';
import type { Config, LimitsConfig, TokenConfig } from './config/config.ts';
import { checkReload } from './config/reload.ts';
import { SidekeyError } from './errors.ts';
import type { KmsServer } from './kms/kms-server.ts';
import { Asked } from './keeper/asked.ts';
import { KeeperClient } from './keeper/keeper-client.ts';
import { KeeperLink } from './keeper/keeper-link.ts';
import { startKeeper } from './keeper/keeper-process.ts';
import type { Logger } from './log/logger.ts';
import { SYSTEM_CLOCK, SYSTEM_TIMER } from './clock.ts';
import { createProvider } from './providers/create-provider.ts';
import { providerStatus, type ProviderStatus } from './metrics/provider-status.ts';
import { SqliteStore } from './store/sqlite-store.ts';
import { Observation } from './metrics/observation.ts';
import type { AuditSink, Keeper, Provider } from './tokens/ports.ts';
import type { TokenService } from './tokens/service.ts';
import { DEFAULT_LIMITS, type TokenOptions } from './tokens/token-catalogue.ts';
import { UsageLedger } from './usage/usage-ledger.ts';
import { reportUsage, type UsageReport } from './usage/usage-report.ts';
import { createTokenService } from './tokens/token-service.ts';
import type { Watched } from './watchdog.ts';

const USAGE_FLUSH_MS = 60_000;
/**
 * Loading the HTTP server and gRPC blocks the event loop for as long as the rest of the start. Programs are
 * served first: those whose requests the keeper parked (KEEPER_FIRST_MS is how long to wait for a keeper),
 * then those that lost their bindings when the agent attached and return a little later on a busy host.
 * Loading begins once no request has arrived for `quietMs`, after `mostMs` at the latest, and pauses between
 * its parts.
 */
const KEEPER_FIRST_MS = 250;
const PROGRAMS_FIRST = { quietMs: 40, mostMs: 500 };
const BETWEEN_PARTS = { quietMs: 5, mostMs: 100 };
/** What listeners.ts loads, in parts of about ten milliseconds each. */
const LISTENER_PARTS: readonly (() => Promise<unknown>)[] = [
  () => import('node:http'),
  () => import('ws'),
  () => import('fastify'),
  () => import('./api/route.ts'),
  () => import('./api/server.ts'),
];

export interface AgentOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly version: string;
}

function ownUid(): number {
  const uid = process.geteuid?.();
  if (uid === undefined) throw new SidekeyError('internal', 'this host has no uids');
  return uid;
}

/** What the file system refuses is store_failed, with its reason. */
function onDisk<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SidekeyError('store_failed', `cannot ${what}: ${reason}`, { cause });
  }
}

/**
 * Nothing is served without this lock: two agents on one store would each trust their own copy of it in
 * memory.
 */
function lockStore({ store }: Config): { release: () => void } {
  const lock = onDisk(`lock ${store.path}`, () => {
    mkdirSync(dirname(store.path), { recursive: true, mode: 0o700 });
    return lockFile(`${store.path}.lock`);
  });
  if (!lock) throw new SidekeyError('already_running', `another agent is using ${store.path}`);
  return lock;
}

/** Counters are not worth refusing to start: without a file they are kept in memory. */
function openLedger(path: string, log: Logger): UsageLedger {
  const now = (): number => SYSTEM_CLOCK.now();
  try {
    return new UsageLedger(path, now);
  } catch (error) {
    log.error({ error, path }, 'cannot open the usage counters: they are kept in memory until a restart');
    return new UsageLedger(':memory:', now);
  }
}

function createProviders(
  config: Config,
  keeper: Keeper,
  log: Logger,
  observation: Observation,
): Map<string, Provider> {
  const deps = { ownUid: ownUid(), keeper, log, directory: dirname(config.file) };
  const entries = Object.entries(config.providers).map(
    ([name, each]) => [name, observation.provider(createProvider(name, each, deps))] as const,
  );
  return new Map(entries);
}

/** `uses: 0` in the configuration means unlimited. */
function toLimits({ anyMs, unusedMs, uses, offlineMs }: CacheLimits | LimitsConfig): CacheLimits {
  return { anyMs, unusedMs, uses: uses === 0 ? null : uses, offlineMs };
}

/** Everything that needs no socket; `init` uses it too. */
export class Domain {
  readonly ownUid = ownUid();
  readonly keeper: KeeperClient;
  readonly asked = new Asked();
  readonly tokens: TokenService;
  readonly audit: AuditSink;
  readonly #access: RulePolicy;
  readonly observation: Observation;
  readonly #auditLog: AuditLog;
  readonly #ledger: UsageLedger;
  readonly #lock: { release: () => void };
  readonly #providers: ReadonlyMap<string, Provider>;
  #config: Config;

  constructor({ config, log, version }: AgentOptions) {
    this.#config = config;
    this.#lock = lockStore(config);
    const usage = join(dirname(config.store.path), 'usage.db');
    this.#ledger = openLedger(usage, log);
    this.observation = new Observation({ clock: SYSTEM_CLOCK, version, ledger: this.#ledger, log });
    this.#auditLog = new AuditLog(config.audit.path, SYSTEM_CLOCK);
    this.audit = this.observation.audit(this.#auditLog);
    this.keeper = new KeeperClient(log);
    this.#providers = createProviders(config, this.keeper, log, this.observation);
    this.#access = createAccessPolicy({
      ownUid: this.ownUid,
      tokens: () => this.#config.tokens,
      createTokens: () => this.#config.createTokens,
    });
    this.tokens = this.#createTokens(new SqliteStore(config.store.path));
    this.keeper.serve(this.asked.watch(this.observation.misses(this.tokens)));
  }

  get config(): Config {
    return this.#config;
  }

  set config(config: Config) {
    this.#config = config;
  }

  #createTokens(store: SqliteStore): TokenService {
    return createTokenService({
      keeper: this.keeper,
      observeCache: this.observation.cache,
      store,
      providers: this.#providers,
      access: this.#access,
      audit: this.audit,
      clock: SYSTEM_CLOCK,
      timer: SYSTEM_TIMER,
      random: randomBytes,
      boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
      readPeer: (pid, uid, gid, groups) => completePeer({ pid, uid, gid, groups }),
      tokens: this.#config.tokens.map((token) => this.#tokenOptions(token)),
      createTokens: this.#config.createTokens,
    });
  }

  /** Limits and login are read at each use, so that a reload takes effect. */
  #tokenOptions({ label, provider, legacy, fips }: TokenConfig): TokenOptions {
    const find = () => this.#config.tokens.find((token) => token.label === label);
    return {
      label,
      provider,
      legacy,
      fips,
      get cache() {
        return toLimits(find()?.cache ?? DEFAULT_LIMITS);
      },
      get cacheOfKeys() {
        const rows = find()?.cache.byKey ?? [];
        return rows.map(({ keys, limits }) => ({ keys, limits: toLimits(limits) }));
      },
      get prewarm() {
        return find()?.cache.prewarm ?? false;
      },
      get envelope() {
        return find()?.envelope ?? null;
      },
      get auditEach() {
        return find()?.auditEach ?? [];
      },
      get resident() {
        return find()?.resident ?? null;
      },
      get login() {
        return find()?.login ?? 'pin';
      },
    };
  }

  watchProviders(): void {
    for (const [name, provider] of this.#providers) provider.watch(() => this.tokens.providerChanged(name));
  }

  providers(ask: boolean): Promise<ProviderStatus[]> {
    return providerStatus(this.#providers, this.observation.providers, ask);
  }

  /** The token to use when none is named. */
  get defaultToken(): string {
    return this.#config.tokens[0]?.label ?? this.tokens.tokens()[0]?.label ?? '';
  }

  explainAccess({ pid, token: named, key, operation }: AccessQuestion): AccessExplained | null {
    const peer = readProcess(pid);
    const token = named ?? this.defaultToken;
    return peer === null ? null : { ...this.#access.decide(peer, token, key, operation), token, peer };
  }

  async usage(from: string, to: string): Promise<UsageReport> {
    await this.flushUsage();
    const tokens = new Map(this.tokens.tokens().map(({ label, provider }) => [label, provider]));
    const providerOf = (token: string): string | null => tokens.get(token) ?? null;
    return reportUsage({ from, to }, this.#ledger.read(from, to), providerOf, this.#config.usage);
  }

  /**
   * Reads the keeper's counters into the audit log (and so into metrics and usage), and writes usage to disk.
   */
  async flushUsage(): Promise<void> {
    if (this.keeper.pid !== null) await this.tokens.flushUsage();
    this.#ledger.flush();
  }

  /** Creates tokens that are configured but not in the store. They have no PIN until somebody sets one. */
  async createMissingTokens(): Promise<void> {
    const known = new Set(this.tokens.tokens().map(({ label }) => label));
    for (const { label, provider } of this.#config.tokens) {
      if (!known.has(label)) await this.tokens.createToken({ label, provider, soPin: null, userPin: null });
    }
  }

  /** The token service closes the store. */
  async close(): Promise<void> {
    await this.tokens.close();
    for (const provider of this.#providers.values()) await provider.close();
    this.#auditLog.close();
    this.#ledger.close();
    this.#lock.release();
  }
}

export class Agent {
  readonly #domain: Domain;
  readonly #link: KeeperLink;
  readonly #options: AgentOptions;
  readonly #log: Logger;
  #api: Api | null = null;
  #kms: KmsServer | null = null;
  #usage: NodeJS.Timeout | null = null;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#domain = new Domain(options);
    this.#link = createLink(options, this.#domain.keeper);
  }

  /** Resolves when this process's sockets are listening; a keeper may attach later. */
  async start(): Promise<void> {
    const { config, audit } = this.#domain;
    audit.record('agent-started', { pid: process.pid, config: config.file });
    await this.#domain.createMissingTokens();
    prepareControlFolder(config);
    this.#domain.watchProviders();
    this.#link.start();
    // Requests answered in the meantime wait for this line to reach the disk as well.
    const recorded = audit.durable();
    recorded.catch(() => undefined);
    await this.#link.waitAttached(KEEPER_FIRST_MS).catch(() => undefined);
    await recorded;
    await this.#domain.asked.quiet(PROGRAMS_FIRST.quietMs, PROGRAMS_FIRST.mostMs);
    await this.#loadListeners();
    await this.#listen(config);
    this.#usage = setInterval(() => void this.#flushUsage(), USAGE_FLUSH_MS);
  }

  async #loadListeners(): Promise<void> {
    for (const load of LISTENER_PARTS) {
      await load();
      await this.#domain.asked.quiet(BETWEEN_PARTS.quietMs, BETWEEN_PARTS.mostMs);
    }
  }

  async #listen({ sockets, kms }: Config): Promise<void> {
    const { createAgentApi, createAgentKms } = await import('./listeners.ts');
    this.#api = createAgentApi(this.#options, this.#domain, this.#link);
    await this.#api.listen(sockets.api, sockets.apiMode).catch((cause: unknown) => {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new SidekeyError('socket_refused', `${sockets.api}: ${reason}`, { cause });
    });
    if (!kms) return;
    this.#kms = await createAgentKms(kms, this.#options.log, this.#domain, this.#link);
    await this.#kms.listen(kms.socket, kms.mode);
  }

  /** What systemd's watchdog watches. */
  get keeper(): Watched {
    return this.#domain.keeper;
  }

  waitForKeeper(timeoutMs: number): Promise<void> {
    return this.#link.waitAttached(timeoutMs);
  }

  /** All or nothing: throws config_invalid if a changed setting needs a restart. */
  async reload(config: Config): Promise<void> {
    const domain = this.#domain;
    checkReload(domain.config, config);
    domain.config = config;
    this.#log.level = config.log.level;
    await domain.createMissingTokens();
    domain.audit.record('agent-reloaded', { config: config.file });
    await domain.tokens.rulesChanged();
  }

  async stop(): Promise<void> {
    if (this.#usage) clearInterval(this.#usage);
    await Promise.all([this.#api?.close(), this.#kms?.close()]);
    await this.#flushUsage();
    const { config, audit } = this.#domain;
    // The keeper has no file system, so whoever stops it removes its sockets.
    const isKeeperEnded = await this.#link.stop(config.keeper.start);
    if (isKeeperEnded)
      for (const path of [config.sockets.pkcs11, config.sockets.control]) rmSync(path, { force: true });
    audit.record('agent-stopped', { pid: process.pid });
    await this.#domain.close();
  }

  async #flushUsage(): Promise<void> {
    await this.#domain
      .flushUsage()
      .catch((error) => this.#log.error({ error }, 'cannot write the use counters'));
  }
}

/** The control socket is private to its owner, and so is its directory unless other sockets share it. */
function prepareControlFolder({ sockets, keeper }: Config): void {
  if (!keeper.start) return;
  const folder = dirname(sockets.control);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { uid, mode } = statSync(folder);
  const isShared = [sockets.api, sockets.pkcs11].some((path) => dirname(path) === folder);
  if (isShared) return;
  if (uid !== 0 && uid !== ownUid())
    throw new SidekeyError('socket_refused', `${folder} belongs to uid ${uid}`);
  if ((mode & 0o077) !== 0) chmodSync(folder, 0o700);
}

function createLink({ config, log }: AgentOptions, client: KeeperClient): KeeperLink {
  const { pkcs11, pkcs11Mode, control } = config.sockets;
  const program = { path: config.keeper.path, pkcs11, pkcs11Mode, control };
  const start = config.keeper.start
    ? (ended: (why: string) => void) => startKeeper(program, log, ended)
    : null;
  return new KeeperLink({ client, control, start, log });
}
