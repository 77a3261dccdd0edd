/**
 * sys/mounts and sys/internal/ui/mounts: what command lines and programs ask to find out which secrets engines there are. Here the tokens
 * that the process is admitted to. Others are answered as those that do not exist. Nothing is mounted or tuned by HTTP.
 */
import { z } from 'zod';
import type { TokenSummary } from '../tokens/service.ts';
import { Refusal } from './fault.ts';
import { defineRoute, noBody, type Call, type Reply, type Route } from './route.ts';
import { RESERVED, type TransitDeps } from './transit/call.ts';

const mount = z.object({
  accessor: z.string(),
  config: z.object({
    default_lease_ttl: z.int(),
    force_no_cache: z.boolean(),
    max_lease_ttl: z.int(),
  }),
  deprecation_status: z.string(),
  description: z.string(),
  external_entropy_access: z.boolean(),
  local: z.boolean(),
  options: z.null(),
  plugin_version: z.string(),
  running_plugin_version: z.string(),
  running_sha256: z.string(),
  seal_wrap: z.boolean(),
  type: z.literal('transit'),
  uuid: z.string(),
});
const mounts = z.record(z.string(), mount);

type Mount = z.output<typeof mount>;

/** The name that stands for the token of the default has that of the default's own as well. */
const DEFAULT = 'transit';

interface Deps extends TransitDeps {
  readonly version: string;
}

function describe({ version }: Deps, { label, serial }: TokenSummary): Mount {
  return {
    accessor: `transit_${serial}`,
    config: { default_lease_ttl: 0, force_no_cache: false, max_lease_ttl: 0 },
    deprecation_status: 'supported',
    description: `token ${label}`,
    ...{ external_entropy_access: false, local: true, options: null, plugin_version: '' },
    ...{ running_plugin_version: version, running_sha256: '', seal_wrap: false },
    ...{ type: 'transit', uuid: serial },
  };
}

function mountsOf(deps: Deps, { peer }: Call): Map<string, Mount> {
  const found = new Map<string, Mount>();
  for (const token of deps.tokens.tokens()) {
    if (!deps.tokens.mayUseToken(peer, token.label)) continue;
    const described = describe(deps, token);
    if (token.label === deps.defaultToken()) found.set(DEFAULT, described);
    if (token.label !== DEFAULT && !RESERVED.includes(token.label)) found.set(token.label, described);
  }
  return found;
}

function listOf(deps: Deps, call: Call): Record<string, Mount> {
  return Object.fromEntries([...mountsOf(deps, call)].map(([name, found]) => [`${name}/`, found]));
}

function findMount(deps: Deps, call: Call, refuse: (path: string) => Refusal): { path: string } & Mount {
  const name = call.params['mount'] ?? '';
  const found = mountsOf(deps, call).get(name);
  if (found === undefined) throw refuse(`${name}/`);
  return { path: `${name}/`, ...found };
}

function readMount(deps: Deps, call: Call): Reply {
  const refuse = (path: string): Refusal => new Refusal(400, `No secret engine mount at ${path}`);
  const { path: _, ...data } = findMount(deps, call, refuse);
  return { data };
}

/** What stands behind the mount in the path means nothing, as in Vault. */
function readPreflight(deps: Deps, call: Call): Reply {
  const why = "preflight capability check returned 403, please ensure client's policies grant access to path";
  return { data: findMount(deps, call, (path) => new Refusal(403, `${why} "${path}"`)) };
}

export function mountRoutes(deps: Deps): Route[] {
  const row = { methods: ['GET'], body: noBody } as const;
  const preflight = {
    ...{ ...row, answer: mount.extend({ path: z.string() }) },
    handle: (call: Call) => readPreflight(deps, call),
  };
  return [
    defineRoute({
      ...{ ...row, path: '/v1/sys/mounts', summary: 'The tokens that the process may use', answer: mounts },
      handle: (call) => ({ data: listOf(deps, call) }),
    }),
    defineRoute({
      ...{ ...row, path: '/v1/sys/mounts/:mount', summary: 'One of them', answer: mount },
      handle: (call) => readMount(deps, call),
    }),
    defineRoute({
      ...{ ...row, path: '/v1/sys/internal/ui/mounts', summary: 'The same, as command lines ask for it' },
      answer: z.object({ auth: z.object({}), secret: mounts }),
      handle: (call) => ({ data: { auth: {}, secret: listOf(deps, call) } }),
    }),
    defineRoute({ ...preflight, path: '/v1/sys/internal/ui/mounts/:mount', summary: 'One of them' }),
    defineRoute({
      ...{
        ...preflight,
        path: '/v1/sys/internal/ui/mounts/:mount/:below',
        summary: 'The same of a path below',
      },
    }),
    defineRoute({
      ...{ ...preflight, path: '/v1/sys/internal/ui/mounts/:mount/:below/:name' },
      summary: 'The same of a path further below',
    }),
  ];
}
