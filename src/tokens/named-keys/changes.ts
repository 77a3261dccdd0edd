/**
 * Creates, rotates, imports, configures and deletes named keys: one change per name at a time, each recorded
 * in the audit log.
 */
import { recordMade, removeRecorded, replaceRecorded } from '../recorded.ts';
import { SidekeyError } from '../../errors.ts';
import type { Peer } from '../../access/peer.ts';
import type { Certificate } from '../objects/certificate.ts';
import { CKA } from '../cryptoki.ts';
import { revoke, type Domain } from '../domain.ts';
import { keepCertificates } from '../objects/key-certificates.ts';
import { demandAccess, demandMaking } from '../key-use/key-access.ts';
import { writePolicy, type KeyFamily, type KeyVersion } from './family.ts';
import { findWrappingKey, importVersion, makeWrappingKey, WRAPPING_KEY } from './import.ts';
import { kindOfNext } from './recipes.ts';
import { createResident, destroyFamily, makesInService } from '../resident/named.ts';
import { rotateResident } from '../resident/rotation.ts';
import type { KeyPolicy, NamedKey, NewNamedKey, WrappedNamedKey } from '../service.ts';
import type { TokenRow } from '../store-port.ts';
import { has } from '../objects/token-object.ts';
import type { NamedKeys } from './named-keys.ts';
import { hmacNameOf, isInService, publicKeyInfoOf } from './versions.ts';

export class NamedKeyChanges {
  readonly #domain: Domain;
  readonly #keys: NamedKeys;

  constructor(domain: Domain, keys: NamedKeys) {
    this.#domain = domain;
    this.#keys = keys;
  }

