/**
 * The validated configuration: defaults filled in, paths absolute, durations in milliseconds, names resolved.
 */
import { dirname, resolve } from 'node:path';
import type { AccessRule } from '../access/rules.ts';
import type { ApiLimits } from '../api/limits.ts';
import type { LogLevel } from '../log/logger.ts';
import type { PriceList } from '../usage/usage-report.ts';
import type { RawConfig } from './schema.ts';

export interface LimitsConfig {
  /** Maximum duration of a lease. */
  readonly anyMs: number;
  /** Idle time after which a cell is wiped. */
  readonly unusedMs: number;
  /** Operations per lease; 0: unlimited. */
  readonly uses: number;
  /** How much longer a lease may last while the key service is unreachable. */
  readonly offlineMs: number;
}

export interface CacheConfig extends LimitsConfig {
  /** Whether the token's key is opened when the agent starts. */
  readonly prewarm: boolean;
  /** Limits by label patterns; the first matching row applies. */
  readonly byKey: readonly { readonly keys: readonly string[]; readonly limits: LimitsConfig }[];
}

/** Keys of the provider's service as objects of a token. */
export interface ResidentConfig {
  readonly prefix: string;
  readonly refreshMs: number;
  readonly create: boolean;
  readonly destroy: boolean;
}

export interface TokenConfig {
  readonly label: string;
  readonly provider: string;
  readonly allow: readonly AccessRule[];
  readonly login: 'pin' | 'none';
  readonly legacy: boolean;
  readonly fips: boolean;
  readonly cache: CacheConfig;
  /** Envelope encryption over the HTTP API; null: none. */
  readonly envelope: { readonly key: string; readonly messages: number } | null;
  /** Label patterns: every use of these keys is a line in the audit log. */
  readonly auditEach: readonly string[];
  readonly resident: ResidentConfig | null;
}

export interface EmbeddedConfig {
  readonly kind: 'embedded';
  readonly keyFile: string;
  readonly passphraseFile: string | null;
  readonly systemdCredential: string | null;
}

/**
 * A remote key service. Its options stay as parsed by the schema of its kind, which src/providers/ relies on.
 */
export interface RemoteConfig {
  readonly kind: string;
  readonly options: unknown;
}

export type ProviderConfig = EmbeddedConfig | RemoteConfig;

export interface Config {
  readonly file: string;
  readonly tokens: readonly TokenConfig[];
  readonly createTokens: boolean;
  readonly access: {
    /** In addition to the agent's owner and root. */
    readonly administrators: readonly AccessRule[];
    /** In addition to administrators. */
    readonly metrics: readonly AccessRule[];
  };
  readonly providers: Readonly<Record<string, ProviderConfig>>;
  readonly store: { readonly path: string };
  readonly sockets: {
    readonly pkcs11: string;
    readonly pkcs11Mode: number;
    readonly api: string;
    readonly apiMode: number;
    readonly control: string;
  };
  /** Kubernetes KMS v2; null: not served. `token` null: the first token. */
  readonly kms: {
    readonly socket: string;
    readonly mode: number;
    readonly token: string | null;
    readonly key: string;
  } | null;
  /** The API limits that can be configured. */
  readonly limits: Pick<ApiLimits, LimitName>;
  readonly keeper: { readonly start: boolean; readonly path: string | null };
  readonly audit: { readonly path: string };
  readonly usage: PriceList;
  readonly log: { readonly level: LogLevel };
}

type LimitName =
  | ('bodyBytes' | 'headerBytes' | 'connections' | 'uidConnections')
  | ('peerConnections' | 'peerInFlight' | 'peerBodyBytes' | 'peerRate');

function toLimits(raw: RawConfig['limits']): Config['limits'] {
  return {
    bodyBytes: raw.body,
    headerBytes: raw.header,
    connections: raw['connections-all'],
    uidConnections: raw['connections-uid'],
    peerConnections: raw.connections,
    peerInFlight: raw['in-flight'],
    peerBodyBytes: raw['in-flight-bodies'],
    peerRate: raw.rate,
  };
}

