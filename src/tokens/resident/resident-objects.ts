/**
 * The keys of key services as objects of tokens. A token's list is fetched when somebody looks and it is
 * older than `refresh`, once however many look. While the service is unreachable, the old list stays in use
 * (every use asks the service anyway); a refusal ends it.
 */
import { LRUCache } from 'lru-cache';
import { SidekeyError } from '../../errors.ts';
import type { Clock, Provider } from '../ports.ts';
import type { ResidentKey, ResidentKeys } from '../resident-port.ts';
import type { TokenRow } from '../store-port.ts';
import type { ResidentOptions, TokenCatalogue } from '../token-catalogue.ts';
import { FIRST_PUBLIC_HANDLE, type TokenObject } from '../objects/token-object.ts';
import { objectsOf } from './objects.ts';
import { isPair, rowOf } from './specs.ts';

const KEYS_MAX = 1000;
/** Public keys never change for an id. */
const PUBLIC_KEYS_MAX = 4000;
const PUBLIC_KEYS_AT_ONCE = 8;
/** After a failure, the list is not requested again for this long. */
const PAUSE_MS = 2000;
/** Some services' lists lag: for this long, new keys are added to them and destroyed ones removed. */
const LAG_MS = 60_000;

interface Change {
  /** null: destroyed. */
  readonly key: ResidentKey | null;
  readonly until: number;
}

interface Listing {
  /** By handle, ascending; null: no list has been fetched yet. */
  objects: readonly TokenObject[] | null;
  askedAt: number;
  failure: SidekeyError | null;
  asking: Promise<void> | null;
  /** By the key's ID. */
  readonly changes: Map<string, Change>;
}

function isResidentHandle(handle: number): boolean {
  return handle >= FIRST_PUBLIC_HANDLE;
}

export class ResidentObjects {
  readonly #catalogue: TokenCatalogue;
  readonly #providers: ReadonlyMap<string, Provider>;
  readonly #clock: Clock;
  readonly #listings = new Map<string, Listing>();
  #changes = 0;
  readonly #publicKeys = new LRUCache<string, Buffer>({ max: PUBLIC_KEYS_MAX });

  constructor(deps: { catalogue: TokenCatalogue; providers: ReadonlyMap<string, Provider>; clock: Clock }) {
    this.#catalogue = deps.catalogue;
    this.#providers = deps.providers;
    this.#clock = deps.clock;
  }

  /** Changes whenever a list changes. */
  get changes(): number {
    return this.#changes;
  }

  /** The service behind a token's resident keys, with options; null: the token shows none. */
  service(token: TokenRow): { service: ResidentKeys; options: ResidentOptions } | null {
    const options = this.#catalogue.resident(token);
    const service = this.#providers.get(token.provider)?.resident ?? null;
    return options === null || service === null ? null : { service, options };
  }

  /** From the current list, ascending by handle. */
  objects(token: TokenRow): readonly TokenObject[] {
    return this.#listings.get(token.serial)?.objects ?? [];
  }

  /** The object, if it is in the current list. */
  get(token: TokenRow, handle: number): TokenObject | null {
    return this.objects(token).find((object) => object.handle === handle) ?? null;
  }

  /** Fetches the list if it is too old. Rejects if there is no list and the service returns none. */
  async refresh(token: TokenRow): Promise<void> {
    const source = this.service(token);
    if (source === null) return;
    const listing = this.#listingOf(token);
    const age = this.#clock.monotonic() - listing.askedAt;
    const isDue = age >= (listing.failure === null ? source.options.refreshMs : PAUSE_MS);
    if (listing.asking === null && isDue) this.#ask(token, listing, source.service, source.options);
    await listing.asking;
    if (listing.objects === null && listing.failure !== null) throw listing.failure;
  }

  /** Call this before looking up a handle: a process may know it from a previous agent. */
  async settle(token: TokenRow, handle: number): Promise<void> {
    if (isResidentHandle(handle) && this.get(token, handle) === null) await this.refresh(token);
  }

