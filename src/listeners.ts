/**
 * The agent's own listeners, in a module of their own because they are loaded after the keeper's socket is
 * served.
 */
import { randomBytes } from 'node:crypto';
import type { AgentOptions, Domain } from './agent.ts';
import { isAdministrator } from './access/administrators.ts';
import { readPeer } from './access/peer-reader.ts';
import type { Peer } from './access/peer.ts';
import { matchesRule } from './access/rules.ts';
import { createApi, type Api } from './api/server.ts';
import { SYSTEM_CLOCK } from './clock.ts';
import type { Config } from './config/config.ts';
import { KmsKey } from './kms/kms-key.ts';
import type { KmsServer } from './kms/kms-server.ts';
import type { Logger } from './log/logger.ts';
import type { KeeperLink } from './keeper/keeper-link.ts';
import { withPauses, type Attachment } from './tokens/keeper-pauses.ts';
import type { Keeper } from './tokens/ports.ts';
import { agentStatus } from './api/sidekey/agent-status.ts';

function attachmentOf(keeper: Keeper, link: KeeperLink): Attachment {
  return {
    isAttached: () => keeper.pid !== null,
    wait: (timeoutMs) => link.waitAttached(timeoutMs),
    monotonic: () => SYSTEM_CLOCK.monotonic(),
  };
}

export function createAgentApi({ log, version }: AgentOptions, domain: Domain, link: KeeperLink): Api {
  const { keeper, tokens, observation } = domain;
  const mayAdminister = (peer: Peer): boolean =>
    isAdministrator(peer, domain.ownUid, domain.config.access.administrators);
  observation.collectFrom(keeper, () => domain.flushUsage().catch(() => undefined));
  const sources = {
    version,
    startedAt: new Date(performance.timeOrigin).toISOString(),
    config: () => domain.config,
    keeper,
    keeperFault: () => link.fault,
    tokens,
    providers: () => domain.providers(false),
  };
  return createApi({
    tokens: observation.door(withPauses(tokens, attachmentOf(keeper, link)), 'http'),
    metrics: observation.metrics,
    events: observation.events,
    providers: (ask) => domain.providers(ask),
    usage: (from, to) => domain.usage(from, to),
    now: () => SYSTEM_CLOCK.now(),
    explainAccess: (question) => domain.explainAccess(question),
    mayAdminister,
    mayReadMetrics: (peer) =>
      mayAdminister(peer) || domain.config.access.metrics.some((rule) => matchesRule(rule, peer)),
    logger: log,
    version,
    limits: domain.config.limits,
    peerOf: readPeer,
    status: () => agentStatus(sources),
    health: () => ({ initialized: tokens.tokens().length > 0, sealed: keeper.pid === null }),
    defaultToken: () => domain.defaultToken,
  });
}

export async function createAgentKms(
  kms: NonNullable<Config['kms']>,
  log: Logger,
  domain: Domain,
  link: KeeperLink,
): Promise<KmsServer> {
  // gRPC is large, and few configurations use it.
  const { createKmsServer } = await import('./kms/kms-server.ts');
  const { keeper, tokens, observation } = domain;
  const key = new KmsKey({
    tokens: observation.door(withPauses(tokens, attachmentOf(keeper, link)), 'kms'),
    token: kms.token ?? domain.defaultToken,
    key: kms.key,
    random: randomBytes,
  });
  return createKmsServer({ key, isReady: () => keeper.pid !== null, peerOf: readPeer, logger: log });
}
