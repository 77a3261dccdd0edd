/**
 * The wrappings of a token's key: it is wrapped under one or more KEKs in different services, any of which
 * can open it. The first KEK's data key is the token key itself. Under every other KEK there is a separate
 * data key, with which the keeper seals the token key, so that the token key never crosses a service's
 * interface in the clear.
 */
import { CircuitBreaker } from '../../cache/circuit-breaker.ts';
import type { BreakerState, CacheObserver } from '../../cache/cache-observer.ts';
import { firstOf } from '../../cache/first-of.ts';
import { SidekeyError } from '../../errors.ts';
import { CKK, CKO } from '../cryptoki.ts';
import type { BareKek, CellId, Clock, Keeper, NewKey, Provider, Timer } from '../ports.ts';
import type { KekRow, TokenRow } from '../store-port.ts';

/** If a service has not answered for this long, the next KEK is tried in parallel. */
const PATIENCE_MS = 1000;
/** For a cell that only opens or seals another. */
const PASSING_LEASE_MS = 30_000;

export interface TokenKekDeps {
  readonly providers: ReadonlyMap<string, Provider>;
  readonly keeper: Keeper;
  readonly clock: Clock;
  readonly timer: Timer;
  /** From 0, below 1. */
  readonly random: () => number;
  readonly observe: CacheObserver;
  /** The token's configured provider: envelopes do not name their provider, so there must be only one. */
  readonly envelopeProvider: (token: TokenRow) => string;
}

const OUTCOMES: Readonly<Record<string, 'unreachable' | 'refused'>> = {
  provider_unreachable: 'unreachable',
  provider_refused: 'refused',
};

function outcomeOf(error: unknown): 'unreachable' | 'refused' | 'failed' {
  return (error instanceof SidekeyError ? OUTCOMES[error.code] : undefined) ?? 'failed';
}

/** The purpose of a data key: a service that binds purposes refuses to open one kind as the other. */
function purposeOf({ serial }: TokenRow, isTokenKey: boolean): string {
  return isTokenKey ? `token ${serial}` : `kek of token ${serial}`;
}

function sealData({ serial }: TokenRow, provider: string): Buffer {
  return Buffer.from(`sidekey sealed token key v1\0${serial}\0${provider}`, 'utf8');
}

function newAesKey(leaseMs: number): NewKey {
  const none = { owner: null, uses: null, note: null, seal: null };
  return { objectClass: CKO.SECRET_KEY, keyType: CKK.AES, leaseMs, ...none };
}

/** Combines errors into one: a refusal outweighs silence, since after a refusal nothing may continue. */
function combine(errors: readonly unknown[]): unknown {
  const known = errors.filter((error) => error instanceof SidekeyError);
  const refused = known.find(({ code }) => code === 'provider_refused');
  const worst = refused ?? known.find(({ code }) => code === 'provider_unreachable') ?? errors[0];
  if (!(worst instanceof SidekeyError) || errors.length === 1) return worst;
  const messages = known.map(({ message }) => message).join('; ');
  return new SidekeyError(worst.code, messages, { cause: worst });
}

export class TokenKeks {
  readonly #deps: TokenKekDeps;
  readonly #breakers = new Map<string, CircuitBreaker>();

  constructor(deps: TokenKekDeps) {
    this.#deps = deps;
    const { clock, random, observe } = deps;
    for (const provider of deps.providers.keys()) {
      const changed = (state: BreakerState): void => observe({ is: 'breaker-changed', provider, state });
      this.#breakers.set(provider, new CircuitBreaker({ name: provider, clock, random, changed }));
    }
  }

  /** null: the configuration has no such provider. */
  stateOf(provider: string): BreakerState | null {
    return this.#breakers.get(provider)?.state ?? null;
  }

