/**
 * Data keys that are objects of the server: made there (Create), and fetched wrapped (Get with a Key Wrapping Specification) under a public key of the
 * keeper's that was registered for it. What lies between the two, this agent included, never has them in the clear. A data key is bound to
 * its purpose by its Name; the KEK is the switch for all of them: each opening asks for the state of both.
 */
import { createHash, createPublicKey } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import type { Carried, CarriedKeys } from '../key-service.ts';
import { nameAttribute } from './attributes.ts';
import type { KmipCaller, KmipClient } from './client.ts';
import { KmipResultError } from './fault.ts';
import * as keys from './key-operations.ts';
import { getWrapped, register } from './key-transport.ts';
import { enumeration, integer } from './message.ts';
import { getState } from './operations.ts';
import {
  CRYPTOGRAPHIC_ALGORITHM,
  KEY_FORMAT_TYPE,
  OBJECT_TYPE,
  RESULT_REASON,
  STATE,
  TAG,
  USAGE,
} from './tables.ts';
import { contextOf, decodeBlob, encodeBlob, isAtServer, MODES } from './wrapped-blob.ts';

const DATA_KEY_BITS = 256;
const NAME_RANDOM_BYTES = 8;
const TRANSPORT_NAME = 'sidekey-transport-';
const DATA_KEY_NAME = 'sidekey-data-key-';

const NOTHING = Buffer.alloc(0);

/** Whether an object of this name is a data key of some Sidekey's, which no program is shown. */
export function isDataKeyName(name: string): boolean {
  return name.startsWith(DATA_KEY_NAME);
}

export interface CarriedOptions {
  readonly provider: string;
  readonly client: KmipClient;
  readonly keyId: string;
  /** Whether new data keys are made so; those that were are opened anyway. */
  readonly makes: boolean;
  readonly random: (bytes: number) => Buffer;
}

/** The transport key as the server has it. */
interface Registered {
  readonly info: Buffer;
  readonly id: Promise<string>;
}

function isGone(error: unknown): boolean {
  const gone: number[] = [
    RESULT_REASON.ItemNotFound,
    RESULT_REASON.ObjectNotFound,
    RESULT_REASON.ObjectDestroyed,
  ];
  return (
    error instanceof SidekeyError &&
    error.cause instanceof KmipResultError &&
    gone.includes(error.cause.reason)
  );
}

export class KmipCarriedKeys implements CarriedKeys {
  readonly #options: CarriedOptions;
  #registered: Registered | null = null;

  constructor(options: CarriedOptions) {
    this.#options = options;
  }

  get makes(): boolean {
    return this.#options.makes;
  }

  readonly owns = isAtServer;

