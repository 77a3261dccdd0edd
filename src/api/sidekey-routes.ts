/** What Transit has no word for: /v1/sidekey, for the uid that owns the agent and for root. */
import type { TokenService } from '../tokens/service.ts';
import { Refusal } from './fault.ts';
import { defineRoute, noBody, type Call, type Reply, type Route } from './route.ts';

export interface SidekeyDeps {
  readonly tokens: TokenService;
  readonly status: () => Promise<object>;
  readonly ownUid: number;
}

const ROOT = 0;

function requireOwner(deps: SidekeyDeps, call: Call): void {
  const { uid } = call.peer;
  if (uid !== deps.ownUid && uid !== ROOT) throw new Refusal(403, 'permission denied');
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

export function sidekeyRoutes(deps: SidekeyDeps): Route[] {
  return ROWS.map(({ path, answer }) =>
    defineRoute({
      methods: ['GET'],
      path: `/v1/sidekey${path}`,
      body: noBody,
      handle: (call) => {
        requireOwner(deps, call);
        return answer(deps, call);
      },
    }),
  );
}
