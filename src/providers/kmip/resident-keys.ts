/**
 * Keys that stay in a KMIP server: its private keys and its symmetric ones, by name, while they are Active. What the server can do it says itself
 * (Query), and what a key may do the key (Cryptographic Usage Mask).
 */
import { SidekeyError } from '../../errors.ts';
import type {
  CipherAlgorithm,
  CipherParameters,
  NewResidentKey,
  ResidentKey,
  ResidentKeys,
  SignAlgorithm,
} from '../../tokens/resident-port.ts';
import { nameAttribute } from './attributes.ts';
import { isDataKeyName } from './carried-keys.ts';
import type { KmipCaller, KmipClient } from './client.ts';
import { KmipResultError } from './fault.ts';
import * as keys from './key-operations.ts';
import { Lineage } from './key-lineage.ts';
import type { ServerDescription } from './key-operations.ts';
import { enumeration, integer, structure } from './message.ts';
import { readPublicKey } from './public-key.ts';
import { decryptWith, encryptWith } from './resident-operations.ts';
import { KmipSigning } from './resident-signing.ts';
import { ciphersOf, CREATABLE, findSpec, signsOf, specRow } from './resident-tables.ts';
import { OBJECT_TYPE, OPERATION, RESULT_REASON, STATE, TAG, USAGE } from './tables.ts';
import type { TtlvItem } from './ttlv.ts';

/** Locate knows no prefixes: so many keys of a kind are looked through. */
const LOCATE_MAX = 4000;
const DESCRIBED_AT_ONCE = 8;

/** Answers to a Decrypt whose cause may be the ciphertext. */
const MAY_BE_DATA: readonly number[] = [
  RESULT_REASON.CryptographicFailure,
  RESULT_REASON.GeneralFailure,
  RESULT_REASON.InternalServerError,
];
const IS_GONE: readonly number[] = [
  RESULT_REASON.ItemNotFound,
  RESULT_REASON.ObjectNotFound,
  RESULT_REASON.ObjectDestroyed,
];

function reasonOf(error: unknown): number | null {
  return error instanceof SidekeyError && error.cause instanceof KmipResultError ? error.cause.reason : null;
}

function isRefusal(error: unknown): boolean {
  return error instanceof SidekeyError && error.code === 'provider_refused';
}

/** Names are unique to a user of the server (KMIP 1.4, 3.2): the two halves of a pair cannot share one. */
const publicName = (name: string): string => `${name}.public`;

const usageAttribute = (usage: number): TtlvItem => integer(TAG.CryptographicUsageMask, usage);

export interface ResidentOptions {
  readonly provider: string;
  readonly client: KmipClient;
  /** Of data keys: never shown. */
  readonly hidden: readonly string[];
}

export class KmipResidentKeys implements ResidentKeys {
  readonly creates = CREATABLE;
  readonly keepsIds = false;
  readonly #options: ResidentOptions;
  readonly #signing: KmipSigning;

  constructor(options: ResidentOptions) {
    this.#options = options;
    const publicKey = (key: ResidentKey): Promise<Buffer> => this.publicKey(key);
    const publicKeyId = (by: KmipCaller, key: ResidentKey): Promise<string> => this.#publicKeyId(by, key);
    this.#signing = new KmipSigning({ ...options, publicKey, publicKeyId });
  }