  /** Returns an existing key unchanged; its kind tells the caller whether it is the one wanted. */
  async create(peer: Peer, tokenName: string, name: string, wanted: NewNamedKey): Promise<NamedKey> {
    const token = this.#keys.permitted(peer, tokenName, name, 'create');
    if (name === '') throw new SidekeyError('arguments_bad', 'a key needs a name');
    await this.#keys.inTurn(token, name, () => {
      if (this.#keys.lookUp(token, name) !== null) return undefined;
      if (makesInService(this.#domain, token)) return createResident(this.#domain, peer, token, name, wanted);
      return this.#keys.make(peer, token, { ...wanted, name, version: 1, like: null });
    });
    return this.#keys.demand(token, name).described;
  }

  /**
   * Creates the next version, with the permissions of the latest; older versions stay usable for existing
   * data.
   */
  async rotate(peer: Peer, tokenName: string, name: string): Promise<NamedKey> {
    const token = this.#keys.permitted(peer, tokenName, name, 'rotate');
    await this.#rotate(peer, token, name);
    return this.#keys.demand(token, name).described;
  }

  /** By the policy's period: no peer asked. */
  rotateByPeriod(token: TokenRow, name: string): Promise<void> {
    return this.#rotate(null, token, name);
  }

  #rotate(peer: Peer | null, token: TokenRow, name: string): Promise<void> {
    return this.#keys.inTurn(token, name, () => {
      const { family, described } = this.#keys.demand(token, name);
      if (isInService(family)) return rotateResident(this.#domain, peer, token, name);
      const kind = kindOfNext(described);
      if (kind === null)
        throw new SidekeyError('function_not_supported', `keys like ${name} cannot be created here`);
      const { extractable: exportable, derived } = described;
      const version = family.latest.version + 1;
      return this.#keys.make(peer, token, { kind, exportable, derived, name, version, like: family });
    });
  }

  /** The policy is durable when it resolves; versions below minAvailableVersion are destroyed for good. */
  async configure(
    peer: Peer,
    tokenName: string,
    name: string,
    change: Partial<KeyPolicy>,
  ): Promise<NamedKey> {
    const token = this.#keys.permitted(peer, tokenName, name, 'administer');
    await this.#keys.inTurn(token, name, async () => {
      const { family } = this.#keys.demand(token, name);
      const policy = { ...family.policy, ...change };
      if (isInService(family)) return refusePolicy(family, policy);
      if (policy.minAvailableVersion > family.policy.minAvailableVersion)
        demandAccess(this.#domain, peer, token, name, 'destroy');
      const { main } = family.latest;
      const attributes = new Map([...main.attributes, ...writePolicy(policy)]);
      const both = { before: main, after: { ...main, attributes } };
      replaceRecorded(this.#domain, { peer, token }, both, { ...change });
      for (const version of family.versions.values())
        if (version.version < policy.minAvailableVersion && version !== family.latest)
          await this.#destroy(peer, token, version);
    });
    return this.#keys.demand(token, name).described;
  }

  /** Deletes every version and the accompanying HMAC key. action_prohibited unless the policy allows it. */
  async delete(peer: Peer, tokenName: string, name: string): Promise<void> {
    const token = this.#keys.permitted(peer, tokenName, name, 'destroy');
    await this.#keys.inTurn(token, name, async () => {
      const { family } = this.#keys.demand(token, name);
      if (!family.policy.deletionAllowed)
        throw new SidekeyError('action_prohibited', `deletion of key ${name} is not allowed`);
      if (isInService(family)) return destroyFamily(this.#domain, peer, token, family);
      const beside = this.#keys.lookUp(token, hmacNameOf(name))?.family.versions.values() ?? [];
      for (const version of [...family.versions.values(), ...beside])
        await this.#destroy(peer, token, version);
    });
  }

  /** The first certificate of the chain is for this version of the key. */
  async setCertificates(
    peer: Peer,
    tokenName: string,
    name: string,
    version: number,
    chain: readonly Certificate[],
  ): Promise<NamedKey> {
    const token = this.#keys.permitted(peer, tokenName, name, 'administer');
    await this.#keys.inTurn(token, name, () =>
      keepCertificates(this.#domain, peer, token, this.#keys.version(token, name, version).main, chain),
    );
    return this.#keys.demand(token, name).described;
  }

  async #destroy(peer: Peer, token: TokenRow, { main, shown }: KeyVersion): Promise<void> {
    for (const object of shown === null ? [main] : [shown, main]) {
      if (!has(object, CKA.DESTROYABLE))
        throw new SidekeyError('action_prohibited', 'the object has CKA_DESTROYABLE false');
      removeRecorded(this.#domain, peer, token, object);
      this.#domain.cells.forget(object.handle);
      await revoke(this.#domain, token.slot, object.handle);
    }
  }

  async #wrappingKey(peer: Peer, token: TokenRow): Promise<KeyVersion> {
    await this.#keys.inTurn(token, WRAPPING_KEY, async () => {
      if (findWrappingKey(this.#domain, token) !== null) return;
      const made = await makeWrappingKey(this.#domain, token);
      recordMade(this.#domain, { peer, token }, 'key-generated', made);
    });
    const found = findWrappingKey(this.#domain, token);
    if (found === null) throw new SidekeyError('internal', 'the wrapping key no longer exists');
    return found.latest;
  }

  async wrappingKey(peer: Peer, tokenName: string): Promise<Buffer> {
    const token = this.#keys.token(peer, tokenName);
    // The first one that asks has it made.
    demandMaking(this.#domain, peer, token);
    return publicKeyInfoOf(await this.#wrappingKey(peer, token)) ?? Buffer.alloc(0);
  }

  async import(
    peer: Peer,
    tokenName: string,
    name: string,
    wanted: WrappedNamedKey,
    next: boolean,
  ): Promise<NamedKey> {
    const token = this.#keys.permitted(peer, tokenName, name, next ? 'rotate' : 'create');
    const wrapping = await this.#wrappingKey(peer, token);
    await this.#keys.inTurn(token, name, async () => {
      const like = this.#keys.lookUp(token, name)?.family ?? null;
      if ((like !== null) !== next)
        throw new SidekeyError(
          'action_prohibited',
          `key ${name} ${next ? 'does not exist' : 'already exists'}`,
        );
      if (like !== null && isInService(like))
        throw new SidekeyError(
          'function_not_supported',
          `the versions of ${name} are managed by its key service`,
        );
      const by = await this.#domain.cells.take(token, wrapping.main);
      const version = (like?.latest.version ?? 0) + 1;
      const made = await importVersion(this.#domain, token, by, { ...wanted, name, version, like });
      const fields = { by: wrapping.main.uniqueId };
      recordMade(this.#domain, { peer, token }, 'key-unwrapped', made, fields);
    });
    return this.#keys.demand(token, name).described;
  }
}

/** Clients set the current values before a delete: that is no change, and is allowed. */
function refusePolicy({ name, policy }: KeyFamily, wanted: KeyPolicy): void {
  if (Object.entries(policy).every(([field, value]) => Reflect.get(wanted, field) === value)) return;
  throw new SidekeyError(
    'function_not_supported',
    `the configuration of ${name} is managed by its key service`,
  );
}
