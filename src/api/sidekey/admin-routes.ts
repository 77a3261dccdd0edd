/**
 * /v1/sidekey for administrators: leases, tokens, providers, past events, usage. Each row has the schema of
 * its answer.
 */
import { z } from 'zod';
import { ACCESS_OPERATIONS, type AccessOperation } from '../../access/operations.ts';
import type { Peer } from '../../access/peer.ts';
import type { Decision } from '../../access/rules.ts';
import { EVENT_TYPES, type EventRing } from '../../events/event-ring.ts';
import type { ProviderStatus } from '../../metrics/provider-status.ts';
import type { TokenService } from '../../tokens/service.ts';
import type { UsageReport } from '../../usage/usage-report.ts';
import { Refusal } from '../fault.ts';
import { KEK_ROWS, tokenAnswer } from './kek-routes.ts';
import type { Call, Method, Reply, RouteSchemas } from '../route.ts';

export interface AdminDeps {
  readonly tokens: TokenService;
  readonly events: EventRing;
  /** `ask`: query each key service for its health now, which takes as long as the slowest. */
  readonly providers: (ask: boolean) => Promise<readonly ProviderStatus[]>;
  /** Days as YYYY-MM-DD, both inclusive. */
  readonly usage: (from: string, to: string) => Promise<UsageReport>;
  readonly now: () => number;
  /** null: there is no such process. `token` null: the default token. */
  readonly explainAccess: (question: AccessQuestion) => AccessExplained | null;
}

export interface AccessQuestion {
  readonly pid: number;
  readonly token: string | null;
  readonly key: string;
  readonly operation: AccessOperation;
}

export interface AccessExplained extends Decision {
  readonly token: string;
  readonly peer: Peer;
}

export interface AdminRow extends RouteSchemas {
  readonly method: Method;
  /** Below /v1/sidekey. */
  readonly path: string;
  readonly answerTo: (deps: AdminDeps, call: Call) => Reply | Promise<Reply>;
}

const count = z.int().min(0);
const lease = z.object({
  id: z.string(),
  kind: z.string(),
  token: z.string(),
  label: z.string().nullable(),
  handle: count.nullable(),
  leftMs: count.nullable(),
});
const wiped = z.object({ wiped: count });
const provider = z.object({
  ...{ name: z.string(), kind: z.string(), up: z.boolean().nullable(), calls: count, errors: count },
  lastCallAt: z.string().nullable(),
  lastError: z.object({ code: z.string(), at: z.string() }).nullable(),
  credentialSecondsLeft: count.nullable(),
  health: z.object({ ok: z.boolean(), detail: z.string() }).nullable(),
});
const field = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const event = z.object({
  ...{ id: z.string(), time: z.string(), type: z.enum(EVENT_TYPES) },
  fields: z.record(z.string(), field),
});
const usageRow = z.object({
  ...{ day: z.string(), peer: z.enum(['pkcs11', 'http', 'kms']), uid: count, token: z.string() },
  ...{ key: z.string(), operation: z.string(), times: count, bytes: count },
});
const money = z.number().nullable();
const usage = z.object({
  ...{ from: z.string(), to: z.string(), currency: z.string(), usage: z.array(usageRow) },
  calls: z.array(z.object({ day: z.string(), provider: z.string(), call: z.string(), times: count })),
  providers: z.array(
    z.object({
      ...{ provider: z.string(), operations: count, calls: count, callsSaved: count },
      ...{ cost: money, costSaved: money },
    }),
  ),
});

const access = z.object({
  ...{ allowed: z.boolean(), rule: z.string().nullable(), token: z.string() },
  considered: z.array(z.object({ rule: z.string(), because: z.string().nullable() })),
  peer: z.object({
    ...{ pid: count, uid: count, gid: count, groups: z.array(count), startTime: z.string().nullable() },
    ...{ executable: z.string().nullable(), unit: z.string().nullable() },
    cgroup: z.string().nullish(),
  }),
});
const accessQuery = z.object({
  pid: z.string().regex(/^[1-9]\d{0,8}$/, 'expected a pid'),
  token: z.string().max(64).optional(),
  key: z.string().max(256),
  operation: z.enum(ACCESS_OPERATIONS),
});

const day = z.iso.date('expected a day: 2026-01-31').optional();
const DAY_MS = 86_400_000;
const USUAL_DAYS = 30;

function wipeOne({ tokens }: AdminDeps, { peer, params }: Call): Reply {
  const done = tokens.wipeLease(peer, params['lease'] ?? '');
  if (done === 0) throw new Refusal(404);
  return { plain: { wiped: done } };
}

/** `to` defaults to today, `from` to thirty days earlier. */
async function readUsage(deps: AdminDeps, { query }: Call): Promise<Reply> {
  const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  const to = query['to'] ?? dayOf(deps.now());
  const from = query['from'] ?? dayOf(Date.parse(to) - USUAL_DAYS * DAY_MS);
  return { plain: await deps.usage(from, to) };
}

function explain({ explainAccess }: AdminDeps, { query }: Call): Reply {
  const { pid, token = null, key, operation } = accessQuery.parse(query);
  const explained = explainAccess({ pid: Number(pid), token, key, operation });
  if (explained === null) throw new Refusal(404, 'there is no such process');
  return { plain: explained };
}

export const ADMIN_ROWS: readonly AdminRow[] = [
  {
    ...{ method: 'GET', path: '/cache', summary: 'The leases that stand open', form: 'plain' },
    answer: z.array(lease),
    answerTo: ({ tokens }) => ({ plain: tokens.leases() }),
  },
  {
    ...{ method: 'DELETE', path: '/cache', summary: 'Wipe every lease', form: 'plain', answer: wiped },
    answerTo: async ({ tokens }, { peer }) => ({ plain: { wiped: await tokens.wipeLeases(peer) } }),
  },
  {
    ...{ method: 'DELETE', path: '/cache/:lease', summary: 'Wipe one lease', form: 'plain', answer: wiped },
    answerTo: wipeOne,
  },
  {
    ...{ method: 'GET', path: '/tokens', summary: 'The tokens, whoever may use them', form: 'plain' },
    answer: z.array(tokenAnswer),
    answerTo: ({ tokens }) => ({ plain: tokens.tokens() }),
  },
  {
    ...{ method: 'GET', path: '/providers', summary: 'The key services and how they fare', form: 'plain' },
    query: z.object({ check: z.enum(['true', 'false']).optional() }),
    answer: z.array(provider),
    answerTo: async ({ providers }, { query }) => ({ plain: await providers(query['check'] === 'true') }),
  },
  {
    ...{ method: 'GET', path: '/events', summary: 'Events that were; as a WebSocket also those to come' },
    ...{ form: 'plain', answer: z.object({ gap: z.boolean(), events: z.array(event) }) },
    query: z.object({ after: z.string().max(64).optional() }),
    answerTo: ({ events }, { query }) => ({ plain: events.after(query['after'] ?? events.start) }),
  },
  {
    ...{ method: 'GET', path: '/access', summary: 'Which rule lets a process do something', form: 'plain' },
    ...{ query: accessQuery, answer: access, answerTo: explain },
  },
  {
    ...{ method: 'GET', path: '/usage', summary: 'Who used which key how often, by day', form: 'plain' },
    query: z.object({ from: day, to: day }),
    answer: usage,
    answerTo: readUsage,
  },
  ...KEK_ROWS,
];
