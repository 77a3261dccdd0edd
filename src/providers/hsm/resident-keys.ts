/** Resident keys in a PKCS#11 token, through the process that loads the vendor's library. */
import { SidekeyError } from '../../errors.ts';
import type {
  CipherAlgorithm,
  CipherParameters,
  NewResidentKey,
  ResidentKey,
  ResidentKeys,
  SignAlgorithm,
} from '../../tokens/resident-port.ts';
import { CODE } from './frame.ts';
import type { HsmKeyList, HsmPublicKey, ResidentRequest } from './resident-request.ts';
import {
  CREATABLE,
  cipherMechanism,
  newKeyOf,
  pointOf,
  publicKeyInfoOf,
  referenceOf,
  referenceOfNew,
  residentIdOf,
  signMechanism,
  toKey,
} from './resident-tables.ts';
import type { HsmSupervisor } from './supervisor.ts';

const ID_BYTES = 8;
/** Upper bound of the search for a new key, by name prefix. */
const LISTED_MAX = 10_000;
const NOTHING = Buffer.alloc(0);

/** Keys with the same label and ID cannot be told apart, so none of them is offered. */
function withoutDuplicates(keys: readonly ResidentKey[]): ResidentKey[] {
  const counts = new Map<string, number>();
  for (const { id } of keys) counts.set(id, (counts.get(id) ?? 0) + 1);
  return keys.filter(({ id }) => counts.get(id) === 1);
}

export interface HsmResidentOptions {
  readonly provider: string;
  readonly hsm: HsmSupervisor;
  readonly random: (bytes: number) => Buffer;
}

export class HsmResidentKeys implements ResidentKeys {
  readonly creates = CREATABLE;
  readonly keepsIds = true;
  readonly #options: HsmResidentOptions;

  constructor(options: HsmResidentOptions) {
    this.#options = options;
  }

  #ask(request: ResidentRequest, data: Buffer = NOTHING): Promise<Buffer> {
    const { hsm } = this.#options;
    const fields = [Buffer.from(JSON.stringify(request), 'utf8'), data];
    return hsm.use(hsm.deadline(), ({ worker }, ms) => worker.ask(CODE.resident, fields, ms));
  }

  #refuse(what: string): never {
    throw new SidekeyError('provider_refused', `provider "${this.#options.provider}": ${what}`);
  }

  async list(prefix: string, max: number): Promise<ResidentKey[]> {
    const answer = await this.#ask({ what: 'list', prefix, max });
    const found = JSON.parse(answer.toString('utf8')) as HsmKeyList;
    return withoutDuplicates(found.keys.map((row) => toKey(row, found)).filter((key) => key !== null));
  }

  async publicKey(key: ResidentKey): Promise<Buffer> {
    const answer = await this.#ask({ what: 'public', key: referenceOf(key) });
    return publicKeyInfoOf(JSON.parse(answer.toString('utf8')) as HsmPublicKey);
  }

  async create(wanted: NewResidentKey): Promise<ResidentKey> {
    const id = wanted.ckaId.length > 0 ? wanted.ckaId : this.#options.random(ID_BYTES);
    const key = newKeyOf(wanted, id) ?? this.#refuse(`keys of type ${wanted.spec} cannot be created`);
    await this.#ask({ what: 'create', key });
    const residentId = residentIdOf(referenceOfNew(key));
    const made = (await this.list(key.label, LISTED_MAX)).find((each) => each.id === residentId);
    return made ?? this.#refuse(`the token created the key "${key.label}", but cannot use it`);
  }

  async destroy(key: ResidentKey): Promise<string> {
    await this.#ask({ what: 'destroy', key: referenceOf(key) });
    return 'destroyed';
  }

  sign(key: ResidentKey, algorithm: SignAlgorithm, input: Buffer, saltBytes: number): Promise<Buffer> {
    const mechanism = signMechanism(algorithm, saltBytes);
    return this.#ask({ what: 'sign', key: referenceOf(key), mechanism }, input);
  }

  agree(key: ResidentKey, other: Buffer): Promise<Buffer> {
    const bytes = Math.ceil(key.sizeBits / 8);
    return this.#ask({ what: 'agree', key: referenceOf(key), point: pointOf(other).toString('hex'), bytes });
  }

  encrypt(
    key: ResidentKey,
    algorithm: CipherAlgorithm,
    parameters: CipherParameters,
    plaintext: Buffer,
  ): Promise<Buffer> {
    const mechanism = cipherMechanism(algorithm, parameters);
    return this.#ask({ what: 'encrypt', key: referenceOf(key), mechanism }, plaintext);
  }

  decrypt(
    key: ResidentKey,
    algorithm: CipherAlgorithm,
    parameters: CipherParameters,
    ciphertext: Buffer,
  ): Promise<Buffer> {
    const mechanism = cipherMechanism(algorithm, parameters);
    return this.#ask({ what: 'decrypt', key: referenceOf(key), mechanism }, ciphertext);
  }
}
