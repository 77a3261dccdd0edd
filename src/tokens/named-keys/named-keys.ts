/**
 * Keys by name, for the Transit dialect: the secret keys, or pairs, whose CKA_LABEL is the name. They are the
 * same objects as in PKCS#11, but access rules replace the PIN, as a service has nobody to type one. This
 * file finds keys and serialises their changes; changes.ts changes them, uses.ts uses them.
 */
import { LRUCache } from 'lru-cache';
import { SidekeyError } from '../../errors.ts';
import type { Peer } from '../../access/peer.ts';
import { permittedOperations } from '../key-use/binder.ts';
import { CKA } from '../cryptoki.ts';
import { type Domain } from '../domain.ts';
import { certificateOf } from '../objects/key-certificates.ts';
import { describeEnvelope } from './envelopes.ts';
import type { AccessOperation } from '../../access/operations.ts';
import { NOT_ADMITTED, recordDenied } from '../denials.ts';
import { demandAccess } from '../key-use/key-access.ts';
import { findFamily, findNames, kindOfKey, sizeBitsOf, type KeyFamily, type KeyVersion } from './family.ts';
import { WRAPPING_KEY } from './import.ts';
import { makeVersion, type NewVersion } from './maker.ts';
import { findResidentFamily, residentNames } from '../resident/named.ts';
import type { View } from '../objects/objects.ts';
import { recordMade } from '../recorded.ts';
import type { ResidentKey } from '../resident-port.ts';
import type { NamedKey } from '../service.ts';
import type { TokenRow } from '../store-port.ts';
import { has } from '../objects/token-object.ts';
import { hmacNameOf, isInService, publicKeyInfoOf } from './versions.ts';

const FAMILIES_MAX = 1000;
const DAY_MS = 86_400_000;

/** A lookup's result, valid until an object changes or (as key dates are whole days) the day ends. */
export interface Found {
  readonly changes: number;
  readonly day: number;
  readonly family: KeyFamily;
  readonly described: NamedKey;
}

export class NamedKeys {
  readonly #domain: Domain;
  readonly #found = new LRUCache<string, Found>({ max: FAMILIES_MAX });
  /** What was found last: a request looks its key up several times. */
  #last: { readonly token: number; readonly name: string; readonly found: Found } | null = null;
  /** Names being changed: a second change waits for the first, and sees its result. */
  readonly #turns = new Map<string, Promise<void>>();

  constructor(domain: Domain) {
    this.#domain = domain;
  }

  admits(peer: Peer, name: string): boolean {
    const token = this.#domain.catalogue.byName(name);
    return token !== null && this.#domain.catalogue.admits(peer, token);
  }

