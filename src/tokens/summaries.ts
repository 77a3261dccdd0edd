/** Tokens, keys and attributes as administrators see them. */
import { SidekeyError } from '../errors.ts';
import { CKA } from './cryptoki.ts';
import type { Domain } from './domain.ts';
import { isEachRecorded } from './key-use/each-use.ts';
import { listKeks } from './token-keys/kek-changes.ts';
import { kindOfKey, sizeBitsOf } from './named-keys/family.ts';
import type { View } from './objects/objects.ts';
import { isKey, kindOf, labelOf, type TokenObject } from './objects/token-object.ts';
import { PIN_TRIES } from './login/pin-check.ts';
import type { Attribute } from './ports.ts';
import type { KeySummary, TokenSummary } from './service.ts';
import type { TokenRow } from './store-port.ts';

export function summarizeToken(domain: Domain, token: TokenRow): TokenSummary {
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

export function listKeys(domain: Domain, tokens: readonly TokenRow[]): KeySummary[] {
  return tokens.flatMap((token) => {
    const stored = [...domain.objects.find(viewAll(token), new Map())];
    const inSessions = domain.sessionObjects.all().filter(({ tokenId }) => tokenId === token.id);
    return [...stored, ...inSessions, ...domain.resident.objects(token)].map((object) =>
      summarizeKey(domain, token, object),
    );
  });
}

export function demandToken(domain: Domain, name: string): TokenRow {
  const token = domain.catalogue.byName(name);
  if (token === null) throw new SidekeyError('token_not_recognized', `there is no token ${name}`);
  return token;
}

export function readAttributes(domain: Domain, name: string, handle: number): Attribute[] {
  const object = seeObject(domain, demandToken(domain, name), handle);
  return [...object.attributes].sort(([a], [b]) => a - b).map(([type, value]) => ({ type, value }));
}

/** The keeper reports numbers. A key destroyed since then, or of a session, no longer has a name. */
export function nameOfUsed(domain: Domain, slot: number, handle: number): { token: string; label: string } {
  const token = domain.catalogue.all().find((row) => row.slot === slot);
  if (token === undefined) return { token: '', label: '' };
  try {
    return { token: token.name, label: labelOf(seeObject(domain, token, handle)) };
  } catch {
    return { token: token.name, label: '' };
  }
}