  /**
   * Opens the token key into a cell with this lease, by the first KEK that succeeds. provider_unreachable
   * only if no service refused.
   */
  open(token: TokenRow, leaseMs: number): Promise<CellId> {
    return this.#first(
      token,
      token.keks.filter(({ wrapped }) => wrapped !== null),
      (kek) => this.#openBy(token, kek, leaseMs),
      (cell) => this.#drop(cell),
    );
  }

  /** Makes a token key by the first KEK that succeeds. The caller drops the cell. */
  create(token: TokenRow): Promise<{ cell: CellId; kek: KekRow }> {
    const make = async ({ provider }: KekRow): Promise<{ cell: CellId; kek: KekRow }> => {
      const made = await this.#ask(token, provider, (each) => each.createDataKey(purposeOf(token, true)));
      return { cell: made.cell, kek: { provider, wrapped: made.wrapped, sealed: null } };
    };
    return this.#first(token, token.keks, make, ({ cell }) => this.#drop(cell));
  }

  /** Wraps the token key in `cell` under a KEK's newest version, and proves that it can be opened. */
  async wrap(token: TokenRow, provider: string, cell: CellId): Promise<KekRow> {
    const purpose = purposeOf(token, false);
    const made = await this.#ask(token, provider, (each) => each.createDataKey(purpose));
    const sealed = await this.#deps.keeper
      .seal(cell, made.cell, sealData(token, provider))
      .finally(() => this.#drop(made.cell));
    const kek = { provider, wrapped: made.wrapped, sealed };
    await this.prove(token, kek);
    return kek;
  }

  /** Rejects unless this KEK can open the token key now. */
  async prove(token: TokenRow, kek: KekRow): Promise<void> {
    this.#drop(await this.#openBy(token, kek, PASSING_LEASE_MS));
  }

  /** Rejects unless one of the token's KEKs can open it now. */
  async proveAny(token: TokenRow): Promise<void> {
    this.#drop(await this.open(token, PASSING_LEASE_MS));
  }

  /** By the configured KEK alone, in the service's own format. Wipes the plaintext. */
  encrypt(token: TokenRow, plaintext: Buffer): Promise<Buffer> {
    return this.#askBare(token, (bare) => bare.encrypt(plaintext)).finally(() => plaintext.fill(0));
  }

  /** The caller wipes the result. */
  decrypt(token: TokenRow, ciphertext: Buffer): Promise<Buffer> {
    return this.#askBare(token, (bare) => bare.decrypt(ciphertext));
  }

  #askBare(token: TokenRow, call: (bare: BareKek) => Promise<Buffer>): Promise<Buffer> {
    return this.#ask(token, this.#deps.envelopeProvider(token), async ({ name, bare }) => {
      if (bare !== null) return call(bare);
      throw new SidekeyError('function_not_supported', `provider ${name} does not support envelopes`);
    });
  }

  #first<T>(
    token: TokenRow,
    keks: readonly KekRow[],
    way: (kek: KekRow) => Promise<T>,
    discard: (late: T) => void,
  ): Promise<T> {
    const there = keks.filter(({ provider }) => this.#deps.providers.has(provider));
    if (there.length === 0) {
      const names = token.keks.map(({ provider }) => provider).join(', ');
      const message = `token ${token.name} is under provider ${names}, which is not configured`;
      return Promise.reject(new SidekeyError('provider_refused', message));
    }
    const waysInOrder = there.map((kek) => () => way(kek));
    const options = { waysInOrder, patienceMs: PATIENCE_MS, timer: this.#deps.timer, discard };
    return firstOf(options).catch((error: unknown) => {
      throw error instanceof AggregateError ? combine(error.errors) : error;
    });
  }

  async #openBy(token: TokenRow, { provider, wrapped, sealed }: KekRow, leaseMs: number): Promise<CellId> {
    const key = wrapped ?? Buffer.alloc(0);
    const isTokenKey = sealed === null;
    const purpose = purposeOf(token, isTokenKey);
    const passing = isTokenKey ? leaseMs : PASSING_LEASE_MS;
    const cell = await this.#ask(token, provider, (each) => each.openDataKey(key, purpose, passing));
    if (isTokenKey) return cell;
    const made = await this.#deps.keeper
      .open(newAesKey(leaseMs), cell, sealData(token, provider), sealed)
      .finally(() => this.#drop(cell));
    return made.cell;
  }

  #ask<T>(token: TokenRow, name: string, call: (provider: Provider) => Promise<T>): Promise<T> {
    const { providers, clock, observe } = this.#deps;
    const [provider, breaker] = [providers.get(name), this.#breakers.get(name)];
    if (provider === undefined || breaker === undefined)
      return Promise.reject(new SidekeyError('arguments_bad', `there is no provider ${name}`));
    return breaker.run(async () => {
      const from = clock.monotonic();
      const told = { is: 'kek-asked', token: token.name, provider: name } as const;
      try {
        const answer = await call(provider);
        observe({ ...told, outcome: 'answered', tookMs: clock.monotonic() - from });
        return answer;
      } catch (error) {
        observe({ ...told, outcome: outcomeOf(error), tookMs: clock.monotonic() - from });
        throw error;
      }
    });
  }

  /** If the keeper is absent, the cell is gone anyway. */
  #drop(cell: CellId): void {
    this.#deps.keeper.drop(cell).catch(() => undefined);
  }
}
