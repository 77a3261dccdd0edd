/**
 * A TokenService that reports each operation by name, and how long each miss of the keeper took. Everything
 * else passes through.
 */
import { SidekeyError } from '../errors.ts';
import { NONCE_BYTES, type Clock, type NoncedItems, type Operation } from '../tokens/ports.ts';
import type { NamedKeyItem, RoutedRequest, TokenService } from '../tokens/service.ts';
import { OPERATE } from '../wire/tables.ts';
import type { ObserveOperation, PeerKind } from './operation-seen.ts';

export function resultOf(error: unknown): string {
  return error instanceof SidekeyError ? error.code : 'internal';
}

/** A use of a named key, before its result is known. */
interface NamedUse {
  readonly uid: number;
  readonly token: string;
  readonly key: string;
  readonly operation: Operation;
  readonly bytes: number;
}

interface Sum {
  readonly operation: Operation;
  readonly result: string;
  times: number;
  bytes: number;
}

/** Sums of many uses by operation and result: usually one row. */
function sumsOf(items: readonly NamedKeyItem[], resultAt: (index: number) => string): Sum[] {
  const sums: Sum[] = [];
  for (const [index, { use, data }] of items.entries()) {
    const { operation } = use;
    const result = resultAt(index);
    let sum = sums.find((each) => each.operation === operation && each.result === result);
    if (sum === undefined) sums.push((sum = { operation, result, times: 0, bytes: 0 }));
    sum.times += 1;
    sum.bytes += data.length;
  }
  return sums;
}

type Timing = Pick<Clock, 'monotonic'>;

function secondsSince(clock: Timing, startedAt: number): number {
  return (clock.monotonic() - startedAt) / 1000;
}

interface Watched {
  readonly tokens: TokenService;
  readonly peer: PeerKind;
  readonly observe: ObserveOperation;
  readonly clock: Timing;
}

async function observeUse(
  { peer, observe, clock }: Watched,
  { uid, token, key, operation, bytes }: NamedUse,
  work: () => Promise<Buffer>,
): Promise<Buffer> {
  const startedAt = clock.monotonic();
  const tell = (result: string): void => {
    const seconds = secondsSince(clock, startedAt);
    observe({ peer, uid, token, key, operation, result, times: 1, bytes, seconds });
  };
  try {
    const output = await work();
    tell('ok');
    return output;
  } catch (error) {
    tell(resultOf(error));
    throw error;
  }
}

function observeBatch({ tokens, peer, observe, clock }: Watched): TokenService['operateNamedKeys'] {
  return async (...asked) => {
    const [{ uid }, token, key, items] = asked;
    const startedAt = clock.monotonic();
    const tell = (resultAt: (index: number) => string): void => {
      const seconds = secondsSince(clock, startedAt);
      for (const sum of sumsOf(items, resultAt)) observe({ peer, uid, token, key, seconds, ...sum });
    };
    try {
      const outcomes = await tokens.operateNamedKeys(...asked);
      tell((index) => (Buffer.isBuffer(outcomes[index]) ? 'ok' : resultOf(outcomes[index])));
      return outcomes;
    } catch (error) {
      tell(() => resultOf(error));
      throw error;
    }
  };
}

/** What did not come about is asked for in another way, and observed there. */
function observeAtOnce({ tokens, peer, observe, clock }: Watched): TokenService['operateNamedKeyAtOnce'] {
  return (asking, token, key, use, items) => {
    const startedAt = clock.monotonic();
    let bytes = 0;
    const write: NoncedItems['write'] = (index, into, at) => {
      const end = items.write(index, into, at);
      if (end !== null) bytes += end - at - NONCE_BYTES;
      return end;
    };
    const outputs = tokens.operateNamedKeyAtOnce(asking, token, key, use, { ...items, write });
    if (outputs === null) return null;
    const { uid } = asking;
    const seen = { peer, uid, token, key, operation: use.operation, result: 'ok' } as const;
    observe({ ...seen, times: outputs.length, bytes, seconds: secondsSince(clock, startedAt) });
    return outputs;
  };
}

function observeEnvelope(
  watched: Watched,
  operation: 'encrypt' | 'decrypt',
  work: TokenService['sealEnvelope'],
): TokenService['sealEnvelope'] {
  return (...asked) => {
    const [{ uid }, token, key, , { length: bytes }] = asked;
    return observeUse(watched, { uid, token, key, operation, bytes }, () => work(...asked));
  };
}

/** For one of the agent's APIs. `observe` must not throw. */
export function observeNamedKeys(
  tokens: TokenService,
  peer: PeerKind,
  observe: ObserveOperation,
  clock: Timing,
): TokenService {
  const watched = { tokens, peer, observe, clock };
  return {
    ...tokens,
    operateNamedKey: (asking, token, key, use, data, signature) => {
      const named = { uid: asking.uid, token, key, operation: use.operation, bytes: data.length };
      return observeUse(watched, named, () =>
        tokens.operateNamedKey(asking, token, key, use, data, signature),
      );
    },
    operateNamedKeys: observeBatch(watched),
    operateNamedKeyAtOnce: observeAtOnce(watched),
    sealEnvelope: observeEnvelope(watched, 'encrypt', tokens.sealEnvelope),
    openEnvelope: observeEnvelope(watched, 'decrypt', tokens.openEnvelope),
  };
}

/** Only the last part of a resident operation, which asks the service. */
function pathOf({ message, body }: RoutedRequest): 'miss' | 'resident' | null {
  if (message === 'resolve') return 'miss';
  return message === 'resident_operate' && ((body[0] ?? 0) & OPERATE.final) !== 0 ? 'resident' : null;
}

/** For the keeper's connection. */
export function observeMisses(
  tokens: TokenService,
  observe: (path: 'miss' | 'resident', seconds: number) => void,
  clock: Timing,
): TokenService {
  const handle: TokenService['handle'] = async (request) => {
    const path = pathOf(request);
    if (path === null) return tokens.handle(request);
    const startedAt = clock.monotonic();
    try {
      return await tokens.handle(request);
    } finally {
      observe(path, secondsSince(clock, startedAt));
    }
  };
  return { ...tokens, handle };
}
