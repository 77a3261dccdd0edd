/** The parts that message handlers and the service work with, assembled once from what `main` passes in. */
import { NO_OBSERVER, type CacheObserver, type LeaseEnd } from '../cache/cache-observer.ts';
import { DataKeyCache } from '../cache/data-key-cache.ts';
import { AuditTrail } from './audit-trail.ts';
import { Clients, type ReadPeer } from './clients.ts';
import { Denials } from './denials.ts';
import { EnvelopeKeys } from './named-keys/envelope-keys.ts';
import { Logins } from './login/logins.ts';
import { KeptAnswers } from './objects/kept-answers.ts';
import { OpenUses } from './key-use/open-uses.ts';
import { ObjectCells } from './objects/object-cells.ts';
import { Objects } from './objects/objects.ts';
import { PinMemo } from './login/pin-memo.ts';
import { DEFAULT_PIN_COST, type PinCost } from './login/pins.ts';
import type { AccessPolicy, AuditSink, Clock, Keeper, Provider, Timer } from './ports.ts';
import { SessionCopies } from './objects/session-copies.ts';
import { SessionObjects } from './objects/session-objects.ts';
import { ResidentObjects } from './resident/resident-objects.ts';
import { ResidentOperations } from './resident/operations.ts';
import type { TokenRow, TokenStore } from './store-port.ts';
import { TokenCatalogue, type TokenOptions } from './token-catalogue.ts';
import { TokenKeks } from './token-keys/token-keks.ts';
import { TokenKeys } from './token-keys/token-keys.ts';
import type { TokenObject } from './objects/token-object.ts';
import { Turns } from './turns.ts';

export interface TokenServiceDeps {
  readonly store: TokenStore;
  readonly keeper: Keeper;
  readonly providers: ReadonlyMap<string, Provider>;
  readonly access: AccessPolicy;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly timer: Timer;
  readonly random: (bytes: number) => Buffer;
  /** The kernel's boot ID: pids and start times are meaningless in another boot. */
  readonly boot: string;
  readonly readPeer: ReadPeer;
  /** The configured tokens; TokenService.createToken creates those missing from the store. */
  readonly tokens: readonly TokenOptions[];
  /** Offer a slot in which C_InitToken makes a token. */
  readonly createTokens: boolean;
  /** Provider of tokens that C_InitToken makes; default: the first. */
  readonly createProvider?: string;
  readonly pinCost?: PinCost;
  /** Maximum number of keys open in the keeper at once; default 1000. */
  readonly openKeysMax?: number;
  readonly observeCache?: CacheObserver;
}

/** A bind in progress: whatever withdraws the permission meanwhile sets `revoked`. */
export interface BindUnderWay {
  readonly slot: number;
  readonly handle: number;
  revoked: boolean;
}

export interface Domain {
  readonly keeper: Keeper;
  readonly store: TokenStore;
  readonly clock: Clock;
  readonly random: (bytes: number) => Buffer;
  readonly clients: Clients;
  readonly logins: Logins;
  readonly catalogue: TokenCatalogue;
  readonly sessionObjects: SessionObjects;
  readonly objects: Objects;
  readonly resident: ResidentObjects;
  readonly residentOperations: ResidentOperations;
  readonly keks: TokenKeks;
  readonly tokenKeys: TokenKeys;
  readonly cells: ObjectCells;
  /** Attribute changes by handle are exclusive; binds are shared. */
  readonly changes: Turns;
  readonly envelopes: EnvelopeKeys;
  readonly cache: DataKeyCache;
  readonly audit: AuditTrail;
  readonly access: AccessPolicy;
  readonly pinCost: PinCost;
  readonly pinMemo: PinMemo;
  /** The latest PIN check in progress, by token and role; the next one waits for it. */
  readonly pinTurns: Map<string, Promise<void>>;
  readonly createProvider: string;
  readonly denials: Denials;
  readonly binds: Set<BindUnderWay>;
  readonly openUses: OpenUses;
  readonly kept: KeptAnswers;
}

const OPEN_KEYS_MAX = 1000;

/** A number from 0 to 1, exclusive. */
function fractionOf(random: (bytes: number) => Buffer): number {
  return random(4).readUInt32BE() / 2 ** 32;
}

