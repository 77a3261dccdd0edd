/**
 * Uses of named keys: operations, stream keys and export. Each is checked, and recorded if its key requires
 * it.
 */
import { SidekeyError } from '../../errors.ts';
import type { Peer } from '../../access/peer.ts';
import { CKA, CKM } from '../cryptoki.ts';
import { takeDerived } from './derived-cells.ts';
import { type Domain } from '../domain.ts';
import { isEachRecorded, recordedUse } from '../key-use/each-use.ts';
import { accessWordOf, demandAccess } from '../key-use/key-access.ts';
import { checkUse, findMechanism, mayBeUsed, USES } from '../key-use/key-use.ts';
import { type KeyVersion } from './family.ts';
import { demandExtractable, exportMaterial, mayLeave } from './export.ts';
import { isUsedInService, useResident } from '../resident/named.ts';
import { hasCellEnded, outcomeOf } from '../outcome.ts';
import type { CellId, NoncedItems, Outcome } from '../ports.ts';
import type { NamedKeyItem, NamedKeyUse, StreamKey } from '../service.ts';
import { checkStreams, makeStreamKey, openStreamKey } from './stream-keys.ts';
import type { TokenRow } from '../store-port.ts';
import { has, type TokenObject } from '../objects/token-object.ts';
import type { NamedKeys } from './named-keys.ts';
import { hmacNameOf, objectFor } from './versions.ts';

/** The positions of the items that share one kind of use; `use` is that of the first. */
interface SameUse {
  readonly use: NamedKeyUse;
  readonly at: number[];
}

function isSame(a: NamedKeyUse, b: NamedKeyUse): boolean {
  if (a.operation !== b.operation || a.version !== b.version || a.mechanism.type !== b.mechanism.type)
    return false;
  return a.beside === b.beside && (a.context ?? null) === (b.context ?? null);
}

/** Items of a batch are usually of one kind, so the group found last is compared first. */
function sameUses(items: readonly NamedKeyItem[]): SameUse[] {
  const found: SameUse[] = [];
  let last: SameUse | null = null;
  for (const [index, { use }] of items.entries()) {
    if (last === null || !isSame(last.use, use)) last = found.find((each) => isSame(each.use, use)) ?? null;
    if (last === null) found.push((last = { use, at: [] }));
    last.at.push(index);
  }
  return found;
}

/** More than enough: a new lease lasts longer than a use. */
const USE_TRIES = 4;

/** Made only where it is needed: an error for each item, in case, would take a third of a batch's time. */
function answered(outcome: Outcome | undefined): Outcome {
  return outcome ?? new SidekeyError('internal', 'an item of the batch was not answered');
}

export class NamedKeyUses {
  readonly #domain: Domain;
  readonly #keys: NamedKeys;

  constructor(domain: Domain, keys: NamedKeys) {
    this.#domain = domain;
    this.#keys = keys;
  }

