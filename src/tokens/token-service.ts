/** Implements TokenService (service.ts) for the keeper's connection, the HTTP API and the command line. */
import type { Peer } from '../access/peer.ts';
import { AutoRotation } from './named-keys/auto-rotation.ts';
import { SidekeyError } from '../errors.ts';
import { WireReader } from '../wire/buffer.ts';
import type { MessageName } from '../wire/tables.ts';
import { CKA } from './cryptoki.ts';
import { isEachRecorded } from './each-use.ts';
import { makeDomain, revoke, type Domain, type TokenServiceDeps } from './domain.ts';
import { rotateResident } from './resident/rotation.ts';
import { addKek, listKeks, removeKek, rotateKeks } from './kek-changes.ts';
import { listLeases, wipeLease, wipeLeases } from './leases.ts';
import { HANDLERS } from './messages/table.ts';
import { kindOfKey, sizeBitsOf } from './named-keys/family.ts';
import { NamedEnvelopes } from './named-keys/envelopes.ts';
import { NamedKeyChanges } from './named-keys/changes.ts';
import { NamedKeys } from './named-keys/named-keys.ts';
import { NamedKeyUses } from './named-keys/uses.ts';
import type { View } from './objects/objects.ts';
import { PIN_TRIES } from './pin-check.ts';
import { checkPinLength, hashPin } from './pins.ts';
import type { Attribute, CellSeen, ClientId } from './ports.ts';
import type { KeySummary, RoutedRequest, TokenService, TokenSummary } from './service.ts';
import { readSessionNote } from './objects/session-objects.ts';
import { randomOf } from './service-random.ts';
import type { TokenRow } from './store-port.ts';
import { isKey, kindOf, labelOf, type TokenObject } from './objects/token-object.ts';

export type { TokenServiceDeps } from './domain.ts';

async function handle(domain: Domain, request: RoutedRequest): Promise<Buffer> {
  const handler = HANDLERS.get(request.message);
  if (handler === undefined)
    throw new SidekeyError('wire_malformed', `the agent does not handle ${request.message}`);
  const attempt = (): Promise<Buffer> => handler(domain, request, new WireReader(request.body));
  try {
    const reply = await attempt().catch((error: unknown) => {
      if (isCellGone(error) && RETRIED.includes(request.message)) return attempt();
      throw error;
    });
    await domain.audit.durable();
    return reply;
  } finally {
    await domain.kept.settle();
  }
}

/**
 * Wraps `work`: it answers once its audit lines are on disk and no module keeps an answer that it changed.
 */
function audited<A extends readonly unknown[], R>(
  domain: Domain,
  work: (...asked: A) => Promise<R>,
): (...asked: A) => Promise<R> {
  return async (...asked) => {
    try {
      const result = await work(...asked);
      await domain.audit.durable();
      return result;
    } finally {
      await domain.kept.settle();
    }
  };
}

/**
 * A cell may close between lookup and use, before anything was stored. These messages are tried once more.
 * Not `create`, whose material the keeper hands out only once, nor messages with a PIN, which is wiped.
 */
const RETRIED: readonly string[] = [
  'get_attributes',
  'set_attributes',
  'copy',
  'generate_key',
  'generate_key_pair',
  'wrap_key',
  'unwrap_key',
  'derive_key',
] satisfies MessageName[];

function isCellGone(error: unknown): boolean {
  return error instanceof SidekeyError && error.code === 'cell_unknown';
}

/**
 * Takes over a cell that survived a restart of the agent. If its note is not understood, its lease ends it.
 */
function adopt(domain: Domain, seen: CellSeen): void {
  const { cell, owner, leftMs, note } = seen;
  if (note === null || note.length === 0 || domain.tokenKeys.adopt(seen)) return;
  const text = note.toString('latin1');
  const [, handle] = /^object (\d{1,15})$/.exec(text) ?? [];
  if (owner === null && handle !== undefined) return adoptObject(domain, cell, Number(handle), leftMs);
  const object = owner === null ? null : readSessionNote(note, owner, cell);
  if (object !== null && !domain.sessionObjects.has(object.handle)) domain.sessionObjects.put(object);
}

