/**
 * The tokens and their slots: listing, visibility, creation and re-initialisation. Rows are kept in memory
 * and written through.
 */
import { SidekeyError } from '../errors.ts';
import { matchesGlob } from '../access/glob.ts';
import type { Peer } from '../access/peer.ts';
import type { CacheLimits } from '../cache/data-key-cache.ts';
import type { AccessPolicy, MechanismRow } from './ports.ts';
import type { KekRow, TokenChange, TokenRow, TokenStore } from './store-port.ts';

/** How keys of the provider's service appear on a token. */
export interface ResidentOptions {
  /** Only keys whose name has this prefix appear; labels omit it, and new keys get it. */
  readonly prefix: string;
  /** Maximum age of the key list when it is used. */
  readonly refreshMs: number;
  /** Whether C_GenerateKey, C_GenerateKeyPair and the HTTP API make keys in the service. */
  readonly create: boolean;
  /** Whether C_DestroyObject and the HTTP API destroy keys of the service. */
  readonly destroy: boolean;
}

/** Envelope encryption under the token's provider, for the HTTP API. */
export interface EnvelopeOptions {
  /** Its key name. */
  readonly key: string;
  /** Messages per data key. */
  readonly messages: number;
}

export interface KeyLimits {
  readonly keys: readonly string[];
  readonly limits: CacheLimits;
}

/** The HMAC key that accompanies a named key is matched by that name. */
const BESIDE = /\/hmac$/;

/** A token as configured. */
export interface TokenOptions {
  readonly label: string;
  readonly provider: string;
  readonly cache: CacheLimits;
  /** Limits for keys whose label matches a pattern; the first matching row applies. Default: none. */
  readonly cacheOfKeys?: readonly KeyLimits[];
  /** Whether the token key is opened when the agent starts. Default: false. */
  readonly prewarm?: boolean;
  /** none: no PIN; whoever is admitted sees private objects. Default: pin. */
  readonly login?: 'pin' | 'none';
  /** Whether legacy mechanisms are offered too. Default: false. */
  readonly legacy?: boolean;
  /** Whether only mechanisms approved by FIPS 140-3 are offered. Default: false. */
  readonly fips?: boolean;
  /** The envelope key; null or absent: none. */
  readonly envelope?: EnvelopeOptions | null;
  /** Label patterns of the keys whose every use is recorded. Default: none. */
  readonly auditEach?: readonly string[];
  /** null or absent: the service's keys are not shown. */
  readonly resident?: ResidentOptions | null;
}

export const DEFAULT_LIMITS: CacheLimits = { anyMs: 300_000, unusedMs: 300_000, uses: null, offlineMs: 0 };

function findLimits(rows: readonly KeyLimits[], label: string): CacheLimits | undefined {
  const names = [label, label.replace(BESIDE, '')];
  const isMeant = (pattern: string): boolean => names.some((name) => matchesGlob(name, pattern));
  return rows.find(({ keys }) => keys.some(isMeant))?.limits;
}

export class TokenCatalogue {
  readonly #store: TokenStore;
  readonly #access: AccessPolicy;
  readonly #random: (bytes: number) => Buffer;
  readonly #canCreate: boolean;
  readonly #options: ReadonlyMap<string, TokenOptions>;
  readonly #rows: Map<number, TokenRow>;
  readonly #changed: () => void;

  constructor(deps: {
    store: TokenStore;
    access: AccessPolicy;
    random: (bytes: number) => Buffer;
    tokens: readonly TokenOptions[];
    createTokens: boolean;
    /** Called on each change of a token. */
    changed: () => void;
  }) {
    this.#changed = deps.changed;
    this.#store = deps.store;
    this.#access = deps.access;
    this.#random = deps.random;
    this.#canCreate = deps.createTokens;
    this.#options = new Map(deps.tokens.map((token) => [token.label, token]));
    this.#rows = new Map(deps.store.tokens().map((row) => [row.id, row]));
  }