  #refuse(key: string, what: string): never {
    throw new SidekeyError('provider_refused', `provider "${this.#options.provider}" (key ${key}): ${what}`);
  }

  #nameStart(keyId: string, purpose: string): string {
    const context = contextOf(MODES.atServer, keyId, purpose);
    return `${DATA_KEY_NAME}${createHash('sha256').update(context).digest('hex')}-`;
  }

  async generate(purpose: string, info: Buffer): Promise<{ carried: Carried; wrapped: Buffer }> {
    const by = this.#options.client.begin();
    const { keyId } = this.#options;
    await this.#demandActive(by, keyId);
    const name = this.#nameStart(keyId, purpose) + this.#options.random(NAME_RANDOM_BYTES).toString('hex');
    const id = await keys.createSecretKey(by, name, [
      nameAttribute(name),
      enumeration(TAG.CryptographicAlgorithm, CRYPTOGRAPHIC_ALGORITHM.AES),
      integer(TAG.CryptographicLength, DATA_KEY_BITS),
      integer(TAG.CryptographicUsageMask, USAGE.Encrypt | USAGE.Decrypt),
    ]);
    try {
      await keys.activate(by, id);
      const carried = await this.#fetch(by, id, info);
      const blob = { mode: MODES.atServer, keyId, iv: NOTHING, tag: NOTHING };
      return { carried, wrapped: encodeBlob({ ...blob, body: Buffer.from(id, 'utf8') }) };
    } catch (error) {
      // Nobody will ever ask for it.
      await this.#end(by, id).catch(() => undefined);
      throw error;
    }
  }

  async open(wrapped: Buffer, purpose: string, info: Buffer): Promise<Carried> {
    const { keyId, body } = decodeBlob(wrapped, this.#options.provider);
    const by = this.#options.client.begin();
    const id = body.toString('utf8');
    await this.#demandActive(by, keyId);
    const { names, state } = await keys.describeKey(by, id);
    if (!names.some((name) => name.startsWith(this.#nameStart(keyId, purpose))))
      this.#refuse(id, 'the data key belongs to another token');
    if (state !== STATE.Active) this.#refuse(id, 'the data key is not active');
    return this.#fetch(by, id, info);
  }

  /** Servers give out what is deactivated: it is asked for. */
  async #demandActive(by: KmipCaller, id: string): Promise<void> {
    const { state } = await getState(by, id);
    if (state !== STATE.Active) this.#refuse(id, 'the key is not active');
  }

  /** Once more when the server has lost the transport key: a new one is registered then. */
  async #fetch(by: KmipCaller, id: string, info: Buffer): Promise<Carried> {
    const first = await this.#transport(by, info);
    try {
      return await getWrapped(by, id, first);
    } catch (error) {
      if (!isGone(error)) throw error;
      this.#registered = null;
      return getWrapped(by, id, await this.#transport(by, info));
    }
  }

  /** One registration for all that ask at once. */
  async #transport(by: KmipCaller, info: Buffer): Promise<string> {
    const former = this.#registered;
    if (former?.info.equals(info)) return former.id;
    const registered = { info, id: this.#register(by, info) };
    this.#registered = registered;
    registered.id.catch(() => (this.#registered = this.#registered === registered ? null : this.#registered));
    // Of a keeper that is gone: nothing that it wraps can be opened.
    const formerId = await former?.id.catch(() => null);
    if (formerId) await this.#end(by, formerId).catch(() => undefined);
    return registered.id;
  }

  /** Found by its name when an agent before this one registered it: a keeper outlives its agents. */
  async #register(by: KmipCaller, info: Buffer): Promise<string> {
    const name = TRANSPORT_NAME + createHash('sha256').update(info).digest('hex');
    const filter = [enumeration(TAG.ObjectType, OBJECT_TYPE.PublicKey), nameAttribute(name)];
    const [found] = await keys.locate(by, filter, 1);
    const id = found ?? (await this.#registerNew(by, name, info));
    const { state } = await getState(by, id);
    if (state === STATE.PreActive) await keys.activate(by, id);
    return id;
  }

  #registerNew(by: KmipCaller, name: string, info: Buffer): Promise<string> {
    const key = createPublicKey({ key: info, format: 'der', type: 'spki' });
    const object = {
      ...{ objectType: OBJECT_TYPE.PublicKey, tag: TAG.PublicKey, format: KEY_FORMAT_TYPE.PKCS1 },
      ...{ material: key.export({ format: 'der', type: 'pkcs1' }), algorithm: CRYPTOGRAPHIC_ALGORITHM.RSA },
      sizeBits: key.asymmetricKeyDetails?.modulusLength ?? 0,
    };
    const usage = integer(TAG.CryptographicUsageMask, USAGE.Encrypt | USAGE.WrapKey);
    return register(by, name, object, [nameAttribute(name), usage]);
  }

  async #end(by: KmipCaller, id: string): Promise<void> {
    if ((await getState(by, id)).state === STATE.Active) await keys.revoke(by, id);
    await keys.destroy(by, id);
  }

  async close(): Promise<void> {
    const id = await this.#registered?.id.catch(() => null);
    this.#registered = null;
    if (id) await this.#end(this.#options.client.begin(), id).catch(() => undefined);
  }
}