  #refuse(key: string, what: string): never {
    throw new SidekeyError('provider_refused', `provider "${this.#options.provider}" (key ${key}): ${what}`);
  }

  async list(prefix: string, max: number): Promise<ResidentKey[]> {
    const by = this.#options.client.begin();
    const server = await keys.queryServer(by);
    const ids = await this.#locateActive(by);
    const lineage = new Lineage(by);
    const found: ResidentKey[] = [];
    for (let at = 0; at < ids.length; at += DESCRIBED_AT_ONCE) {
      const some = ids.slice(at, at + DESCRIBED_AT_ONCE);
      const described = await Promise.all(some.map((id) => this.#describe(lineage, id, prefix, server)));
      found.push(...described.filter((key) => key !== null));
      if (found.length > max) this.#refuse('-', `more than ${max} keys: a narrower prefix is needed`);
    }
    return found;
  }

  async #locateActive(by: KmipCaller): Promise<string[]> {
    const located: string[] = [];
    for (const type of [OBJECT_TYPE.PrivateKey, OBJECT_TYPE.SymmetricKey]) {
      const filter = [enumeration(TAG.ObjectType, type), enumeration(TAG.State, STATE.Active)];
      const ids = await keys.locate(by, filter, LOCATE_MAX);
      if (ids.length >= LOCATE_MAX) this.#refuse('-', `more than ${LOCATE_MAX} keys of a kind`);
      located.push(...ids);
    }
    return located.filter((id) => !this.#options.hidden.includes(id));
  }

  /** null: it is not among these words, or not active any more. A key that was replaced has the name of what replaced it, and a version. */
  async #describe(
    lineage: Lineage,
    id: string,
    prefix: string,
    server: ServerDescription,
  ): Promise<ResidentKey | null> {
    const described = await lineage.describe(id);
    if (described === null || described.state !== STATE.Active) return null;
    const names = await lineage.namesOf(described);
    const name = names.find((each) => each.startsWith(prefix));
    const spec = findSpec(described);
    if (name === undefined || spec === null || names.some(isDataKeyName)) return null;
    const hasVersions = described.replacementId !== null || described.replacedId !== null;
    return {
      id,
      name,
      version: hasVersions ? id : null,
      isPrimary: described.names.length > 0,
      spec,
      sizeBits: described.sizeBits ?? 0,
      signs: signsOf(described, server),
      ciphers: ciphersOf(described, server),
      ckaId: null,
      createdAt: described.createdAt,
    };
  }

  async publicKey(key: ResidentKey): Promise<Buffer> {
    const by = this.#options.client.begin();
    return readPublicKey(by, this.#options.provider, await this.#publicKeyId(by, key), key);
  }

  async verifies(): Promise<boolean> {
    const { operations } = await keys.queryServer(this.#options.client.begin());
    return operations.has(OPERATION.SignatureVerify);
  }

  /** By the private key's link; where the server keeps none, by name. */
  async #publicKeyId(by: KmipCaller, key: ResidentKey): Promise<string> {
    const { publicKeyId } = await keys.describeKey(by, key.id);
    if (publicKeyId !== null) return publicKeyId;
    for (const name of [publicName(key.name), key.name]) {
      const filter = [enumeration(TAG.ObjectType, OBJECT_TYPE.PublicKey), nameAttribute(name)];
      const [id, ...more] = await keys.locate(by, filter, 2);
      if (id !== undefined && more.length === 0) return id;
    }
    return this.#refuse(key.id, `there is no public key, or more than one, for "${key.name}"`);
  }

  async create(wanted: NewResidentKey): Promise<ResidentKey> {
    const by = this.#options.client.begin();
    if (isDataKeyName(wanted.name))
      this.#refuse(wanted.name, 'this name is reserved for data keys of Sidekey');
    const taken = await keys.locate(by, [nameAttribute(wanted.name)], 1);
    if (taken.length > 0) this.#refuse(wanted.name, 'the name is in use already');
    const ids = await this.#make(by, wanted);
    try {
      for (const id of ids) await this.#activate(by, id);
      const key = await this.#describe(new Lineage(by), ids[0], wanted.name, await keys.queryServer(by));
      return key ?? this.#refuse(ids[0], 'the server created a key of another kind');
    } catch (error) {
      // It would never be seen, and its name would be taken.
      for (const id of ids) await this.#end(by, id).catch(() => undefined);
      throw error;
    }
  }

  /** Unique identifiers: of the key, and of its public half. */
  #make(by: KmipCaller, wanted: NewResidentKey): Promise<[string, ...string[]]> {
    const { name, spec, uses } = wanted;
    const { objectType, algorithms, sizeBits, curve } = specRow(spec);
    const isPair = objectType === OBJECT_TYPE.PrivateKey;
    const usage = (use: 'sign' | 'decrypt', bits: number): number => (uses.includes(use) ? bits : 0);
    const common: TtlvItem[] = [
      enumeration(TAG.CryptographicAlgorithm, algorithms[0] ?? 0),
      integer(TAG.CryptographicLength, sizeBits ?? wanted.sizeBits),
    ];
    if (curve !== null)
      common.push(structure(TAG.CryptographicDomainParameters, enumeration(TAG.RecommendedCurve, curve)));
    if (!isPair) {
      const bits =
        usage('sign', USAGE.MACGenerate | USAGE.MACVerify) | usage('decrypt', USAGE.Encrypt | USAGE.Decrypt);
      const attributes = [nameAttribute(name), ...common, usageAttribute(bits)];
      return keys.createSecretKey(by, name, attributes).then((id) => [id]);
    }
    const attributes = {
      common,
      private: [
        nameAttribute(name),
        usageAttribute(usage('sign', USAGE.Sign) | usage('decrypt', USAGE.Decrypt)),
      ],
      public: [
        nameAttribute(publicName(name)),
        usageAttribute(usage('sign', USAGE.Verify) | usage('decrypt', USAGE.Encrypt)),
      ],
    };
    return keys
      .createKeyPair(by, name, attributes)
      .then(({ privateKeyId, publicKeyId }) => [privateKeyId, publicKeyId]);
  }

  /** A call whose answer was lost is refused the second time. */
  async #activate(by: KmipCaller, id: string): Promise<void> {
    try {
      await keys.activate(by, id);
    } catch (error) {
      if (!isRefusal(error) || (await keys.describeKey(by, id)).state !== STATE.Active) throw error;
    }
  }

  /**
   * By Re-key, or Re-key Key Pair: the replacement takes the name. A server may deactivate what it replaced (KMIP 2.1, 4.57), which is then not
   * shown any more.
   */
  async rotate(key: ResidentKey): Promise<ResidentKey> {
    const by = this.#options.client.begin();
    const server = await keys.queryServer(by);
    const isPair = specRow(key.spec).objectType === OBJECT_TYPE.PrivateKey;
    const operation = isPair ? 'RekeyKeyPair' : 'Rekey';
    if (!server.operations.has(OPERATION[operation]))
      this.#refuse(key.id, `the server does not support ${operation}`);
    const [id, ...halves] = await this.#replace(by, key, isPair);
    for (const each of [id, ...halves]) await this.#activateOnce(by, each);
    const made = await this.#describe(new Lineage(by), id, key.name, server);
    return made ?? this.#refuse(id, 'the replacement did not get the name, or is another kind of key');
  }

  async #replace(by: KmipCaller, key: ResidentKey, isPair: boolean): Promise<[string, ...string[]]> {
    if (!isPair) return [await keys.rekey(by, key.id)];
    const { privateKeyId, publicKeyId } = await keys.rekeyPair(by, key.id);
    return [privateKeyId, publicKeyId];
  }

  /** Servers give a replacement the dates of the former key: it may be active already. */
  async #activateOnce(by: KmipCaller, id: string): Promise<void> {
    const { state } = await keys.describeKey(by, id);
    if (state === STATE.PreActive) await this.#activate(by, id);
  }

  /** What has the name takes those with it that it replaced: nothing would show them any more. */
  async destroy(key: ResidentKey): Promise<string> {
    const by = this.#options.client.begin();
    const lineage = new Lineage(by);
    const described = key.isPrimary ? await lineage.describe(key.id) : null;
    const former = described === null ? [] : await lineage.formerOf(described);
    for (const id of [...former.toReversed(), key.id]) await this.#endWhole(by, { ...key, id });
    return former.length === 0 ? 'destroyed' : `destroyed, with ${former.length} that it had replaced`;
  }

  async #endWhole(by: KmipCaller, key: ResidentKey): Promise<void> {
    const isPair = specRow(key.spec).objectType === OBJECT_TYPE.PrivateKey;
    const publicId = isPair ? await this.#publicKeyId(by, key).catch(() => null) : null;
    await this.#end(by, key.id);
    this.#signing.forget(key.id);
    if (publicId !== null) await this.#end(by, publicId).catch(() => undefined);
  }

  async #end(by: KmipCaller, id: string): Promise<void> {
    try {
      const { state } = await keys.describeKey(by, id);
      if (state === STATE.Active) await keys.revoke(by, id);
      await keys.destroy(by, id);
    } catch (error) {
      if (!IS_GONE.includes(reasonOf(error) ?? 0)) throw error;
    }
  }

  sign(key: ResidentKey, algorithm: SignAlgorithm, input: Buffer, saltBytes: number): Promise<Buffer> {
    return this.#signing.sign(key, algorithm, input, saltBytes);
  }

  verify(
    key: ResidentKey,
    algorithm: SignAlgorithm,
    input: Buffer,
    signature: Buffer,
    saltBytes: number,
  ): Promise<boolean> {
    return this.#signing.verify(key, algorithm, input, signature, saltBytes);
  }

  encrypt(
    key: ResidentKey,
    algorithm: CipherAlgorithm,
    parameters: CipherParameters,
    plaintext: Buffer,
  ): Promise<Buffer> {
    return encryptWith(this.#options.client.begin(), key.id, algorithm, parameters, plaintext);
  }

  async decrypt(
    key: ResidentKey,
    algorithm: CipherAlgorithm,
    parameters: CipherParameters,
    ciphertext: Buffer,
  ): Promise<Buffer> {
    const by = this.#options.client.begin();
    try {
      return await decryptWith(by, key.id, algorithm, parameters, ciphertext);
    } catch (error) {
      if (!MAY_BE_DATA.includes(reasonOf(error) ?? 0)) throw error;
      const { state } = await keys.describeKey(by, key.id);
      if (state !== STATE.Active) throw error;
      // One code for whatever is wrong with it: a padding and a tag alike.
      throw new SidekeyError('encrypted_data_invalid', `key ${key.id} could not decrypt the ciphertext`);
    }
  }
}
