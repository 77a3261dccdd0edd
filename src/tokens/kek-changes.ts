/** Changes of the KEKs under which a token's key lies. No object is touched: what seals them stays the same key. */
import type { Peer } from '../access/peer.ts';
import type { BreakerState } from '../cache/cache-observer.ts';
import { SidekeyError } from '../errors.ts';
import type { Domain } from './domain.ts';
import type { KekRow, TokenRow } from './store-port.ts';

export interface KekSummary {
  readonly provider: string;
  /** false: the token key could not be wrapped under it yet, or there is none. */
  readonly wrapped: boolean;
  /** What is known of its service; null: the configuration has no such provider. */
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

/** `work` with the open token key (null while the token has none), again with a new lease when the first one ends under way. */
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

/** Rejects with arguments_bad, or with what a key service said. */
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

/** Only when another KEK opens the token key, now. Rejects with arguments_bad, or with what that one's service said. */
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

/** Wraps the token key anew under the newest version of every KEK: all of them, or none when one service is not there. */
export async function rotateKeks(domain: Domain, peer: Peer | null, token: TokenRow): Promise<void> {
  await withTokenKey(domain, token, (cell) => {
    if (cell === null) refuse(`token ${token.name} has no key yet`);
    return domain.tokenKeys.changeKeks(token, (now) =>
      Promise.all(now.map(({ provider }) => domain.keks.wrap(token, provider, cell))),
    );
  });
  domain.audit.token('token-rotated', peer, token, { keks: token.keks.length });
}
