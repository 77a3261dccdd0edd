/**
 * Keys by name, as the Transit dialect of HTTP has them: the secret keys, or the pairs, whose CKA_LABEL is the name. The same
 * objects as in PKCS#11; access rules take the place of the PIN, as nobody can type one for a service.
 */
import { LRUCache } from 'lru-cache';
import { SidekeyError } from '../../errors.ts';
import type { Peer } from '../../access/peer.ts';
import { permittedOperations } from '../binder.ts';
import type { Certificate } from '../objects/certificate.ts';
import { CKA, CKM, CKO } from '../cryptoki.ts';
import { forgetDerived, takeDerived } from './derived-cells.ts';
import { revoke, type Domain } from '../domain.ts';
import { certificateOf, keepCertificates } from '../objects/key-certificates.ts';
import { recordedUse } from '../each-use.ts';
import { describeEnvelope } from './envelopes.ts';
import type { AccessOperation } from '../../access/operations.ts';
import { accessWordOf, demandAccess } from '../key-access.ts';
import { checkUse, findMechanism, mayBeUsed, USES } from '../key-use.ts';
import {
  findFamily,
  findNames,
  kindOfKey,
  sizeBitsOf,
  writePolicy,
  type KeyFamily,
  type KeyVersion,
} from './family.ts';
import { exportMaterial } from './export.ts';
import { findWrappingKey, importVersion, makeWrappingKey, WRAPPING_KEY } from './import.ts';
import { makeVersion, type NewVersion } from './maker.ts';
import { kindOfNext } from './recipes.ts';
import {
  createResident,
  destroyFamily,
  findResidentFamily,
  isUsedInService,
  makesInService,
  residentNames,
  useResident,
} from '../resident/named.ts';
import { rotateResident } from '../resident/rotation.ts';
import type { View } from '../objects/objects.ts';
import type { ResidentKey } from '../resident-port.ts';
import type { CellId } from '../ports.ts';
import type {
  KeyPolicy,
  NamedKey,
  NamedKeyUse,
  NewNamedKey,
  StreamKey,
  WrappedNamedKey,
} from '../service.ts';
import { checkStreams, makeStreamKey, openStreamKey } from './stream-keys.ts';
import type { TokenRow } from '../store-port.ts';
import { classOf, has, type TokenObject } from '../objects/token-object.ts';

const FAMILIES_MAX = 1000;
const DAY_MS = 86_400_000;
const EMPTY = Buffer.alloc(0);

/** Beside a key that has no mechanism for it stands a generic secret for its HMACs, made when first asked for. */
function hmacNameOf(name: string): string {
  return `${name}/hmac`;
}

/** What was found under a name, good until an object changes or (as dates of keys are whole days) the day does. */
interface Found {
  readonly changes: number;
  readonly day: number;
  readonly family: KeyFamily;
  readonly described: NamedKey;
}

export class NamedKeys {
  readonly #domain: Domain;
  readonly #found = new LRUCache<string, Found>({ max: FAMILIES_MAX });
  /** Names being changed: the second of two changes waits, and then sees what the first one did. */
  readonly #turns = new Map<string, Promise<void>>();

  constructor(domain: Domain) {
    this.#domain = domain;
  }

  #token(peer: Peer, name: string): TokenRow {
    const token = this.#domain.catalogue.byName(name);
    if (token !== null && this.#domain.catalogue.admits(peer, token)) return token;
    if (token !== null) this.#domain.audit.token('denied', peer, token, { reason: 'not admitted' });
    throw new SidekeyError('token_not_recognized', `there is no token ${name} for this process`);
  }