  async export(
    peer: Peer,
    tokenName: string,
    name: string,
    wanted: Pick<NamedKeyUse, 'version' | 'beside'>,
  ): Promise<Buffer> {
    const token = this.#keys.permitted(peer, tokenName, name, 'export');
    const named = this.#keys.version(token, name, wanted.version);
    // Must precede the creation of the HMAC key.
    demandExtractable(named.main);
    const { main } = wanted.beside === 'hmac' ? await this.#hmacVersion(peer, token, name, wanted) : named;
    const material = await exportMaterial(this.#domain, token, main);
    this.#domain.audit.object('key-exported', peer, token, main, { version: wanted.version });
    return material;
  }

  /** Calls `work` with what gives the key that wraps the stream's key, as long as this peer may use it for `use`. */
  #forStream(
    { peer, token, name, version }: { peer: Peer; token: TokenRow; name: string; version: number },
    use: 'wrap' | 'unwrap',
    work: (by: () => TokenObject) => Promise<StreamKey>,
  ): Promise<StreamKey> {
    const find = (): TokenObject =>
      this.#keys.version(this.#keys.withoutEnvelope(token, name), name, version).main;
    const permitted = (): TokenObject => {
      const object = find();
      demandAccess(this.#domain, peer, token, name, accessWordOf(object, use));
      if (isUsedInService(object))
        throw new SidekeyError('function_not_supported', 'streams do not support resident keys');
      checkStreams(object);
      checkUse(this.#domain, object, use, CKM.AES_GCM, this.#domain.clock.now());
      return object;
    };
    const each = { peer, token, object: find(), use, mechanism: CKM.AES_GCM };
    return recordedUse(
      this.#domain,
      each,
      () => work(permitted),
      (key) => key.close(),
    );
  }

  async makeStreamKey(
    peer: Peer,
    tokenName: string,
    name: string,
    wanted: { readonly version: number; readonly aad: Buffer },
  ): Promise<StreamKey> {
    const token = this.#keys.token(peer, tokenName);
    return this.#forStream({ peer, token, name, ...wanted }, 'wrap', (by) =>
      makeStreamKey(this.#domain, token, { ...wanted, by }),
    );
  }

  async openStreamKey(
    peer: Peer,
    tokenName: string,
    name: string,
    wanted: { readonly version: number; readonly aad: Buffer; readonly wrapped: Buffer },
  ): Promise<StreamKey> {
    const token = this.#keys.token(peer, tokenName);
    return this.#forStream({ peer, token, name, ...wanted }, 'unwrap', (by) =>
      openStreamKey(this.#domain, token, { ...wanted, by }),
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
    const token = this.#keys.token(peer, tokenName);
    this.#keys.withoutEnvelope(token, name);
    // Must precede the creation of the HMAC key.
    if (use.beside === 'hmac') demandAccess(this.#domain, peer, token, name, 'mac');
    const version = use.beside === 'hmac' ? await this.#hmacVersion(peer, token, name, use) : null;
    const object = objectFor(version ?? this.#keys.version(token, name, use.version), use.operation);
    const each = { peer, token, object, use: use.operation, mechanism: use.mechanism.type };
    const work = (): Promise<Buffer> => {
      this.#demand(peer, token, name, object, use);
      if (isUsedInService(object)) return useResident(this.#domain, token, object, use, data, signature);
      return this.#operate(token, object, use, data, signature);
    };
    // To return a promise unawaited takes three turns of the microtask queue.
    return await recordedUse(this.#domain, each, work, (output) => output.fill(0));
  }

  /** Each kind of use is resolved and checked once for all its items. */
  async operateMany(
    peer: Peer,
    tokenName: string,
    name: string,
    items: readonly NamedKeyItem[],
  ): Promise<Outcome[]> {
    const token = this.#keys.token(peer, tokenName);
    this.#keys.withoutEnvelope(token, name);
    const kinds = sameUses(items);
    const [first] = kinds;
    if (first !== undefined && kinds.length === 1)
      return this.#operateSame({ peer, token, name }, first.use, items);
    const outcomes = new Array<Outcome>(items.length);
    const work = async ({ use, at }: SameUse): Promise<void> => {
      const same = at.map((index) => items[index]).filter((item) => item !== undefined);
      const ended = await this.#operateSame({ peer, token, name }, use, same);
      for (const [i, index] of at.entries()) outcomes[index] = answered(ended[i]);
    };
    await Promise.all(kinds.map(work));
    return outcomes;
  }

  /** Whatever stands against it is for operateMany to report. */
  operateAtOnce(
    peer: Peer,
    tokenName: string,
    name: string,
    use: NamedKeyUse,
    items: NoncedItems,
  ): Buffer[] | null {
    const cell = this.#openedFor(peer, this.#keys.token(peer, tokenName), name, use);
    return cell === null
      ? null
      : this.#domain.keeper.operateAtOnce(cell, use.operation, use.mechanism, items);
  }

  /** null: there is none that serves without being asked first, or not for this peer. */
  #openedFor(peer: Peer, token: TokenRow, name: string, use: NamedKeyUse): CellId | null {
    const { access, cells } = this.#domain;
    const { operation, beside, context = null } = use;
    if (operation === 'digest' || beside !== undefined || context !== null) return null;
    try {
      this.#keys.withoutEnvelope(token, name);
      const object = objectFor(this.#keys.version(token, name, use.version), operation);
      if (isUsedInService(object) || isEachRecorded(this.#domain, token, object)) return null;
      if (!access.permits(peer, token.name, name, accessWordOf(object, operation))) return null;
      this.#check(object, use);
      return cells.opened(object);
    } catch (error) {
      if (error instanceof SidekeyError) return null;
      throw error;
    }
  }

  async #operateSame(
    { peer, token, name }: { peer: Peer; token: TokenRow; name: string },
    use: NamedKeyUse,
    items: readonly NamedKeyItem[],
  ): Promise<Outcome[]> {
    const each = (): Promise<Outcome[]> =>
      Promise.all(
        items.map((item) =>
          outcomeOf(this.operate(peer, token.name, name, item.use, item.data, item.signature)),
        ),
      );
    if (use.beside !== undefined || use.context != null) return each();
    try {
      const object = objectFor(this.#keys.version(token, name, use.version), use.operation);
      if (isUsedInService(object) || isEachRecorded(this.#domain, token, object)) return await each();
      this.#demand(peer, token, name, object, use);
      return await this.#operateCell(token, object, use.operation, items);
    } catch (error) {
      if (error instanceof SidekeyError) return items.map(() => error);
      throw error;
    }
  }

  #demand(peer: Peer, token: TokenRow, name: string, object: TokenObject, use: NamedKeyUse): void {
    if (use.operation !== 'digest')
      demandAccess(this.#domain, peer, token, name, accessWordOf(object, use.operation));
    this.#check(object, use);
  }

  /** Items whose cell closed before they were begun are retried, as a single use is. */
  async #operateCell(
    token: TokenRow,
    object: TokenObject,
    operation: NamedKeyUse['operation'],
    items: readonly NamedKeyItem[],
  ): Promise<Outcome[]> {
    const { cache, keeper } = this.#domain;
    const asked = items.map(({ use: { mechanism }, data, signature }) => ({ mechanism, data, signature }));
    const outcomes = new Array<Outcome | undefined>(asked.length);
    let left = asked.map((_, index) => index);
    for (let tries = 0; tries < USE_TRIES && left.length > 0; tries++) {
      const cell = await this.#takeAnew(token, object);
      const again = tries === 0 ? asked : left.flatMap((index) => asked[index] ?? []);
      const done = await keeper.operateMany(cell, operation, again);
      for (const [i, index] of left.entries()) outcomes[index] = answered(done[i]);
      left = left.filter((index) => hasCellEnded(outcomes[index]));
      if (left.length > 0) cache.cellEnded(cell);
    }
    return Array.from(outcomes, answered);
  }

  /** The key's cell, also if what opened it was overtaken meanwhile. */
  async #takeAnew(token: TokenRow, object: TokenObject): Promise<CellId> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#domain.cells.take(token, object);
      } catch (error) {
        if (!hasCellEnded(error) || tries >= USE_TRIES) throw error;
      }
    }
  }

  /** Created when first needed, but not to verify. It is extractable if the key that it accompanies is. */
  async #hmacVersion(
    peer: Peer,
    token: TokenRow,
    name: string,
    { version, operation }: Pick<NamedKeyUse, 'version'> & Partial<NamedKeyUse>,
  ): Promise<KeyVersion> {
    const { main } = this.#keys.version(token, name, version);
    if (isUsedInService(main))
      throw new SidekeyError('function_not_supported', `${name} is a resident key and has no HMAC key`);
    const beside = hmacNameOf(name);
    const find = () => this.#keys.lookUp(token, beside)?.family.versions.get(version);
    const found = find();
    if (found !== undefined) return found;
    if (operation === 'verify') throw new SidekeyError('signature_invalid', 'this key has no HMAC key');
    const kind = { kind: 'generic', sizeBits: 256 } as const;
    const wanted = { kind, exportable: mayLeave(main), derived: false };
    await this.#keys.inTurn(token, beside, () =>
      find() === undefined
        ? this.#keys.make(peer, token, { ...wanted, name: beside, version, like: null })
        : undefined,
    );
    await this.#domain.kept.settle();
    return this.#keys.version(token, beside, version);
  }

  #check(object: TokenObject, { operation, mechanism, context }: NamedKeyUse): void {
    const now = this.#domain.clock.now();
    if (operation === 'digest') throw new SidekeyError('function_not_supported', 'digesting needs no key');
    if (has(object, CKA.ALWAYS_AUTHENTICATE))
      throw new SidekeyError('user_not_logged_in', 'the key needs a PIN for each use');
    const isDerived = has(object, CKA.SIDEKEY_DERIVED);
    if (isDerived !== (context != null))
      throw new SidekeyError(
        'arguments_bad',
        'derived keys require a context, and other keys do not accept one',
      );
    if (!isDerived) return checkUse(this.#domain, object, operation, mechanism.type, now);
    checkUse(this.#domain, object, 'derive', CKM.HKDF_DERIVE, now);
    findMechanism(this.#domain, object.tokenId, mechanism.type, USES[operation].flag);
    if (mechanism.type !== CKM.AES_GCM || !mayBeUsed(object, operation, now))
      throw new SidekeyError('key_function_not_permitted', `a derived key does not permit ${operation}`);
  }

  /** Mostly the key is open, and there is nothing to wait for. */
  #take(token: TokenRow, object: TokenObject, context: Buffer | null): CellId | Promise<CellId> {
    const { cells } = this.#domain;
    if (context !== null) return takeDerived(this.#domain, token, object, context);
    return cells.opened(object) ?? cells.take(token, object);
  }

  /**
   * A cell may close between opening and use, and so may its replacement if the token key's lease, which it
   * never outlasts, is about to end. Only the closed cell is forgotten: other requests in the same situation
   * may already be opening the key again.
   */
  async #operate(
    token: TokenRow,
    object: TokenObject,
    { operation, mechanism, context = null }: NamedKeyUse,
    data: Buffer,
    signature?: Buffer,
  ): Promise<Buffer> {
    for (let tries = 1; ; tries++) {
      let cell: CellId | null = null;
      try {
        const taken = this.#take(token, object, context);
        cell = taken instanceof Promise ? await taken : taken;
        return await this.#domain.keeper.operate(cell, operation, mechanism, data, signature);
      } catch (error) {
        if (!hasCellEnded(error) || tries >= USE_TRIES) throw error;
        if (cell !== null) this.#domain.cache.cellEnded(cell);
      }
    }
  }
}
