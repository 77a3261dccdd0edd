/**
 * The key that seals a token's objects: made by the provider when the first object needs it, stored wrapped, opened once
 * per lease however many wait for it.
 */
import { SidekeyError } from '../errors.ts';
import type { DataKeyCache, OpenCell } from '../cache/data-key-cache.ts';
import type { Clock, Provider } from './ports.ts';
import type { TokenRow } from './store-port.ts';
import type { TokenCatalogue } from './token-catalogue.ts';

/** A lease with less than this part left is renewed before it is used: what it opens shall not end at once. */
const RENEW_BELOW = 0.1;

export class TokenKeys {
  readonly #cache: DataKeyCache;
  readonly #catalogue: TokenCatalogue;
  readonly #providers: ReadonlyMap<string, Provider>;
  readonly #clock: Clock;
  readonly #drop: (cell: bigint) => void;

  constructor(deps: {
    cache: DataKeyCache;
    catalogue: TokenCatalogue;
    providers: ReadonlyMap<string, Provider>;
    clock: Clock;
    drop: (cell: bigint) => void;
  }) {
    this.#cache = deps.cache;
    this.#catalogue = deps.catalogue;
    this.#providers = deps.providers;
    this.#clock = deps.clock;
    this.#drop = deps.drop;
  }

  static cacheKey(token: TokenRow): string {
    return `token ${token.serial}`;
  }

  isOpen(token: TokenRow): boolean {
    return this.#cache.peek(TokenKeys.cacheKey(token)) !== null;
  }

  /** The open token key. Rejects with the provider's error, or internal when the configuration lost the provider. */
  take(token: TokenRow): Promise<OpenCell> {
    const key = TokenKeys.cacheKey(token);
    const limits = this.#catalogue.limits(token);
    const open = this.#cache.peek(key);
    const leftMs = (open?.endsAt ?? Infinity) - this.#clock.monotonic();
    // The old cell is left to its lease: somebody may be opening an object with it.
    if (open !== null && leftMs < limits.anyMs * RENEW_BELOW) this.#cache.release(key);
    return this.#cache.take(key, limits, () => this.#open(token, limits.anyMs));
  }

  async #open(token: TokenRow, leaseMs: number): Promise<OpenCell> {
    // Before the call: the keeper's lease begins later, so that this side never believes in a cell too long.
    const endsAt = this.#clock.monotonic() + leaseMs;
    const wrapped = this.#catalogue.get(token.id)?.tokenKey ?? (await this.#create(token));
    const cell = await this.#provider(token).openDataKey(wrapped, this.#purpose(token), leaseMs);
    return { cell, endsAt };
  }

  /** The wrapped key is durable before anything is sealed under it. */
  async #create(token: TokenRow): Promise<Buffer> {
    const { cell, wrapped } = await this.#provider(token).createDataKey(this.#purpose(token));
    this.#drop(cell);
    if (this.#catalogue.get(token.id)?.serial !== token.serial)
      throw new SidekeyError('token_not_present', 'the token was initialized meanwhile');
    this.#catalogue.update(token.id, { tokenKey: wrapped });
    return wrapped;
  }

  #purpose({ serial }: TokenRow): string {
    return `token ${serial}`;
  }

  #provider({ provider: name, label }: TokenRow): Provider {
    const provider = this.#providers.get(name);
    if (provider !== undefined) return provider;
    throw new SidekeyError(
      'provider_refused',
      `token ${label} is under provider ${name}, which is not configured`,
    );
  }
}