function adoptObject(domain: Domain, cell: bigint, handle: number, leftMs: number | null): void {
  const token = domain.catalogue.get(domain.store.object(handle)?.tokenId ?? 0);
  if (token === null) return domain.cells.drop(cell);
  domain.cells.adopt(cell, token.name, handle, leftMs);
}

/** Bindings that should have been removed while the keeper was unreachable still exist: remove all. */
async function attach(domain: Domain, boot: bigint, previousBoot: bigint | null): Promise<void> {
  if (boot !== previousBoot) {
    domain.cache.clear();
    domain.tokenKeys.keeperChanged();
    domain.sessionObjects.keeperChanged();
  }
  domain.logins.keeperIs(boot);
  const seen = await domain.keeper.clients();
  await Promise.all(seen.map((client) => domain.clients.open(client)));
  const present = new Set(seen.map(({ client }) => client));
  for (const id of domain.clients.ids()) if (!present.has(id)) await closeClient(domain, id);
  domain.logins.endGone((client) => domain.clients.ids().includes(client));
  for (const cell of await domain.keeper.cells()) adopt(domain, cell);
  for (const { slot } of domain.catalogue.all()) await revoke(domain, slot);
  domain.tokenKeys.prewarm();
}

/** Rules may have become stricter: drops every binding, those in progress included, and every kept answer. */
async function rulesChanged(domain: Domain): Promise<void> {
  for (const bind of domain.binds) bind.revoked = true;
  if (domain.keeper.pid === null) return;
  const slots = domain.catalogue.all().map(({ slot }) => slot);
  for (const slot of new Set([0, ...slots])) await domain.keeper.unbind(null, slot, null);
}

async function closeClient(domain: Domain, id: ClientId): Promise<void> {
  domain.sessionObjects.removeClient(id);
  domain.residentOperations.dropClient(id);
  await domain.clients.close(id);
}

function summarizeToken(domain: Domain, token: TokenRow): TokenSummary {
  return {
    label: token.name,
    slot: token.slot,
    serial: token.serial,
    provider: token.provider,
    initialized: true,
    userPinSet: token.userPin !== null,
    userPinLocked: token.userFailures >= PIN_TRIES,
    objects: domain.store.countObjects(token.id),
    tokenKeyOpen: domain.tokenKeys.isOpen(token),
    keks: listKeks(domain, token),
  };
}

function livesIn({ session, resident }: TokenObject): KeySummary['lives'] {
  if (resident !== undefined) return 'resident';
  return session === null ? 'enveloped' : 'session';
}

function summarizeKey(domain: Domain, token: TokenRow, object: TokenObject): KeySummary {
  const leftMs = domain.cells.leftMs(object.handle);
  return {
    token: token.name,
    slot: token.slot,
    handle: object.handle,
    uniqueId: object.uniqueId,
    label: labelOf(object),
    id: object.attributes.get(CKA.ID)?.toString('hex') ?? '',
    objectClass: kindOf(object),
    kind: isKey(object) ? kindOfKey(object) : kindOf(object),
    sizeBits: isKey(object) ? sizeBitsOf(object) : null,
    lives: livesIn(object),
    createdAt: new Date(object.createdAt).toISOString(),
    lease: leftMs === null ? null : { leftMs },
    audit: isEachRecorded(domain, token, object) ? 'each' : 'total',
  };
}

/** The view of the agent itself. */
function viewAll({ id }: TokenRow): View {
  return { tokenId: id, client: null, seesPrivate: true };
}

function seeObject(domain: Domain, token: TokenRow, handle: number): TokenObject {
  return domain.resident.get(token, handle) ?? domain.objects.get(viewAll(token), handle);
}