type TokenObjects = Pick<Domain, 'kept' | 'catalogue' | 'sessionObjects' | 'resident' | 'objects'>;

/** The objects of all tokens, wherever they are kept. */
function makeObjects(deps: TokenServiceDeps): TokenObjects {
  const { store, keeper, providers, clock, random } = deps;
  const kept = new KeptAnswers(keeper);
  const changed = (): void => kept.changed();
  const catalogue = new TokenCatalogue({ ...deps, changed });
  const sessionObjects = new SessionObjects(random);
  const resident = new ResidentObjects({ catalogue, providers, clock });
  const listResident = (id: number): readonly TokenObject[] => {
    const token = catalogue.get(id);
    return token === null ? [] : resident.objects(token);
  };
  const objects = new Objects(store, sessionObjects, listResident, changed);
  return { kept, catalogue, sessionObjects, resident, objects };
}

type OpenKeys = Pick<Domain, 'cache' | 'keks' | 'tokenKeys' | 'cells' | 'envelopes'>;

/** The keys that are open in the keeper, and what opens them. */
function makeOpenKeys(
  deps: TokenServiceDeps,
  { catalogue, sessionObjects, objects }: TokenObjects,
): OpenKeys {
  const { keeper, providers, clock, timer, random } = deps;
  const observe = deps.observeCache ?? NO_OBSERVER;
  const drop = (cell: bigint): void => void keeper.drop(cell).catch(() => undefined);
  const cache = new DataKeyCache({ max: deps.openKeysMax ?? OPEN_KEYS_MAX, clock, drop, observe });
  const outside = { keeper, clock, timer, random: () => fractionOf(random), observe };
  const envelopeProvider = (token: TokenRow): string => catalogue.configuredProvider(token);
  const keks = new TokenKeks({ ...outside, providers, envelopeProvider });
  const wipeObjects = (token: string, reason: LeaseEnd): void => {
    cache.forgetToken(token, reason);
    const id = catalogue.all().find(({ name }) => name === token)?.id ?? 0;
    for (const cell of sessionObjects.closeCopies(id)) drop(cell);
  };
  const tokenKeys = new TokenKeys({ ...outside, catalogue, keks, wipeObjects });
  const copies = new SessionCopies(keeper, sessionObjects);
  const stored = (handle: number): TokenObject | null => objects.stored(handle);
  return {
    ...{ cache, keks, tokenKeys },
    cells: new ObjectCells({ keeper, cache, catalogue, keys: tokenKeys, copies, stored, clock, random }),
    envelopes: new EnvelopeKeys({ keeper, keks, cache, catalogue, clock, random }),
  };
}

export function makeDomain(deps: TokenServiceDeps): Domain {
  const { store, keeper, providers, clock, random, access } = deps;
  const all = makeObjects(deps);
  const { catalogue, sessionObjects } = all;
  const logins = new Logins(store, deps.boot);
  const clients = new Clients(deps.readPeer, logins, (client, process) =>
    sessionObjects.connected(client, process),
  );
  const audit = new AuditTrail(deps.audit);
  return {
    ...{ store, keeper, clock, random, access, clients, logins, audit },
    ...all,
    ...makeOpenKeys(deps, all),
    residentOperations: new ResidentOperations(clock),
    changes: new Turns(),
    openUses: new OpenUses({ audit, clients, catalogue }),
    pinCost: deps.pinCost ?? DEFAULT_PIN_COST,
    pinMemo: new PinMemo(random, clock),
    pinTurns: new Map(),
    createProvider: deps.createProvider ?? [...providers.keys()][0] ?? '',
    denials: new Denials(clock),
    binds: new Set(),
  };
}

/**
 * Removes bindings; null means every client or every handle. An absent keeper is no failure: attaching to it
 * again removes all bindings.
 */
export async function revoke(
  domain: Domain,
  slot: number,
  handle: number | null = null,
  client: bigint | null = null,
): Promise<void> {
  for (const bind of domain.binds)
    if (bind.slot === slot && (handle === null || bind.handle === handle)) bind.revoked = true;
  await domain.keeper.unbind(client, slot, handle).catch(() => undefined);
}
