/**
 * sys/health, sys/seal-status and sys/leader: for any local process, as in Vault. `vault status` uses the
 * last two.
 */
import { defineRoute, noBody, type Call, type Reply, type Route } from './route.ts';
import { Refusal } from './fault.ts';

export interface Health {
  readonly initialized: boolean;
  /** No key can be used: there is no keeper, or the default token's key cannot be opened. */
  readonly sealed: boolean;
}

export interface SysDeps {
  readonly health: () => Health;
  readonly version: string;
}

/** The caller may choose another status than Vault's, as load balancers do. */
function chooseStatus(call: Call, name: string, usual: number): number {
  const wanted = call.query[name];
  if (wanted === undefined) return usual;
  if (!/^[2-5]\d\d$/.test(wanted)) throw new Refusal(400, `query "${name}": expected a status`);
  return Number(wanted);
}

function healthStatus(call: Call, { initialized, sealed }: Health): number {
  if (!initialized) return chooseStatus(call, 'uninitcode', 501);
  if (sealed) return chooseStatus(call, 'sealedcode', 503);
  return chooseStatus(call, 'activecode', 200);
}

function answerHealth(deps: SysDeps, call: Call): Reply {
  const health = deps.health();
  return {
    status: healthStatus(call, health),
    plain: {
      ...health,
      standby: false,
      performance_standby: false,
      replication_performance_mode: 'disabled',
      replication_dr_mode: 'disabled',
      server_time_utc: Math.floor(Date.now() / 1000),
      version: deps.version,
    },
  };
}

function answerSealStatus(deps: SysDeps): Reply {
  const shares = { t: 0, n: 0, progress: 0, nonce: '' };
  const { initialized, sealed } = deps.health();
  const rest = { version: deps.version, migration: false, recovery_seal: false, storage_type: 'sidekey' };
  return { plain: { type: 'sidekey', initialized, sealed, ...shares, ...rest } };
}

/** There is one agent per host, and no standby. */
const LEADER = {
  ...{ ha_enabled: false, is_self: false, active_time: '0001-01-01T00:00:00Z' },
  ...{ leader_address: '', leader_cluster_address: '', performance_standby: false },
  ...{ performance_standby_last_remote_wal: 0 },
};

export function sysRoutes(deps: SysDeps): Route[] {
  return [
    defineRoute({
      methods: ['GET'],
      path: '/v1/sys/health',
      summary: 'Whether keys can be used',
      form: 'plain',
      body: noBody,
      handle: (call) => answerHealth(deps, call),
    }),
    defineRoute({
      methods: ['GET'],
      path: '/v1/sys/seal-status',
      summary: 'The same, in other words',
      form: 'plain',
      body: noBody,
      handle: () => answerSealStatus(deps),
    }),
    defineRoute({
      methods: ['GET'],
      path: '/v1/sys/leader',
      summary: 'Reports that there is no cluster',
      form: 'plain',
      body: noBody,
      handle: () => ({ plain: LEADER }),
    }),
  ];
}
