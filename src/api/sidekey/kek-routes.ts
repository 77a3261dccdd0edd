/**
 * /v1/sidekey/tokens/...: the KEKs that wrap a token's key, for administrators, who also see the key
 * service's errors.
 */
import { z } from 'zod';
import { SidekeyError } from '../../errors.ts';
import type { TokenSummary } from '../../tokens/service.ts';
import type { AdminDeps, AdminRow } from './admin-routes.ts';
import { faultOf, Refusal } from '../fault.ts';
import type { Call, Reply } from '../route.ts';

const PROVIDER = /^[a-z][a-z0-9-]{0,63}$/;

const kek = z.object({
  provider: z.string(),
  wrapped: z.boolean(),
  service: z.enum(['closed', 'open', 'probing']).nullable(),
});
const count = z.int().min(0);
export const tokenAnswer = z.object({
  ...{ label: z.string(), slot: count, serial: z.string(), provider: z.string(), initialized: z.boolean() },
  ...{ userPinSet: z.boolean(), userPinLocked: z.boolean(), objects: count, tokenKeyOpen: z.boolean() },
  keks: z.array(kek),
});

type Change = (
  deps: AdminDeps,
  call: Call,
  token: string,
  provider: string,
) => Promise<TokenSummary> | TokenSummary;

function tell(error: unknown): never {
  if (!(error instanceof SidekeyError)) throw error;
  throw new Refusal(faultOf(error).status, `${error.code}: ${error.message}`);
}

function answering(change: Change): AdminRow['answerTo'] {
  return async (deps: AdminDeps, call: Call): Promise<Reply> => {
    const { token = '', provider = '' } = call.params;
    if (deps.tokens.tokens().every(({ label }) => label !== token)) throw new Refusal(404);
    if (provider !== '' && !PROVIDER.test(provider))
      throw new Refusal(400, 'there is no provider with this name');
    return { plain: await Promise.resolve(change(deps, call, token, provider)).catch(tell) };
  };
}

const shared = { form: 'plain', answer: tokenAnswer } as const;

export const KEK_ROWS: readonly AdminRow[] = [
  {
    ...shared,
    ...{ method: 'PUT', path: '/tokens/:token/keks/:provider', summary: 'Wrap a token key by one more KEK' },
    query: z.object({ first: z.enum(['true', 'false']).optional() }),
    answerTo: answering(({ tokens }, { peer, query }, token, provider) =>
      tokens.addKek(peer, token, provider, query['first'] === 'true'),
    ),
  },
  {
    ...shared,
    ...{ method: 'DELETE', path: '/tokens/:token/keks/:provider', summary: 'Forget a wrapped token key' },
    answerTo: answering(({ tokens }, { peer }, token, provider) => tokens.removeKek(peer, token, provider)),
  },
  {
    ...shared,
    ...{ method: 'POST', path: '/tokens/:token/rotate', summary: 'Wrap a token key anew by every KEK' },
    answerTo: answering(({ tokens }, { peer }, token) => tokens.rotateKeks(peer, token)),
  },
  {
    ...shared,
    ...{
      method: 'POST',
      path: '/tokens/:token/keys/:key/rotate',
      summary: 'Make a further version of a resident key',
    },
    answerTo: answering(({ tokens }, { peer, params }, token) =>
      tokens.rotateResident(peer, token, params['key'] ?? ''),
    ),
  },
  {
    ...shared,
    ...{ method: 'POST', path: '/tokens/:token/wipe', summary: 'Wipe a token key and all that it opened' },
    answerTo: answering(({ tokens }, { peer }, token) => tokens.wipeToken(peer, token)),
  },
];
