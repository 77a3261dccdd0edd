/** Shared by all Transit routes: a mount that names a token, and a key named in the path. */
import type { z } from 'zod';
import { SidekeyError } from '../../errors.ts';
import type { NamedKey, NamedKeyUse, TokenService } from '../../tokens/service.ts';
import { Refusal } from '../fault.ts';
import {
  defineRoute,
  type Call,
  type HandlePlain,
  type Method,
  type Reply,
  type Route,
  type RouteSchemas,
} from '../route.ts';

export interface TransitDeps {
  readonly tokens: TokenService;
  /** Label of the token served at /v1/transit. */
  readonly defaultToken: () => string;
}

export interface TransitCall extends Call {
  readonly tokens: TokenService;
  /** Label of the token mounted here. */
  readonly token: string;
}

export type TransitRoute = (deps: TransitDeps) => Route;

/** First segments that are no mounts, whatever tokens are called. */
export const RESERVED: readonly string[] = ['sys', 'sidekey', 'auth'];

/** `path` is relative to the mount. */
export function defineTransitRoute<Body>(
  row: RouteSchemas & {
    methods: readonly Method[];
    path: string;
    body: z.ZodType<Body>;
    handle: (call: TransitCall, body: Body) => Reply | Promise<Reply>;
    handlePlain?: (call: TransitCall, body: Buffer) => Reply | Promise<Reply> | null;
  },
): TransitRoute {
  const { path, handle, handlePlain, ...rest } = row;
  return (deps) =>
    defineRoute({
      ...rest,
      path: `/v1/:mount${path}`,
      handle: (call, parsed) => {
        const transit = mounted(deps, call);
        const settling = settle(transit, path);
        return settling === null ? handle(transit, parsed) : settling.then(() => handle(transit, parsed));
      },
      ...(handlePlain === undefined ? {} : { handlePlain: plainly(deps, path, handlePlain) }),
    });
}

function mounted(deps: TransitDeps, call: Call): TransitCall {
  return { ...call, tokens: deps.tokens, token: mountedToken(deps, call) };
}

/** The body is not kept while something must be awaited. */
function plainly(
  deps: TransitDeps,
  path: string,
  handle: (call: TransitCall, body: Buffer) => Reply | Promise<Reply> | null,
): HandlePlain {
  return (call, body) => {
    const transit = mounted(deps, call);
    return settle(transit, path) === null ? handle(transit, body) : null;
  };
}

/** Keys of a key service are known once its list has been fetched. */
function settle({ tokens, peer, token, params }: TransitCall, path: string): Promise<void> | null {
  const { name } = params;
  if (name === undefined && path !== '/keys') return null;
  return tokens.settleNamedKeys(peer, token, name ?? null);
}

/** Whether the token exists is for the token service to say, as is whether this peer may use it. */
function mountedToken(deps: TransitDeps, call: Call): string {
  const mount = call.params['mount'] ?? '';
  if (RESERVED.includes(mount)) throw new Refusal(404, 'no handler for route');
  return mount === 'transit' ? deps.defaultToken() : mount;
}

/** For requests without a key: only checks that the peer may use the token. No key has an empty name. */
export function admit(call: TransitCall): void {
  call.tokens.findNamedKey(call.peer, call.token, '');
}

export function nameOf(call: Call): string {
  return call.params['name'] ?? '';
}

/** The key that the path names, for an operation. */
export function requireKey(call: TransitCall, absent = 'encryption key not found'): NamedKey {
  const key = call.tokens.findNamedKey(call.peer, call.token, nameOf(call));
  if (key === null) throw new Refusal(400, absent);
  return key;
}

export function operate(call: TransitCall, key: NamedKey, use: NamedKeyUse, data: Buffer): Promise<Buffer> {
  return call.tokens.operateNamedKey(call.peer, call.token, key.name, use, data);
}

/** A wrong signature is an answer; any other failure is an error. */
export async function isVerified(
  call: TransitCall,
  key: NamedKey,
  use: Omit<NamedKeyUse, 'operation'>,
  data: Buffer,
  signature: Buffer,
): Promise<boolean> {
  const verify = { ...use, operation: 'verify' } as const;
  try {
    await call.tokens.operateNamedKey(call.peer, call.token, key.name, verify, data, signature);
    return true;
  } catch (error) {
    if (!(error instanceof SidekeyError)) throw error;
    if (error.code === 'signature_invalid' || error.code === 'signature_len_range') return false;
    throw error;
  }
}