  token(peer: Peer, name: string): TokenRow {
    const token = this.#domain.catalogue.byName(name);
    if (token !== null && this.#domain.catalogue.admits(peer, token)) return token;
    if (token !== null) recordDenied(this.#domain, peer, token, NOT_ADMITTED);
    throw new SidekeyError('token_not_recognized', `there is no token ${name} for this process`);
  }

  #view(token: TokenRow): View {
    return { tokenId: token.id, client: null, seesPrivate: true };
  }

  /** Await this before looking up a name (null: all names). Returns null if there is nothing to wait for. */
  settle(peer: Peer, tokenName: string, name: string | null): Promise<void> | null {
    const token = this.token(peer, tokenName);
    const { resident, access } = this.#domain;
    if (resident.service(token) === null) return null;
    if (name === null) return resident.refresh(token);
    if (!access.sees(peer, tokenName, name) || this.#domain.envelopes.isEnvelope(token, name)) return null;
    const family = this.lookUp(token, name)?.family;
    if (family === undefined) return resident.refresh(token);
    // A known key is used at once (the service checks every use), and refreshed for the next time.
    if (isInService(family)) void resident.refresh(token).catch(() => undefined);
    return null;
  }

  list(peer: Peer, tokenName: string): string[] {
    const token = this.token(peer, tokenName);
    const stored = findNames(this.#domain.objects, this.#view(token));
    const names = [...new Set([...stored, ...residentNames(this.#domain, token)])];
    const own = names.filter((name) => !name.endsWith(hmacNameOf('')) && name !== WRAPPING_KEY);
    const envelope = this.#domain.catalogue.envelope(token)?.key;
    const all = envelope === undefined ? own : [...own.filter((name) => name !== envelope), envelope];
    return all.filter((name) => this.#domain.access.sees(peer, tokenName, name));
  }

  lookUp(token: TokenRow, name: string): Found | null {
    if (name === '') return null;
    const { objects, resident, clock } = this.#domain;
    const [changes, day] = [objects.changes + resident.changes, Math.floor(clock.now() / DAY_MS)];
    const known = this.#known(token.id, name);
    if (known !== undefined && known.changes === changes && known.day === day) return known;
    const family =
      findFamily(objects, this.#view(token), name) ?? findResidentFamily(this.#domain, token, name);
    if (family === null) return null;
    const found = { changes, day, family, described: this.#describe(token, family) };
    this.#found.set(`${token.id} ${name}`, found);
    this.#last = { token: token.id, name, found };
    return found;
  }

  #known(token: number, name: string): Found | undefined {
    if (this.#last?.token === token && this.#last.name === name) return this.#last.found;
    const found = this.#found.get(`${token} ${name}`);
    if (found !== undefined) this.#last = { token, name, found };
    return found;
  }

  demand(token: TokenRow, name: string): Found {
    const found = this.lookUp(token, name);
    if (found !== null) return found;
    throw new SidekeyError('key_handle_invalid', `there is no key ${name} in this token`);
  }

  /** A key that the rules do not let the peer use does not exist for it. */
  find(peer: Peer, tokenName: string, name: string): NamedKey | null {
    const token = this.token(peer, tokenName);
    if (!this.#domain.access.sees(peer, tokenName, name)) return null;
    if (this.#domain.envelopes.isEnvelope(token, name)) return describeEnvelope(token, name);
    return this.lookUp(token, name)?.described ?? null;
  }

  /**
   * token_not_recognized, or action_prohibited if the rules admit the peer to the token but not to this
   * operation.
   */
  permitted(peer: Peer, tokenName: string, name: string, operation: AccessOperation): TokenRow {
    const token = this.token(peer, tokenName);
    demandAccess(this.#domain, peer, token, name, operation);
    return this.withoutEnvelope(token, name);
  }

  /** The name of the token's envelope key is reserved for envelopes. */
  withoutEnvelope(token: TokenRow, name: string): TokenRow {
    if (!this.#domain.envelopes.isEnvelope(token, name)) return token;
    throw new SidekeyError('function_not_supported', `${name} is the envelope of token ${token.name}`);
  }

  #describe(token: TokenRow, { name, policy, latest, versions }: KeyFamily): NamedKey {
    const { main, shown } = latest;
    const operations = [main, shown].flatMap((object) =>
      object === null ? [] : permittedOperations(this.#domain, object),
    );
    return {
      ...{ name, policy, token: token.name, kind: kindOfKey(main), sizeBits: sizeBitsOf(main) ?? 0 },
      operations: [...new Set(operations)],
      extractable: has(main, CKA.EXTRACTABLE),
      derived: has(main, CKA.SIDEKEY_DERIVED),
      imported: !has(main, CKA.LOCAL),
      ...(main.resident === undefined ? {} : { resident: { salts: saltsOf(main.resident) } }),
      latestVersion: latest.version,
      versions: [...versions.values()].map((each) => ({
        version: each.version,
        createdAt: new Date(each.main.createdAt).toISOString(),
        publicKeyInfo: publicKeyInfoOf(each),
        certificate: certificateOf(this.#domain, token, each.main),
      })),
    };
  }

  /** One change per name at a time. */
  async inTurn<T>(token: TokenRow, name: string, work: () => Promise<T> | T): Promise<T> {
    const ticket = `${token.id} ${name}`;
    const turn = (this.#turns.get(ticket) ?? Promise.resolve()).then(work);
    const ended = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#turns.set(ticket, ended);
    return turn.finally(() => this.#turns.get(ticket) === ended && this.#turns.delete(ticket));
  }

  version(token: TokenRow, name: string, number: number): KeyVersion {
    const version = this.demand(token, name).family.versions.get(number);
    if (version !== undefined) return version;
    throw new SidekeyError('key_handle_invalid', `key ${name} has no version ${number}`);
  }

  async make(peer: Peer | null, token: TokenRow, wanted: NewVersion): Promise<void> {
    const { version } = wanted;
    const made = await makeVersion(this.#domain, token, wanted);
    recordMade(this.#domain, { peer, token }, 'key-generated', made, { version });
  }
}

function saltsOf({ signs }: ResidentKey): 'any' | 'digest' {
  const pss = signs.filter(({ scheme }) => scheme === 'rsa-pss');
  return pss.every(({ anySalt }) => anySalt === true) ? 'any' : 'digest';
}
