/**
 * What `sidekey status` shows: built in the agent, sent as JSON by GET /v1/sidekey/status, printed by the
 * command line.
 */
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import type { Config } from '../../config/config.ts';
import type { ClientRefused } from '../../keeper/bodies.ts';
import type { KeeperClient } from '../../keeper/keeper-client.ts';
import type { ProviderStatus } from '../../metrics/provider-status.ts';
import type { ClientSeen, KeeperState } from '../../tokens/ports.ts';
import type { TokenService, TokenSummary } from '../../tokens/service.ts';
import { LIMITS } from '../../wire/tables.ts';

export interface AgentStatus {
  readonly version: string;
  /** A keeper is attached, so requests can be served. */
  readonly ready: boolean;
  readonly config: string;
  readonly agent: { readonly pid: number; readonly startedAt: string };
  readonly keeper: ({ readonly pid: number; readonly wire: number | null } & Partial<KeeperState>) | null;
  /** Why no keeper is attached; null while one is. */
  readonly keeperFault: string | null;
  readonly sockets: { readonly pkcs11: string; readonly api: string };
  readonly tokens: readonly TokenSummary[];
  /** Key services whose credentials expire, with the time left. */
  readonly credentials: readonly { readonly provider: string; readonly secondsLeft: number }[];
  /** Number of keys open under a lease. */
  readonly leases: number;
  readonly lockedBytes: number;
  /** Connected processes; the program name is the process's own word. */
  readonly processes: readonly { readonly pid: number; readonly uid: number; readonly program: string }[];
  /** Processes without shared memory, which use the slower socket. */
  readonly withoutRing: readonly RinglessProcess[];
  /** Processes with a module older than this agent: they work, but the next release may refuse them. */
  readonly outdated: readonly ClientRefused[];
  /** The latest processes that were refused because their module speaks no supported version. */
  readonly refused: readonly ClientRefused[];
}

export interface RinglessProcess {
  readonly pid: number;
  readonly uid: number;
  readonly program: string;
  readonly why: string;
}

export interface StatusSources {
  readonly version: string;
  readonly startedAt: string;
  readonly config: () => Config;
  readonly keeper: KeeperClient;
  readonly keeperFault: () => string | null;
  readonly tokens: TokenService;
  readonly providers: () => Promise<readonly ProviderStatus[]>;
}

const SILENT = 'it is attached and does not answer';

/** Null: it does not answer. Whoever finds that asks it nothing more, since each question lasts until its deadline. */
function keeperState(keeper: KeeperClient): Promise<KeeperState | null> {
  return keeper.pid === null ? Promise.resolve(null) : keeper.state().catch(() => null);
}

const { EMFILE, ENFILE, ENOMEM, EPROTONOSUPPORT } = constants.errno;

const CAUSES: ReadonlyMap<number, string> = new Map([
  [EMFILE, 'the keeper has no descriptors left: raise its limit (LimitNOFILE), two for each process'],
  [ENFILE, 'this host has no descriptors left (fs.file-max)'],
  [ENOMEM, 'this host has no memory left'],
  [EPROTONOSUPPORT, 'its module knows another ring: it was loaded before Sidekey was upgraded'],
]);

function whyNone(errno: number | null): string {
  if (errno === null) return 'it asked for none: SIDEKEY_RING=0 in its environment';
  return CAUSES.get(errno) ?? `the kernel refused: ${getSystemErrorName(-errno)}`;
}

function ringless(clients: readonly ClientSeen[]): RinglessProcess[] {
  return clients.flatMap(({ pid, uid, program, ring }) =>
    ring === undefined || ring.shared ? [] : [{ pid, uid, program, why: whyNone(ring.refused) }],
  );
}

async function credentialsLeft({ providers }: StatusSources): Promise<AgentStatus['credentials']> {
  const left = (await providers()).map(
    ({ name, credentialSecondsLeft }) => [name, credentialSecondsLeft] as const,
  );
  return left.flatMap(([provider, secondsLeft]) => (secondsLeft === null ? [] : [{ provider, secondsLeft }]));
}

function outdated(clients: readonly ClientSeen[]): ClientRefused[] {
  return clients.flatMap(({ pid, uid, program, wire }) =>
    wire === undefined || wire >= LIMITS.version ? [] : [{ wire, pid, uid, program }],
  );
}

export async function agentStatus(sources: StatusSources): Promise<AgentStatus> {
  const { file, sockets } = sources.config();
  const state = await keeperState(sources.keeper);
  const { pid, wire } = sources.keeper;
  const keeper = pid === null ? null : { pid, wire, ...state };
  const isSilent = pid !== null && state === null;
  const leases = state
    ? (await sources.keeper.cells().catch(() => [])).filter(({ leftMs }) => leftMs !== null)
    : [];
  const clients = state ? await sources.keeper.clients().catch(() => []) : [];
  return {
    version: sources.version,
    ready: keeper !== null,
    config: file,
    agent: { pid: process.pid, startedAt: sources.startedAt },
    keeper,
    keeperFault: isSilent ? SILENT : sources.keeperFault(),
    sockets: { pkcs11: sockets.pkcs11, api: sockets.api },
    tokens: sources.tokens.tokens(),
    credentials: await credentialsLeft(sources),
    leases: leases.length,
    lockedBytes: keeper?.lockedBytes ?? 0,
    processes: clients.map(({ pid, uid, program }) => ({ pid, uid, program })),
    withoutRing: ringless(clients),
    outdated: outdated(clients),
    refused: sources.keeper.refused(),
  };
}
