/**
 * The keeper's key pair under which a service's data keys travel. The private half is a cell of the keeper's and nowhere else; the public half
 * stands in the cell's note, so that the next agent goes on with the same pair.
 */
import { createPublicKey } from 'node:crypto';
import { SidekeyError } from '../errors.ts';
import type { CellId, Keeper, MadeKey, NewKey } from '../tokens/ports.ts';
import { WireWriter } from '../wire/buffer.ts';

const CKO_PRIVATE_KEY = 3;
const CKO_SECRET_KEY = 4;
const CKK_RSA = 0;
const CKK_AES = 0x1f;
const CKA_MODULUS = 0x120;
const CKA_MODULUS_BITS = 0x121;
const CKA_PUBLIC_EXPONENT = 0x122;
const CKA_VALUE_LEN = 0x161;
const CKM_RSA_PKCS_KEY_PAIR_GEN = 0;
const CKM_RSA_PKCS_OAEP = 9;
const CKM_SHA256 = 0x250;
const CKG_MGF1_SHA256 = 2;

const BITS = 3072;
const EXPONENT = Buffer.of(1, 0, 1);
const DATA_KEY_BYTES = 32;

const NOTHING = Buffer.alloc(0);
const OAEP = {
  type: CKM_RSA_PKCS_OAEP,
  params: new WireWriter().u64(CKM_SHA256).u64(CKG_MGF1_SHA256).bytes(NOTHING).done(),
};

function ulong(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function infoOf({ components }: MadeKey): Buffer {
  const part = (type: number): string =>
    components.find((each) => each.type === type)?.value.toString('base64url') ?? '';
  const jwk = { kty: 'RSA', n: part(CKA_MODULUS), e: part(CKA_PUBLIC_EXPONENT) };
  return createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'der', type: 'spki' });
}

interface Pair {
  readonly cell: CellId;
  /** SubjectPublicKeyInfo. */
  readonly info: Buffer;
}

export class TransportKey {
  readonly #keeper: Keeper;
  readonly #notePrefix: Buffer;
  #keeperPid: number | null = null;
  #pair: Promise<Pair> | null = null;

  constructor(keeper: Keeper, provider: string) {
    this.#keeper = keeper;
    this.#notePrefix = Buffer.from(`transport ${provider}\0`, 'utf8');
  }

  /** The AES key of 32 bytes that `fetch` brings under the public half, in a cell with this lease. */
  async carry(leaseMs: number | null, fetch: (info: Buffer) => Promise<Buffer>): Promise<CellId> {
    const before = this.#get();
    try {
      return await this.#carry(await before, leaseMs, fetch);
    } catch (error) {
      if (!(error instanceof SidekeyError && error.code === 'cell_unknown')) throw error;
      this.#forget(before);
      return this.#carry(await this.#get(), leaseMs, fetch);
    }
  }

  async #carry(
    { cell, info }: Pair,
    leaseMs: number | null,
    fetch: (info: Buffer) => Promise<Buffer>,
  ): Promise<CellId> {
    const rest = { owner: null, uses: null, note: null, seal: null };
    const key: NewKey = { objectClass: CKO_SECRET_KEY, keyType: CKK_AES, leaseMs, ...rest };
    const carried = await fetch(info);
    const made = await this.#keeper.unwrap(key, cell, OAEP, carried, null).catch((error: unknown) => {
      const isWrong = error instanceof SidekeyError && error.code.startsWith('wrapped_key');
      throw isWrong ? this.#refusal('what the service wrapped does not open', error) : error;
    });
    const length = made.components.find(({ type }) => type === CKA_VALUE_LEN)?.value;
    if (length?.equals(ulong(DATA_KEY_BYTES)) === true) return made.cell;
    await this.#keeper.drop(made.cell).catch(() => undefined);
    throw this.#refusal('the data key is of another length', null);
  }

  #refusal(what: string, cause: unknown): SidekeyError {
    return new SidekeyError('provider_refused', what, { cause });
  }

  #get(): Promise<Pair> {
    const { pid } = this.#keeper;
    if (this.#pair === null || this.#keeperPid !== pid) {
      this.#keeperPid = pid;
      const getting = this.#find().then((found) => found ?? this.#make());
      this.#pair = getting;
      getting.catch(() => this.#forget(getting));
    }
    return this.#pair;
  }

  #forget(pair: Promise<Pair>): void {
    if (this.#pair === pair) this.#pair = null;
  }

  /** Of an agent that was here before. */
  async #find(): Promise<Pair | null> {
    const prefix = this.#notePrefix;
    const seen = (await this.#keeper.cells()).find(
      ({ owner, note }) => owner === null && note?.subarray(0, prefix.length).equals(prefix) === true,
    );
    return seen?.note ? { cell: seen.cell, info: Buffer.from(seen.note.subarray(prefix.length)) } : null;
  }

  async #make(): Promise<Pair> {
    const rest = { owner: null, leaseMs: null, uses: null, note: null, seal: null };
    const key: NewKey = { objectClass: CKO_PRIVATE_KEY, keyType: CKK_RSA, ...rest };
    const made = await this.#keeper.generate(key, { type: CKM_RSA_PKCS_KEY_PAIR_GEN, params: NOTHING }, [
      { type: CKA_MODULUS_BITS, value: ulong(BITS) },
      { type: CKA_PUBLIC_EXPONENT, value: EXPONENT },
    ]);
    const info = infoOf(made);
    await this.#keeper.note(made.cell, Buffer.concat([this.#notePrefix, info]));
    return { cell: made.cell, info };
  }
}