function listKeys(domain: Domain, tokens: readonly TokenRow[]): KeySummary[] {
  return tokens.flatMap((token) => {
    const stored = [...domain.objects.find(viewAll(token), new Map())];
    const inSessions = domain.sessionObjects.all().filter(({ tokenId }) => tokenId === token.id);
    return [...stored, ...inSessions, ...domain.resident.objects(token)].map((object) =>
      summarizeKey(domain, token, object),
    );
  });
}

function demandToken(domain: Domain, name: string): TokenRow {
  const token = domain.catalogue.byName(name);
  if (token === null) throw new SidekeyError('token_not_recognized', `there is no token ${name}`);
  return token;
}

function readAttributes(domain: Domain, name: string, handle: number): Attribute[] {
  const object = seeObject(domain, demandToken(domain, name), handle);
  return [...object.attributes].sort(([a], [b]) => a - b).map(([type, value]) => ({ type, value }));
}

async function createToken(
  domain: Domain,
  options: { label: string; provider: string; soPin: Buffer | null; userPin: Buffer | null },
): Promise<TokenSummary> {
  const { label, provider, soPin, userPin } = options;
  const hash = async (pin: Buffer | null): Promise<string | null> => {
    if (pin === null) return null;
    checkPinLength(pin);
    return hashPin(pin, domain.random, domain.pinCost).finally(() => pin.fill(0));
  };
  if (label === '' || Buffer.byteLength(label) > 32)
    throw new SidekeyError('arguments_bad', 'a token label has 1 to 32 bytes');
  const records = { soPin: await hash(soPin), userPin: await hash(userPin) };
  const token = domain.catalogue.add({ name: label, provider, ...records, createdAt: domain.clock.now() });
  domain.audit.token('token-created', null, token, { label });
  return summarizeToken(domain, token);
}

/** The keeper reports numbers. A key destroyed since then, or of a session, no longer has a name. */
function nameOfUsed(domain: Domain, slot: number, handle: number): { token: string; label: string } {
  const token = domain.catalogue.all().find((row) => row.slot === slot);
  if (token === undefined) return { token: '', label: '' };
  try {
    return { token: token.name, label: labelOf(seeObject(domain, token, handle)) };
  } catch {
    return { token: token.name, label: '' };
  }
}

/** Uses are counted in the keeper, which serves them without the agent, and recorded here in total. */
async function flushUsage(domain: Domain): Promise<void> {
  await domain.clients.pruneLogins();
  for (const process of domain.sessionObjects.awaited())
    if (!(await domain.clients.isAlive(process))) domain.sessionObjects.forget(process);
  const uses = [...(await domain.keeper.usage()), ...domain.residentOperations.takeUses()];
  for (const { client, uid, slot, handle, operation, times, bytes } of uses) {
    domain.cells.touch(handle);
    const token = domain.catalogue.all().find((each) => each.slot === slot);
    if (token !== undefined) domain.tokenKeys.touch(token);
    domain.audit.event('key-used', null, {
      ...{ client: Number(client), uid, slot, handle },
      ...nameOfUsed(domain, slot, handle),
      ...{ operation, times, bytes },
    });
  }
  domain.cache.sweep();
}

async function onToken(
  domain: Domain,
  name: string,
  work: (token: TokenRow) => Promise<void>,
): Promise<TokenSummary> {
  await work(demandToken(domain, name));
  return summarizeToken(domain, demandToken(domain, name));
}

function wipeToken(domain: Domain, peer: Peer | null, name: string): TokenSummary {
  const token = demandToken(domain, name);
  domain.tokenKeys.wipe(token, 'revoked');
  domain.audit.token('lease-wiped', peer, token);
  return summarizeToken(domain, token);
}