  #view(token: TokenRow): View {
    return { tokenId: token.id, client: null, seesPrivate: true };
  }

  /** Before a name (null: all names) is looked up: null when there is nothing to wait for. */
  settle(peer: Peer, tokenName: string, name: string | null): Promise<void> | null {
    const token = this.#token(peer, tokenName);
    const { resident, access } = this.#domain;
    if (resident.service(token) === null) return null;
    if (name === null) return resident.refresh(token);
    if (!access.sees(peer, tokenName, name) || this.#domain.envelopes.isEnvelope(token, name)) return null;
    const family = this.#find(token, name)?.family;
    if (family === undefined) return resident.refresh(token);
    // What is known is used at once (the service checks every use), and made young for the next one.
    if (isInService(family)) void resident.refresh(token).catch(() => undefined);
    return null;
  }

  list(peer: Peer, tokenName: string): string[] {
    const token = this.#token(peer, tokenName);
    const stored = findNames(this.#domain.objects, this.#view(token));
    const names = [...new Set([...stored, ...residentNames(this.#domain, token)])];
    const own = names.filter((name) => !name.endsWith(hmacNameOf('')) && name !== WRAPPING_KEY);
    const envelope = this.#domain.catalogue.envelope(token)?.key;
    const all = envelope === undefined ? own : [...own.filter((name) => name !== envelope), envelope];
    return all.filter((name) => this.#domain.access.sees(peer, tokenName, name));
  }

  #find(token: TokenRow, name: string): Found | null {
    if (name === '') return null;
    const key = `${token.id} ${name}`;
    const { objects, resident, clock } = this.#domain;
    const [changes, day] = [objects.changes + resident.changes, Math.floor(clock.now() / DAY_MS)];
    const known = this.#found.get(key);
    if (known !== undefined && known.changes === changes && known.day === day) return known;
    const family =
      findFamily(objects, this.#view(token), name) ?? findResidentFamily(this.#domain, token, name);
    if (family === null) return null;
    const found = { changes, day, family, described: this.#describe(token, family) };
    this.#found.set(key, found);
    return found;
  }

  #demand(token: TokenRow, name: string): Found {
    const found = this.#find(token, name);
    if (found !== null) return found;
    throw new SidekeyError('key_handle_invalid', `there is no key ${name} in this token`);
  }

  /** A key with which the rules let the peer do nothing is not there for it. */
  find(peer: Peer, tokenName: string, name: string): NamedKey | null {
    const token = this.#token(peer, tokenName);
    if (!this.#domain.access.sees(peer, tokenName, name)) return null;
    if (this.#domain.envelopes.isEnvelope(token, name)) return describeEnvelope(token, name);
    return this.#find(token, name)?.described ?? null;
  }

  /** token_not_recognized, or action_prohibited when the rules let it use the token but not do this. */
  #permitted(peer: Peer, tokenName: string, name: string, operation: AccessOperation): TokenRow {
    const token = this.#token(peer, tokenName);
    demandAccess(this.#domain, peer, token, name, operation);
    return this.#withoutEnvelope(token, name);
  }

  /** The name of the token's envelopes stands for these alone. */
  #withoutEnvelope(token: TokenRow, name: string): TokenRow {
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

  /** One change of a name at a time. */
  async #inTurn<T>(token: TokenRow, name: string, work: () => Promise<T> | T): Promise<T> {
    const ticket = `${token.id} ${name}`;
    const turn = (this.#turns.get(ticket) ?? Promise.resolve()).then(work);
    const ended = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#turns.set(ticket, ended);
    return turn.finally(() => this.#turns.get(ticket) === ended && this.#turns.delete(ticket));
  }

  async #make(peer: Peer | null, token: TokenRow, wanted: NewVersion): Promise<void> {
    for (const object of await makeVersion(this.#domain, token, wanted))
      this.#domain.audit.object('key-generated', peer, token, object, { version: wanted.version });
  }

  /** An existing name is left as it is and answered; the caller sees by its kind whether it is what it wanted. */
  async create(peer: Peer, tokenName: string, name: string, wanted: NewNamedKey): Promise<NamedKey> {
    const token = this.#permitted(peer, tokenName, name, 'create');
    if (name === '') throw new SidekeyError('arguments_bad', 'a key needs a name');
    await this.#inTurn(token, name, () => {
      if (this.#find(token, name) !== null) return undefined;
      if (makesInService(this.#domain, token)) return createResident(this.#domain, peer, token, name, wanted);
      return this.#make(peer, token, { ...wanted, name, version: 1, like: null });
    });
    return this.#demand(token, name).described;
  }

  /** Makes the next version, which may do what the latest may; older ones stay for what was made with them. */
  async rotate(peer: Peer, tokenName: string, name: string): Promise<NamedKey> {
    const token = this.#permitted(peer, tokenName, name, 'rotate');
    await this.#rotate(peer, token, name);
    return this.#demand(token, name).described;
  }

  /** By its period: nobody asked. */
  rotateByPeriod(token: TokenRow, name: string): Promise<void> {
    return this.#rotate(null, token, name);
  }

  #rotate(peer: Peer | null, token: TokenRow, name: string): Promise<void> {
    return this.#inTurn(token, name, () => {
      const { family, described } = this.#demand(token, name);
      if (isInService(family)) return rotateResident(this.#domain, peer, token, name);
      const kind = kindOfNext(described);
      if (kind === null) throw new SidekeyError('function_not_supported', `no key like ${name} is made here`);
      const { extractable: exportable, derived } = described;
      const version = family.latest.version + 1;
      return this.#make(peer, token, { kind, exportable, derived, name, version, like: family });
    });
  }

  /** The policy is durable when it resolves; versions below minAvailableVersion are destroyed for good. */
  async configure(
    peer: Peer,
    tokenName: string,
    name: string,
    change: Partial<KeyPolicy>,
  ): Promise<NamedKey> {
    const token = this.#permitted(peer, tokenName, name, 'administer');
    await this.#inTurn(token, name, async () => {
      const { family } = this.#demand(token, name);
      const policy = { ...family.policy, ...change };
      if (isInService(family)) return refusePolicy(family, policy);
      if (policy.minAvailableVersion > family.policy.minAvailableVersion)
        demandAccess(this.#domain, peer, token, name, 'destroy');
      const { main } = family.latest;
      const attributes = new Map([...main.attributes, ...writePolicy(policy)]);
      this.#domain.objects.replace({ ...main, attributes });
      this.#domain.audit.object('object-changed', peer, token, main, { ...change });
      for (const version of family.versions.values())
        if (version.version < policy.minAvailableVersion && version !== family.latest)
          await this.#destroy(peer, token, version);
    });
    return this.#demand(token, name).described;
  }

  /** Every version, and the HMAC key beside it. action_prohibited unless the policy allows it. */
  async delete(peer: Peer, tokenName: string, name: string): Promise<void> {
    const token = this.#permitted(peer, tokenName, name, 'destroy');
    await this.#inTurn(token, name, async () => {
      const { family } = this.#demand(token, name);
      if (!family.policy.deletionAllowed)
        throw new SidekeyError('action_prohibited', `key ${name} is not to be deleted`);
      if (isInService(family)) return destroyFamily(this.#domain, peer, token, family);
      const beside = this.#find(token, hmacNameOf(name))?.family.versions.values() ?? [];
      for (const version of [...family.versions.values(), ...beside])
        await this.#destroy(peer, token, version);
    });
  }

  /** The first of the chain is that of this version of the key. */
  async setCertificates(
    peer: Peer,
    tokenName: string,
    name: string,
    version: number,
    chain: readonly Certificate[],
  ): Promise<NamedKey> {
    const token = this.#permitted(peer, tokenName, name, 'administer');
    await this.#inTurn(token, name, () =>
      keepCertificates(this.#domain, peer, token, this.#version(token, name, version).main, chain),
    );
    return this.#demand(token, name).described;
  }

  async #destroy(peer: Peer, token: TokenRow, { main, shown }: KeyVersion): Promise<void> {
    const { objects, cells, audit } = this.#domain;
    for (const object of shown === null ? [main] : [shown, main]) {
      if (!has(object, CKA.DESTROYABLE))
        throw new SidekeyError('action_prohibited', 'the object has CKA_DESTROYABLE false');
      objects.remove(object);
      cells.forget(object.handle);
      await revoke(this.#domain, token.slot, object.handle);
      audit.object('object-destroyed', peer, token, object);
    }
  }

  async #wrappingKey(peer: Peer, token: TokenRow): Promise<KeyVersion> {
    await this.#inTurn(token, WRAPPING_KEY, async () => {
      if (findWrappingKey(this.#domain, token) !== null) return;
      for (const object of await makeWrappingKey(this.#domain, token))
        this.#domain.audit.object('key-generated', peer, token, object);
    });
    const found = findWrappingKey(this.#domain, token);
    if (found === null) throw new SidekeyError('internal', 'the wrapping key is gone');
    return found.latest;
  }

  async wrappingKey(peer: Peer, tokenName: string): Promise<Buffer> {
    return publicKeyInfoOf(await this.#wrappingKey(peer, this.#token(peer, tokenName))) ?? EMPTY;
  }

  async import(
    peer: Peer,
    tokenName: string,
    name: string,
    wanted: WrappedNamedKey,
    next: boolean,
  ): Promise<NamedKey> {
    const token = this.#permitted(peer, tokenName, name, next ? 'rotate' : 'create');
    const wrapping = await this.#wrappingKey(peer, token);
    await this.#inTurn(token, name, async () => {
      const like = this.#find(token, name)?.family ?? null;
      if ((like !== null) !== next)
        throw new SidekeyError('action_prohibited', `key ${name} is ${next ? 'not ' : ''}there`);
      if (like !== null && isInService(like))
        throw new SidekeyError('function_not_supported', `the versions of ${name} are made in its service`);
      const by = await this.#domain.cells.take(token, wrapping.main);
      const version = (like?.latest.version ?? 0) + 1;
      for (const object of await importVersion(this.#domain, token, by, { ...wanted, name, version, like }))
        this.#domain.audit.object('key-unwrapped', peer, token, object, { by: wrapping.main.uniqueId });
    });
    return this.#demand(token, name).described;
  }

  async export(peer: Peer, tokenName: string, name: string, number: number): Promise<Buffer> {
    const token = this.#permitted(peer, tokenName, name, 'export');
    const { main } = this.#version(token, name, number);
    const material = await exportMaterial(this.#domain, token, main);
    this.#domain.audit.object('key-exported', peer, token, main, { version: number });
    return material;
  }

  /** With the key that wraps a stream's key, if this peer may `use` it so. */
  #forStream(
    { peer, token, name, version }: { peer: Peer; token: TokenRow; name: string; version: number },
    use: 'wrap' | 'unwrap',
    work: (object: TokenObject) => Promise<StreamKey>,
  ): Promise<StreamKey> {
    const { main: object } = this.#version(this.#withoutEnvelope(token, name), name, version);
    const permitted = (): Promise<StreamKey> => {
      demandAccess(this.#domain, peer, token, name, accessWordOf(object, use));
      if (isUsedInService(object))
        throw new SidekeyError('function_not_supported', 'streams are for keys that are used on this host');
      checkStreams(object);
      checkUse(this.#domain, object, use, CKM.AES_GCM, this.#domain.clock.now());
      return work(object);
    };
    const each = { peer, token, object, use, mechanism: CKM.AES_GCM };
    return recordedUse(this.#domain, each, permitted, (key) => key.close());
  }

  async makeStreamKey(
    peer: Peer,
    tokenName: string,
    name: string,
    wanted: { readonly version: number; readonly aad: Buffer },
  ): Promise<StreamKey> {
    const token = this.#token(peer, tokenName);
    return this.#forStream({ peer, token, name, ...wanted }, 'wrap', (object) =>
      makeStreamKey(this.#domain, token, { ...wanted, object }),
    );
  }

  async openStreamKey(
    peer: Peer,
    tokenName: string,
    name: string,
    wanted: { readonly version: number; readonly aad: Buffer; readonly wrapped: Buffer },
  ): Promise<StreamKey> {
    const token = this.#token(peer, tokenName);
    return this.#forStream({ peer, token, name, ...wanted }, 'unwrap', (object) =>
      openStreamKey(this.#domain, token, { ...wanted, object }),
    );
  }

  async operate(
    peer: Peer,
    tokenName: string,
    name: string,
    use: NamedKeyUse,
    data: Buffer,
    signature?: Buffer,
  ): Promise<Buffer> {
    const token = this.#token(peer, tokenName);
    this.#withoutEnvelope(token, name);
    // Before the HMAC key is made.
    if (use.beside === 'hmac') demandAccess(this.#domain, peer, token, name, 'mac');
    const version = use.beside === 'hmac' ? await this.#hmacVersion(peer, token, name, use) : null;
    const object = objectFor(version ?? this.#version(token, name, use.version), use.operation);
    const each = { peer, token, object, use: use.operation, mechanism: use.mechanism.type };
    const work = (): Promise<Buffer> => {
      if (use.operation !== 'digest')
        demandAccess(this.#domain, peer, token, name, accessWordOf(object, use.operation));
      this.#check(object, use);
      if (isUsedInService(object)) return useResident(this.#domain, token, object, use, data, signature);
      return this.#operate(token, object, use, data, signature);
    };
    return recordedUse(this.#domain, each, work, (output) => output.fill(0));
  }

  #version(token: TokenRow, name: string, number: number): KeyVersion {
    const version = this.#demand(token, name).family.versions.get(number);
    if (version !== undefined) return version;
    throw new SidekeyError('key_handle_invalid', `key ${name} has no version ${number}`);
  }

  async #hmacVersion(peer: Peer, token: TokenRow, name: string, use: NamedKeyUse): Promise<KeyVersion> {
    if (isUsedInService(this.#version(token, name, use.version).main))
      throw new SidekeyError(
        'function_not_supported',
        `beside ${name}, which is in its service, is no HMAC key`,
      );
    const beside = hmacNameOf(name);
    const find = () => this.#find(token, beside)?.family.versions.get(use.version);
    const found = find();
    if (found !== undefined) return found;
    if (use.operation !== 'sign')
      throw new SidekeyError('signature_invalid', 'no HMAC was ever made with this key');
    const wanted = { kind: { kind: 'generic', sizeBits: 256 }, exportable: false, derived: false } as const;
    await this.#inTurn(token, beside, () =>
      find() === undefined
        ? this.#make(peer, token, { ...wanted, name: beside, version: use.version, like: null })
        : undefined,
    );
    return this.#version(token, beside, use.version);
  }

  #check(object: TokenObject, { operation, mechanism, context }: NamedKeyUse): void {
    const now = this.#domain.clock.now();
    if (operation === 'digest') throw new SidekeyError('function_not_supported', 'a digest needs no key');
    if (has(object, CKA.ALWAYS_AUTHENTICATE))
      throw new SidekeyError('user_not_logged_in', 'the key asks for a PIN at each use');
    const isDerived = has(object, CKA.SIDEKEY_DERIVED);
    if (isDerived !== (context != null))
      throw new SidekeyError('arguments_bad', 'a context is for derived keys, which need one');
    if (!isDerived) return checkUse(this.#domain, object, operation, mechanism.type, now);
    checkUse(this.#domain, object, 'derive', CKM.HKDF_DERIVE, now);
    findMechanism(this.#domain, object.tokenId, mechanism.type, USES[operation].flag);
    if (mechanism.type !== CKM.AES_GCM || !mayBeUsed(object, operation, now))
      throw new SidekeyError('key_function_not_permitted', `a derived key does not permit ${operation}`);
  }

  #take(token: TokenRow, object: TokenObject, context: Buffer | null): Promise<CellId> {
    if (context === null) return this.#domain.cells.take(token, object);
    return takeDerived(this.#domain, token, object, context);
  }

  /** A cell may end between opening and use; once more is enough, since its lease is then new. */
  async #operate(
    token: TokenRow,
    object: TokenObject,
    { operation, mechanism, context = null }: NamedKeyUse,
    data: Buffer,
    signature?: Buffer,
  ): Promise<Buffer> {
    const attempt = async (): Promise<Buffer> => {
      const cell = await this.#take(token, object, context);
      return this.#domain.keeper.operate(cell, operation, mechanism, data, signature);
    };
    return attempt().catch((error: unknown) => {
      if (!(error instanceof SidekeyError) || error.code !== 'cell_unknown') throw error;
      if (context === null) this.#domain.cells.forget(object.handle);
      else forgetDerived(this.#domain, object.handle, context);
      return attempt();
    });
  }
}

function isInService({ latest }: KeyFamily): boolean {
  return isUsedInService(latest.main);
}

function saltsOf({ signs }: ResidentKey): 'any' | 'digest' {
  const pss = signs.filter(({ scheme }) => scheme === 'rsa-pss');
  return pss.every(({ anySalt }) => anySalt === true) ? 'any' : 'digest';
}

/** To ask for what holds anyway, as clients do before they delete, is no change. */
function refusePolicy({ name, policy }: KeyFamily, wanted: KeyPolicy): void {
  if (Object.entries(policy).every(([field, value]) => Reflect.get(wanted, field) === value)) return;
  throw new SidekeyError('function_not_supported', `what holds for ${name} is set in its service`);
}

function publicKeyInfoOf({ main }: KeyVersion): Buffer | null {
  const info = main.attributes.get(CKA.PUBLIC_KEY_INFO) ?? EMPTY;
  return info.length === 0 ? null : info;
}

/** Encrypting and verifying is for the public half, where there is one. */
function objectFor({ main, shown }: KeyVersion, operation: NamedKeyUse['operation']): TokenObject {
  const isPublic = operation === 'encrypt' || operation === 'verify';
  const object = isPublic && classOf(main) === CKO.PRIVATE_KEY ? shown : main;
  if (object === null) throw new SidekeyError('key_handle_invalid', 'the public half of the key is gone');
  return object;
}
