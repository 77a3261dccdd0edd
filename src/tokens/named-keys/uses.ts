/** Named keys in use: operations, keys of streams, export. Each is checked, and recorded where its key asks for that. */
import { SidekeyError } from '../../errors.ts';
import type { Peer } from '../../access/peer.ts';
import { CKA, CKM } from '../cryptoki.ts';
import { takeDerived } from './derived-cells.ts';
import { type Domain } from '../domain.ts';
import { recordedUse } from '../each-use.ts';
import { accessWordOf, demandAccess } from '../key-access.ts';
import { checkUse, findMechanism, mayBeUsed, USES } from '../key-use.ts';
import { type KeyVersion } from './family.ts';
import { exportMaterial } from './export.ts';
import { isUsedInService, useResident } from '../resident/named.ts';
import type { CellId } from '../ports.ts';
import type { NamedKeyUse, StreamKey } from '../service.ts';
import { checkStreams, makeStreamKey, openStreamKey } from './stream-keys.ts';
import type { TokenRow } from '../store-port.ts';
import { has, type TokenObject } from '../objects/token-object.ts';
import type { NamedKeys } from './named-keys.ts';
import { hmacNameOf, objectFor } from './versions.ts';

export class NamedKeyUses {
  readonly #domain: Domain;
  readonly #keys: NamedKeys;

  constructor(domain: Domain, keys: NamedKeys) {
    this.#domain = domain;
    this.#keys = keys;
  }

  async export(peer: Peer, tokenName: string, name: string, number: number): Promise<Buffer> {
    const token = this.#keys.permitted(peer, tokenName, name, 'export');
    const { main } = this.#keys.version(token, name, number);
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
    const { main: object } = this.#keys.version(this.#keys.withoutEnvelope(token, name), name, version);
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
    const token = this.#keys.token(peer, tokenName);
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
    const token = this.#keys.token(peer, tokenName);
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
    const token = this.#keys.token(peer, tokenName);
    this.#keys.withoutEnvelope(token, name);
    // Before the HMAC key is made.
    if (use.beside === 'hmac') demandAccess(this.#domain, peer, token, name, 'mac');
    const version = use.beside === 'hmac' ? await this.#hmacVersion(peer, token, name, use) : null;
    const object = objectFor(version ?? this.#keys.version(token, name, use.version), use.operation);
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

  async #hmacVersion(peer: Peer, token: TokenRow, name: string, use: NamedKeyUse): Promise<KeyVersion> {
    if (isUsedInService(this.#keys.version(token, name, use.version).main))
      throw new SidekeyError(
        'function_not_supported',
        `beside ${name}, which is in its service, is no HMAC key`,
      );
    const beside = hmacNameOf(name);
    const find = () => this.#keys.lookUp(token, beside)?.family.versions.get(use.version);
    const found = find();
    if (found !== undefined) return found;
    if (use.operation !== 'sign')
      throw new SidekeyError('signature_invalid', 'no HMAC was ever made with this key');
    const wanted = { kind: { kind: 'generic', sizeBits: 256 }, exportable: false, derived: false } as const;
    await this.#keys.inTurn(token, beside, () =>
      find() === undefined
        ? this.#keys.make(peer, token, { ...wanted, name: beside, version: use.version, like: null })
        : undefined,
    );
    await this.#domain.kept.settle();
    return this.#keys.version(token, beside, use.version);
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

  /**
   * A cell may end between opening and use; once more is enough, since its lease is then new. Only that cell is forgotten: others,
   * to whom the same happened, may be opening the key already.
   */
  async #operate(
    token: TokenRow,
    object: TokenObject,
    { operation, mechanism, context = null }: NamedKeyUse,
    data: Buffer,
    signature?: Buffer,
  ): Promise<Buffer> {
    let tried: CellId | null = null;
    const attempt = async (): Promise<Buffer> => {
      tried = await this.#take(token, object, context);
      return this.#domain.keeper.operate(tried, operation, mechanism, data, signature);
    };
    return attempt().catch((error: unknown) => {
      if (!(error instanceof SidekeyError) || error.code !== 'cell_unknown') throw error;
      if (tried !== null) this.#domain.cache.cellEnded(tried);
      return attempt();
    });
  }
}
