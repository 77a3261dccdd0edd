/** What Transit has no word for: /v1/sidekey, for administrators, and /metrics, for whom these let read it as well. */
import type { Peer } from '../access/peer.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { TokenService } from '../tokens/service.ts';
import { Refusal } from './fault.ts';
import { defineRoute, noBody, type Call, type Reply, type Route } from './route.ts';

export interface SidekeyDeps {
  readonly tokens: TokenService;
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
  if (!/^\d{1,15}$/.test(handle)) throw new Refusal(400, 'a handle is a whole number');
  // The owner may know which tokens there are: 403 would tell the CLI that it is not the owner.
  if (deps.tokens.tokens().every(({ label }) => label !== token)) throw new Refusal(404);
  const attributes = deps.tokens.keyAttributes(token, Number(handle));
  return { plain: attributes.map(({ type, value }) => ({ type, value: value.toString('hex') })) };
}

const ROWS: readonly { path: string; answer: (deps: SidekeyDeps, call: Call) => Reply | Promise<Reply> }[] = [
  { path: '/status', answer: async (deps) => ({ plain: await deps.status() }) },
  { path: '/keys', answer: (deps, call) => ({ plain: deps.tokens.keys(call.query['token']) }) },
  { path: '/keys/:token/:handle', answer: listAttributes },
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
  const rows = ROWS.map(({ path, answer }) =>
    defineRoute({
      methods: ['GET'],
      path: `/v1/sidekey${path}`,
      body: noBody,
      handle: (call) => {
        requireAdministrator(deps, call);
        return answer(deps, call);
      },
    }),
  );
  return [metrics, ...rows];
}
