/**
 * auth/token: Vault's clients look up, renew and revoke their token. Whatever token they send, the answer
 * describes the process as the kernel sees it; there is nothing that expires.
 */
import { z } from 'zod';
import { Refusal } from './fault.ts';
import { defineRoute, noBody, type Call, type Reply, type Route } from './route.ts';

const answer = z.object({
  accessor: z.string(),
  creation_time: z.int(),
  creation_ttl: z.int(),
  display_name: z.string(),
  entity_id: z.string(),
  expire_time: z.null(),
  explicit_max_ttl: z.int(),
  id: z.string(),
  meta: z.record(z.string(), z.string()),
  num_uses: z.int(),
  orphan: z.boolean(),
  path: z.string(),
  policies: z.array(z.string()),
  renewable: z.boolean(),
  ttl: z.int(),
  type: z.string(),
});

/** In Vault, a ttl of 0 without expire_time is a token that does not expire. */
function lookUpSelf({ peer }: Call): Reply {
  const { pid, uid, gid, executable, unit } = peer;
  const meta = { pid: String(pid), uid: String(uid), gid: String(gid), executable, unit };
  const known = Object.entries(meta).filter(([, value]) => value !== null);
  const data: z.output<typeof answer> = {
    ...{ accessor: '', id: '', entity_id: '', display_name: `uid-${uid}`, path: 'auth/peer' },
    ...{ creation_time: 0, creation_ttl: 0, expire_time: null, explicit_max_ttl: 0, ttl: 0, num_uses: 0 },
    ...{ orphan: true, renewable: false, policies: [], type: 'service' },
    meta: Object.fromEntries(known) as Record<string, string>,
  };
  return { data };
}

function refuseRenewal(): never {
  throw new Refusal(400, 'lease is not renewable');
}

export function authRoutes(): Route[] {
  return [
    defineRoute({
      methods: ['GET'],
      path: '/v1/auth/token/lookup-self',
      summary: 'Who asks, as the kernel describes the process',
      body: noBody,
      answer,
      handle: lookUpSelf,
    }),
    defineRoute({
      methods: ['POST', 'PUT'],
      path: '/v1/auth/token/renew-self',
      summary: 'Refused: there are no leases to renew',
      body: noBody,
      form: 'empty',
      handle: refuseRenewal,
    }),
    defineRoute({
      methods: ['POST', 'PUT'],
      path: '/v1/auth/token/revoke-self',
      summary: 'Has no effect: permissions do not depend on a token',
      body: noBody,
      form: 'empty',
      handle: () => ({ empty: true }),
    }),
  ];
}