  all(): TokenRow[] {
    return [...this.#rows.values()];
  }

  get(id: number): TokenRow | null {
    return this.#rows.get(id) ?? null;
  }

  byName(name: string): TokenRow | null {
    for (const row of this.#rows.values()) if (row.name === name) return row;
    return null;
  }

  /** The limits for a key with this label; without a label, for the token key. */
  limits({ name }: TokenRow, label?: string): CacheLimits {
    const options = this.#options.get(name);
    const ofKey = label === undefined ? undefined : findLimits(options?.cacheOfKeys ?? [], label);
    return ofKey ?? options?.cache ?? DEFAULT_LIMITS;
  }

  /** The longest time the token key may stay open: the longest `any` plus `offline` of its keys. */
  longestMs(token: TokenRow): number {
    const ofKeys = this.#options.get(token.name)?.cacheOfKeys ?? [];
    const all = [this.limits(token), ...ofKeys.map(({ limits }) => limits)];
    return Math.max(...all.map(({ anyMs, offlineMs }) => anyMs + offlineMs));
  }

  isPrewarmed({ name }: TokenRow): boolean {
    return this.#options.get(name)?.prewarm ?? false;
  }

  /** Whether private objects are hidden until C_Login. A token without a PIN cannot be logged in to. */
  needsLogin({ name, soPin, userPin }: TokenRow): boolean {
    return this.#options.get(name)?.login !== 'none' && (soPin !== null || userPin !== null);
  }

  envelope({ name }: TokenRow): EnvelopeOptions | null {
    return this.#options.get(name)?.envelope ?? null;
  }

  /** The configured provider; KEKs of others may have been added since. */
  configuredProvider({ name, provider }: TokenRow): string {
    return this.#options.get(name)?.provider ?? provider;
  }

  recordsSome({ name }: TokenRow): boolean {
    return (this.#options.get(name)?.auditEach ?? []).length > 0;
  }

  recordsEach({ name }: TokenRow, key: string): boolean {
    const patterns = this.#options.get(name)?.auditEach ?? [];
    return patterns.some((pattern) => matchesGlob(key, pattern));
  }

  resident({ name }: TokenRow): ResidentOptions | null {
    return this.#options.get(name)?.resident ?? null;
  }

  /**
   * Whether a token offers mechanisms of this standing. A token that is no longer configured offers the
   * default ones.
   */
  offers(id: number, standing: MechanismRow['standing']): boolean {
    const options = this.#options.get(this.#rows.get(id)?.name ?? '');
    if (options?.fips === true) return standing === 'approved';
    return standing !== 'legacy' || options?.legacy === true;
  }

  admitted(peer: Peer): TokenRow[] {
    return this.all().filter(({ name }) => this.#access.admits(peer, name));
  }

  admits(peer: Peer, { name }: TokenRow): boolean {
    return this.#access.admits(peer, name);
  }

  /** The token in a slot, if the peer may see it; otherwise slot_id_invalid, whether it exists or not. */
  inSlot(peer: Peer, slot: number): TokenRow {
    const row = this.admitted(peer).find((token) => token.slot === slot);
    if (row !== undefined) return row;
    if (slot === this.freeSlot(peer))
      throw new SidekeyError('token_not_recognized', 'the token is not initialized');
    throw new SidekeyError('slot_id_invalid', `this process has no access to slot ${slot}`);
  }

  /**
   * The slot in which C_InitToken would create a token, always the last; null if the peer may not create one.
   */
  freeSlot(peer: Peer): number | null {
    return this.#canCreate && this.#access.mayCreateTokens(peer) ? this.#nextSlot() : null;
  }

  #nextSlot(): number {
    return Math.max(-1, ...this.all().map(({ slot }) => slot)) + 1;
  }

  newSerial(): string {
    return this.#random(8).toString('hex');
  }

  add(token: Pick<TokenRow, 'name' | 'provider' | 'soPin' | 'userPin' | 'createdAt'>): TokenRow {
    if (this.byName(token.name) !== null)
      throw new SidekeyError('arguments_bad', `a token named ${token.name} already exists`);
    const fresh = { soFailures: 0, userFailures: 0 };
    const place = { label: token.name, serial: this.newSerial(), slot: this.#nextSlot() };
    const row = this.#store.addToken({ ...token, ...fresh, ...place });
    this.#rows.set(row.id, row);
    return row;
  }

  /** Durable when it returns. */
  update(id: number, change: TokenChange): TokenRow {
    this.#store.updateToken(id, change);
    return this.#remember(id, change);
  }

  /** Removes the token's objects and key for good; `change` holds the new serial. */
  reset(id: number, change: TokenChange): TokenRow {
    this.#store.resetToken(id, change);
    const keks = this.#rows.get(id)?.keks.map(({ provider }) => ({ provider, wrapped: null, sealed: null }));
    return this.#remember(id, { ...change, keks: keks ?? [] });
  }

  /** Durable when it returns. In order of preference. */
  setKeks(id: number, keks: readonly KekRow[]): TokenRow {
    this.#store.setKeks(id, keks);
    return this.#remember(id, { keks, provider: keks[0]?.provider ?? '' });
  }

  #remember(id: number, change: Partial<TokenRow>): TokenRow {
    const before = this.#rows.get(id);
    if (before === undefined) throw new SidekeyError('internal', `token ${id} is not in the catalogue`);
    const after = { ...before, ...change };
    this.#rows.set(id, after);
    this.#changed();
    return after;
  }
}
