/** What Transit lacks: /v1/sidekey, for administrators, and /metrics, also for those allowed to read it. */
import type { Peer } from '../../access/peer.ts';
import type { Metrics } from '../../metrics/metrics.ts';
import { ADMIN_ROWS, type AdminDeps, type AdminRow } from './admin-routes.ts';
import { Refusal } from '../fault.ts';
import { defineRoute, noBody, type Call, type Reply, type Route } from '../route.ts';

export interface SidekeyDeps extends AdminDeps {
  readonly status: () => Promise<object>;
  readonly mayAdminister: (peer: Peer) => boolean;
  readonly mayReadMetrics: (peer: Peer) => boolean;
  readonly metrics: Metrics;
}

function requireAdministrator(deps: SidekeyDeps, call: Call): void {
  if (!deps.mayAdminister(call.peer)) throw new Refusal(403, 'permission denied');
}

function listAttributes(deps: SidekeyDeps, call: Call): Reply {
  const { token = '', handle = '' } = call.params;
  if (!/^\d{1,15}$/.test(handle)) throw new Refusal(400, 'the handle must be a whole number');
  // The owner may know which tokens exist: 403 would tell the CLI that the caller is not the owner.
  if (deps.tokens.tokens().every(({ label }) => label !== token)) throw new Refusal(404);
  const attributes = deps.tokens.keyAttributes(token, Number(handle));
  return { plain: attributes.map(({ type, value }) => ({ type, value: value.toString('hex') })) };
}

/** Used only by the command line; the types are in src/api/sidekey/agent-status.ts and src/tokens/service.ts. */
const OWN_ROWS: readonly (Omit<AdminRow, 'answerTo'> & {
  readonly answerTo: (deps: SidekeyDeps, call: Call) => Reply | Promise<Reply>;
})[] = [
  {
    ...{
      method: 'GET',
      path: '/status',
      summary: 'Whether the agent can serve, and with what',
      form: 'plain',
    },
    answerTo: async (deps) => ({ plain: await deps.status() }),
  },
  {
    ...{ method: 'GET', path: '/keys', summary: 'The keys, of one token or all', form: 'plain' },
    answerTo: (deps, call) => ({ plain: deps.tokens.keys(call.query['token']) }),
  },
  {
    ...{
      method: 'GET',
      path: '/keys/:token/:handle',
      summary: 'Public attributes of an object',
      form: 'plain',
    },
    answerTo: listAttributes,
  },
];

async function readMetrics(deps: SidekeyDeps, call: Call): Promise<Reply> {
  if (!deps.mayReadMetrics(call.peer)) throw new Refusal(403, 'permission denied');
  return { text: await deps.metrics.text(), type: deps.metrics.contentType };
}

export function sidekeyRoutes(deps: SidekeyDeps): Route[] {
  const metrics = defineRoute({
    methods: ['GET'],
    path: '/metrics',
    summary: 'Metrics in the text format of Prometheus',
    form: 'text',
    body: noBody,
    handle: (call) => readMetrics(deps, call),
  });
  const rows = [...OWN_ROWS, ...ADMIN_ROWS].map(({ method, path, answerTo, ...schemas }) =>
    defineRoute({
      ...schemas,
      methods: [method],
      path: `/v1/sidekey${path}`,
      body: noBody,
      guard: (call) => requireAdministrator(deps, call),
      handle: (call) => answerTo(deps, call),
    }),
  );
  return [metrics, ...rows];
}
