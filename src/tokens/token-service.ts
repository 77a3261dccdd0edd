/** Implements TokenService (service.ts) for the keeper's connection, the HTTP API and the command line. */
import type { Peer } from '../access/peer.ts';
import { AutoRotation } from './named-keys/auto-rotation.ts';
import { SidekeyError } from '../errors.ts';
import { WireReader } from '../wire/buffer.ts';
import type { MessageName } from '../wire/tables.ts';
import { makeDomain, type Domain, type TokenServiceDeps } from './domain.ts';
import { attach, closeClient, rulesChanged } from './attach.ts';
import { demandToken, listKeys, nameOfUsed, readAttributes, summarizeToken } from './summaries.ts';
import { rotateResident } from './resident/rotation.ts';
import { addKek, removeKek, rotateKeks } from './token-keys/kek-changes.ts';
import { listLeases, wipeLease, wipeLeases } from './leases.ts';
import { HANDLERS } from './messages/table.ts';
import { NamedEnvelopes } from './named-keys/envelopes.ts';
import { NamedKeyChanges } from './named-keys/changes.ts';
import { NamedKeys } from './named-keys/named-keys.ts';
import { NamedKeyUses } from './named-keys/uses.ts';
import { checkPinLength, hashPin } from './login/pins.ts';
import type { RoutedRequest, TokenService, TokenSummary } from './service.ts';
import { randomOf } from './service-random.ts';
import type { TokenRow } from './store-port.ts';

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

/** What the keeper's connection calls. `rotation` starts once there is a keeper to make keys. */
function forKeeper(domain: Domain, rotation: AutoRotation) {
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
  } satisfies Partial<TokenService>;
}

function forAdministrators(domain: Domain) {
  return {
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
  } satisfies Partial<TokenService>;
}

/** For the HTTP API. Those that only read, or are recorded use by use, need not be `audited`. */
function forNamedKeys(
  domain: Domain,
  { providers }: TokenServiceDeps,
  named: NamedKeys,
  changes: NamedKeyChanges,
) {
  const uses = new NamedKeyUses(domain, named);
  const envelopes = new NamedEnvelopes(domain);
  return {
    settleNamedKeys: (peer, token, name) => named.settle(peer, token, name),
    serviceRandom: async (peer, token, bytes) => randomOf(providers, named.token(peer, token), bytes),
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
    operateNamedKey: uses.operate.bind(uses),
    operateNamedKeys: uses.operateMany.bind(uses),
    operateNamedKeyAtOnce: uses.operateAtOnce.bind(uses),
  } satisfies Partial<TokenService>;
}

export function createTokenService(deps: TokenServiceDeps): TokenService {
  const domain = makeDomain(deps);
  const named = new NamedKeys(domain);
  const changes = new NamedKeyChanges(domain, named);
  const rotate = audited(domain, (token: TokenRow, name: string) => changes.rotateByPeriod(token, name));
  const rotation = new AutoRotation(domain, deps.timer, rotate);
  return {
    ...forKeeper(domain, rotation),
    ...forAdministrators(domain),
    ...forNamedKeys(domain, deps, named, changes),
    flushUsage: () => flushUsage(domain),
    close: async () => {
      rotation.close();
      await flushUsage(domain).catch(() => undefined);
      domain.tokenKeys.close();
      domain.store.close();
    },
  };
}
