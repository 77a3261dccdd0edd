/** Random bytes of the key service behind a token. */
import { SidekeyError } from '../errors.ts';
import type { Provider } from './ports.ts';
import type { TokenRow } from './store-port.ts';

/** function_not_supported: the token's provider has no generator of its own. The caller wipes what comes. */
export function randomOf(
  providers: ReadonlyMap<string, Provider>,
  token: TokenRow,
  bytes: number,
): Promise<Buffer> {
  const random = providers.get(token.provider)?.random ?? null;
  if (random === null)
    throw new SidekeyError(
      'function_not_supported',
      `the provider of token ${token.name} has no random number generator`,
    );
  return random(bytes);
}
