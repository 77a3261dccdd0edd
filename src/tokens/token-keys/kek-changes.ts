/** Changes the KEKs that wrap a token's key. No object is touched: the token key itself stays the same. */
import type { Peer } from '../../access/peer.ts';
import type { BreakerState } from '../../cache/cache-observer.ts';
import { SidekeyError } from '../../errors.ts';
import type { Domain } from '../domain.ts';
import type { KekRow, TokenRow } from '../store-port.ts';

export interface KekSummary {
  readonly provider: string;
  /** false: the token key has not been wrapped under this KEK yet, or there is no token key. */
  readonly wrapped: boolean;
  /** State of its key service; null: the configuration has no such provider. */
  readonly service: BreakerState | null;
}

export function listKeks(domain: Domain, { keks }: TokenRow): KekSummary[] {
  return keks.map(({ provider, wrapped }) => ({
    provider,
    wrapped: wrapped !== null,
    service: domain.keks.stateOf(provider),
  }));
}

function isMade({ wrapped }: KekRow): boolean {
  return wrapped !== null;
}

function refuse(message: string): never {
  throw new SidekeyError('arguments_bad', message);
}

const OPEN_TRIES = 3;

/**
 * Calls `work` with the open token key (null if there is none yet), and once more with a new lease if the
 * first one ends meanwhile.
 */
async function withTokenKey(
  domain: Domain,
  token: TokenRow,
  work: (cell: bigint | null) => Promise<void>,
): Promise<void> {
  if (!token.keks.some(isMade)) return work(null);
  for (let tries = 1; ; tries++) {
    const { cell } = await domain.tokenKeys.take(token);
    try {
      return await work(cell);
    } catch (error) {
      const hasEnded = error instanceof SidekeyError && error.code === 'cell_unknown';
      if (!hasEnded || tries >= OPEN_TRIES) throw error;
      domain.tokenKeys.cellEnded(cell);
    }
  }
}

/** Rejects with arguments_bad, or with the key service's error. */
export async function addKek(
  domain: Domain,
  peer: Peer | null,
  token: TokenRow,
  provider: string,
  isFirst: boolean,
): Promise<void> {
  if (domain.keks.stateOf(provider) === null) refuse(`the configuration has no provider ${provider}`);
  await withTokenKey(domain, token, (cell) =>
    domain.tokenKeys.changeKeks(token, async (now) => {
      if (now.some((kek) => kek.provider === provider))
        refuse(`token ${token.name} is under ${provider} already`);
      const none = { provider, wrapped: null, sealed: null };
      const kek = cell === null ? none : await domain.keks.wrap(token, provider, cell);
      return isFirst ? [kek, ...now] : [...now, kek];
    }),
  );
  domain.audit.token('token-kek-added', peer, token, { provider, first: isFirst });
}

/**
 * Only if another KEK can open the token key right now. Rejects with arguments_bad, or with that service's
 * error.
 */
export async function removeKek(
  domain: Domain,
  peer: Peer | null,
  token: TokenRow,
  provider: string,
): Promise<void> {
  await domain.tokenKeys.changeKeks(token, async (now) => {
    const gone = now.find((kek) => kek.provider === provider);
    const left = now.filter((kek) => kek !== gone);
    if (gone === undefined) refuse(`token ${token.name} is not under ${provider}`);
    if (left.length === 0)
      refuse(`${provider} holds the last KEK of token ${token.name}: its keys would be lost`);
    if (isMade(gone)) await proveAny(domain, token, left);
    return left;
  });
  domain.audit.token('token-kek-removed', peer, token, { provider });
}

async function proveAny(domain: Domain, token: TokenRow, left: readonly KekRow[]): Promise<void> {
  const made = left.filter(isMade);
  if (made.length === 0) refuse(`no other KEK holds the key of token ${token.name} yet`);
  await domain.keks.proveAny({ ...token, keks: made });
}

/**
 * Wraps the token key again under the newest version of every KEK: all of them, or none if one service is
 * unavailable.
 */
export async function rotateKeks(domain: Domain, peer: Peer | null, token: TokenRow): Promise<void> {
  await withTokenKey(domain, token, (cell) => {
    if (cell === null) refuse(`token ${token.name} has no key yet`);
    return domain.tokenKeys.changeKeks(token, (now) =>
      Promise.all(now.map(({ provider }) => domain.keks.wrap(token, provider, cell))),
    );
  });
  domain.audit.token('token-rotated', peer, token, { keks: token.keks.length });
}
