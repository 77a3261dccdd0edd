/** A TokenService that tells of each operation by name, and of how long a miss of the keeper took. The rest passes through. */
import { SidekeyError } from '../errors.ts';
import type { Clock } from '../tokens/ports.ts';
import type { TokenService } from '../tokens/service.ts';
import type { ObserveOperation, PeerKind } from './operation-seen.ts';

export function resultOf(error: unknown): string {
  return error instanceof SidekeyError ? error.code : 'internal';
}

/** For one door of the agent. `observe` must not throw. */
export function observeNamedKeys(
  tokens: TokenService,
  peer: PeerKind,
  observe: ObserveOperation,
  clock: Pick<Clock, 'monotonic'>,
): TokenService {
  const operateNamedKey: TokenService['operateNamedKey'] = async (...asked) => {
    const [{ uid }, token, key, { operation }, { length: bytes }] = asked;
    const startedAt = clock.monotonic();
    const tell = (result: string): void =>
      observe({
        ...{ peer, uid, token, key, operation, result, times: 1, bytes },
        seconds: (clock.monotonic() - startedAt) / 1000,
      });
    try {
      const output = await tokens.operateNamedKey(...asked);
      tell('ok');
      return output;
    } catch (error) {
      tell(resultOf(error));
      throw error;
    }
  };
  return { ...tokens, operateNamedKey };
}

/** For the keeper's connection. */
export function observeMisses(
  tokens: TokenService,
  observe: (seconds: number) => void,
  clock: Pick<Clock, 'monotonic'>,
): TokenService {
  const handle: TokenService['handle'] = async (request) => {
    if (request.message !== 'resolve') return tokens.handle(request);
    const startedAt = clock.monotonic();
    try {
      return await tokens.handle(request);
    } finally {
      observe((clock.monotonic() - startedAt) / 1000);
    }
  };
  return { ...tokens, handle };
}