  #listingOf({ serial }: TokenRow): Listing {
    const known = this.#listings.get(serial);
    if (known !== undefined) return known;
    const fresh = { objects: null, askedAt: -Infinity, failure: null, asking: null, changes: new Map() };
    this.#listings.set(serial, fresh);
    return fresh;
  }

  #show(listing: Listing, objects: readonly TokenObject[] | null): void {
    listing.objects = objects;
    this.#changes++;
  }

  #ask(token: TokenRow, listing: Listing, service: ResidentKeys, options: ResidentOptions): void {
    listing.askedAt = this.#clock.monotonic();
    const before = listing.objects;
    listing.asking = this.#list(token, listing, service, options)
      .then((objects) => {
        listing.failure = null;
        // A key created or destroyed meanwhile may be missing from the list that was requested before:
        // request it again.
        if (listing.objects === before) this.#show(listing, objects);
        else listing.askedAt = -Infinity;
      })
      .catch((error: unknown) => {
        listing.failure =
          error instanceof SidekeyError
            ? error
            : new SidekeyError('internal', 'the list of keys is malformed', { cause: error });
        if (listing.failure.code === 'provider_refused') this.#show(listing, null);
      })
      .finally(() => {
        listing.asking = null;
      });
  }

  async #list(
    token: TokenRow,
    listing: Listing,
    service: ResidentKeys,
    options: ResidentOptions,
  ): Promise<TokenObject[]> {
    const listed = new Map((await service.list(options.prefix, KEYS_MAX)).map((key) => [key.id, key]));
    for (const [id, { key, until }] of listing.changes) {
      if (until < this.#clock.monotonic()) listing.changes.delete(id);
      else if (key === null) listed.delete(id);
      else if (!listed.has(id)) listed.set(id, key);
    }
    const [keys, made] = [[...listed.values()], new Map<number, TokenObject>()];
    for (let at = 0; at < keys.length; at += PUBLIC_KEYS_AT_ONCE) {
      const some = keys.slice(at, at + PUBLIC_KEYS_AT_ONCE);
      const objects = await Promise.all(some.map((key) => this.#objectsOf(token, service, key, options)));
      // A collision of two handles is not expected in any number of lifetimes; the first key is kept.
      for (const object of objects.flat()) if (!made.has(object.handle)) made.set(object.handle, object);
    }
    return [...made.values()].sort((a, b) => a.handle - b.handle);
  }

  /**
   * A key whose public half cannot be fetched does not hide the others; an unreachable service is another
   * matter.
   */
  async #objectsOf(
    token: TokenRow,
    service: ResidentKeys,
    key: ResidentKey,
    options: ResidentOptions,
  ): Promise<TokenObject[]> {
    try {
      const info = isPair(rowOf(key.spec)) ? await this.#publicKey(service, token, key) : null;
      return objectsOf(token, key, info, options);
    } catch (error) {
      if (error instanceof SidekeyError && error.code === 'provider_refused') return [];
      throw error;
    }
  }

  /** null: the service does not reveal it, and verifies itself. */
  async #publicKey(service: ResidentKeys, { provider }: TokenRow, key: ResidentKey): Promise<Buffer | null> {
    const name = `${provider} ${key.id}`;
    const known = this.#publicKeys.get(name);
    if (known !== undefined) return known;
    const info = await service.publicKey(key).catch(async (error: unknown) => {
      const isRefusal = error instanceof SidekeyError && error.code === 'provider_refused';
      if (isRefusal && (await service.verifies?.(key)) === true) return null;
      throw error;
    });
    if (info !== null) this.#publicKeys.set(name, info);
    return info;
  }

  /** Shows a key that was just created; returns its objects, the public one first. */
  async add(token: TokenRow, key: ResidentKey): Promise<TokenObject[]> {
    const source = this.service(token);
    if (source === null) throw new SidekeyError('internal', 'the token has no resident keys');
    const info = isPair(rowOf(key.spec)) ? await this.#publicKey(source.service, token, key) : null;
    const objects = objectsOf(token, key, info, source.options);
    const listing = this.#listingOf(token);
    listing.changes.set(key.id, { key, until: this.#clock.monotonic() + LAG_MS });
    const others = this.objects(token).filter(({ resident }) => resident?.id !== key.id);
    this.#show(
      listing,
      [...others, ...objects].sort((a, b) => a.handle - b.handle),
    );
    return objects;
  }

  /** Marks the current list as out of date. */
  expire(token: TokenRow): void {
    this.#listingOf(token).askedAt = -Infinity;
  }

  /** Hides a key that was destroyed just now. */
  remove(token: TokenRow, key: ResidentKey): void {
    const listing = this.#listingOf(token);
    // With a key some services destroy its other versions, of which the list alone tells from now on.
    for (const [id, change] of listing.changes) if (change.key?.name === key.name) listing.changes.delete(id);
    listing.changes.set(key.id, { key: null, until: this.#clock.monotonic() + LAG_MS });
    this.#show(
      listing,
      this.objects(token).filter(({ resident }) => resident?.id !== key.id),
    );
  }
}