type RawRule = RawConfig['tokens'][number]['allow'][number];

function toRule({ user, group, uid, gid, ...rest }: RawRule): AccessRule {
  const [ownerUid, ownerGid] = [uid ?? user, gid ?? group];
  return {
    ...(ownerUid === undefined ? {} : { uid: ownerUid }),
    ...(ownerGid === undefined ? {} : { gid: ownerGid }),
    ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)),
  };
}

function toResident({
  prefix,
  refresh,
  create,
  destroy,
}: NonNullable<RawConfig['tokens'][number]['resident']>): ResidentConfig {
  return { prefix, refreshMs: refresh, create, destroy };
}

type GivenLimits = { readonly [Limit in 'any' | 'unused' | 'uses' | 'offline']?: number | undefined };

function toCache({ prewarm, 'by-key': byKey, ...own }: RawConfig['tokens'][number]['cache']): CacheConfig {
  const toLimits = ({ any, unused, uses, offline }: GivenLimits): LimitsConfig => ({
    anyMs: any ?? own.any,
    unusedMs: unused ?? own.unused,
    uses: uses ?? own.uses,
    offlineMs: offline ?? own.offline,
  });
  const rows = byKey.map(({ keys, ...given }) => ({ keys, limits: toLimits(given) }));
  return { ...toLimits(own), prewarm, byKey: rows };
}

function toToken(raw: RawConfig['tokens'][number]): TokenConfig {
  const { label, provider, login, legacy, fips, cache, resident } = raw;
  return {
    label,
    provider,
    login,
    legacy,
    fips,
    allow: raw.allow.map(toRule),
    cache: toCache(cache),
    envelope: raw.envelope ?? null,
    auditEach: raw.audit.each ?? [],
    resident: resident === undefined ? null : toResident(resident),
  };
}

type RawProvider = RawConfig['providers'][string];
type RawEmbedded = Extract<RawProvider, { kind: 'embedded' }>;

function isEmbedded(raw: RawProvider): raw is RawEmbedded {
  return raw.kind === 'embedded';
}

function toProvider(raw: RawProvider, at: (path: string) => string): ProviderConfig {
  return isEmbedded(raw) ? toEmbedded(raw, at) : { kind: String(raw.kind), options: raw };
}

function toEmbedded(raw: RawEmbedded, at: (path: string) => string): EmbeddedConfig {
  const passphrase = raw['passphrase-file'];
  return {
    kind: raw.kind,
    keyFile: at(raw['key-file']),
    passphraseFile: passphrase === undefined ? null : at(passphrase),
    systemdCredential: raw['systemd-credential'] ?? null,
  };
}

/** Relative paths are relative to the file. */
export function toConfig(file: string, raw: RawConfig): Config {
  const at = (path: string) => resolve(dirname(file), path);
  const { sockets, keeper } = raw;
  const providers = Object.entries(raw.providers).map(
    ([name, each]) => [name, toProvider(each, at)] as const,
  );
  return {
    file,
    tokens: raw.tokens.map(toToken),
    createTokens: raw['create-tokens'],
    access: {
      administrators: raw.access.administrators.map(toRule),
      metrics: raw.access.metrics.map(toRule),
    },
    providers: Object.fromEntries(providers),
    store: { path: at(raw.store.path) },
    sockets: {
      pkcs11: at(sockets.pkcs11),
      pkcs11Mode: sockets['pkcs11-mode'] ?? 0o600,
      api: at(sockets.api),
      apiMode: sockets['api-mode'],
      control: at(sockets.control),
    },
    kms:
      raw.kms === undefined ? null : { ...raw.kms, socket: at(raw.kms.socket), token: raw.kms.token ?? null },
    limits: toLimits(raw.limits),
    keeper: { start: keeper.start, path: keeper.path ?? null },
    audit: { path: at(raw.audit.path) },
    usage: raw.usage,
    log: raw.log,
  };
}