export function createTokenService(deps: TokenServiceDeps): TokenService {
  const domain = makeDomain(deps);
  const named = new NamedKeys(domain);
  const changes = new NamedKeyChanges(domain, named);
  const uses = new NamedKeyUses(domain, named);
  const envelopes = new NamedEnvelopes(domain);
  const rotation = new AutoRotation(
    domain,
    deps.timer,
    audited(domain, (token, name) => changes.rotateByPeriod(token, name)),
  );
  let knownBoot: bigint | null = null;
  return {
    handle: (request) => handle(domain, request),
    clientOpened: (seen) => domain.clients.open(seen),
    clientClosed: (client) => void closeClient(domain, client).catch(() => undefined),
    useEnded: (use) => domain.openUses.ended(use),
    cellEnded: (cell) => {
      if (domain.cache.cellEnded(cell) || domain.tokenKeys.cellEnded(cell)) return;
      domain.sessionObjects.removeCell(cell);
      domain.kept.changed();
      void domain.kept.settle();
    },
    keeperAttached: async (boot) => {
      domain.openUses.attached(boot);
      await attach(domain, boot, knownBoot);
      knownBoot = boot;
      rotation.start();
    },
    keeperLost: () => {
      domain.clients.forgetNumbers();
      domain.residentOperations.clear();
    },
    rulesChanged: () => rulesChanged(domain),
    tokens: () => domain.catalogue.all().map((token) => summarizeToken(domain, token)),
    createToken: (options) => createToken(domain, options),
    keys: (name) =>
      listKeys(domain, name === undefined ? domain.catalogue.all() : [demandToken(domain, name)]),
    keyAttributes: (name, handleNumber) => readAttributes(domain, name, handleNumber),
    leases: () => listLeases(domain),
    addKek: (peer, name, provider, isFirst) =>
      onToken(domain, name, (token) => addKek(domain, peer, token, provider, isFirst)),
    removeKek: (peer, name, provider) =>
      onToken(domain, name, (token) => removeKek(domain, peer, token, provider)),
    rotateResident: (peer, name, label) =>
      onToken(domain, name, (token) => rotateResident(domain, peer, token, label)),
    rotateKeks: (peer, name) => onToken(domain, name, (token) => rotateKeks(domain, peer, token)),
    wipeToken: (peer, name) => wipeToken(domain, peer, name),
    providerChanged: (provider) => domain.tokenKeys.recheck(provider),
    wipeLease: (peer, id) => wipeLease(domain, peer, id),
    wipeLeases: (peer) => wipeLeases(domain, peer),
    settleNamedKeys: (peer, token, name) => named.settle(peer, token, name),
    serviceRandom: async (peer, token, bytes) => randomOf(deps.providers, named.token(peer, token), bytes),
    mayUseToken: (peer, token) => named.admits(peer, token),
    listNamedKeys: (peer, token) => named.list(peer, token),
    findNamedKey: (peer, token, name) => named.find(peer, token, name),
    createNamedKey: audited(domain, (...asked) => changes.create(...asked)),
    rotateNamedKey: audited(domain, (...asked) => changes.rotate(...asked)),
    configureNamedKey: audited(domain, (...asked) => changes.configure(...asked)),
    deleteNamedKey: audited(domain, (...asked) => changes.delete(...asked)),
    wrappingKey: audited(domain, (...asked) => changes.wrappingKey(...asked)),
    importNamedKey: audited(domain, (...asked) => changes.import(...asked)),
    exportNamedKey: audited(domain, (...asked) => uses.export(...asked)),
    makeStreamKey: audited(domain, (...asked) => uses.makeStreamKey(...asked)),
    openStreamKey: (...asked) => uses.openStreamKey(...asked),
    sealEnvelope: (...asked) => envelopes.seal(...asked),
    openEnvelope: (...asked) => envelopes.open(...asked),
    setNamedKeyCertificates: audited(domain, (...asked) => changes.setCertificates(...asked)),
    operateNamedKey: (...asked) => uses.operate(...asked),
    operateNamedKeys: (...asked) => uses.operateMany(...asked),
    flushUsage: () => flushUsage(domain),
    close: async () => {
      rotation.close();
      await flushUsage(domain).catch(() => undefined);
      domain.tokenKeys.close();
      domain.store.close();
    },
  };
}
