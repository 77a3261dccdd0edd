/**
 * The keeper's key pair under which a service's data keys travel. The private half is a cell of the keeper's and nowhere else; the public half
 * stands in the cell's note, so that the next agent goes on with the same pair.
 */
import { createPublicKey } from 'node:crypto';
import { SidekeyError } from '../errors.ts';
import type { CellId, Keeper, MadeKey, Mechanism, NewKey } from '../tokens/ports.ts';
import { WireWriter } from '../wire/buffer.ts';
import type { Carried } from './key-service.ts';
import { CKA, CKK, CKM, CKO } from '../tokens/cryptoki.ts';

const BITS = 3072;
const EXPONENT = Buffer.of(1, 0, 1);
const DATA_KEY_BYTES = 32;
/** What came with a head is dropped at once; should that fail, it ends by itself. */
const WITH_HEAD_MS = 10_000;

const NOTHING = Buffer.alloc(0);

/** CKM_ and CKG_. */
const HASHES = {
  sha1: { hash: 0x220, mask: 1 },
  sha256: { hash: 0x250, mask: 2 },
} as const satisfies Record<Carried['hash'], unknown>;

function oaep(name: Carried['hash']): Mechanism {
  const { hash, mask } = HASHES[name];
  return { type: CKM.RSA_PKCS_OAEP, params: new WireWriter().u64(hash).u64(mask).bytes(NOTHING).done() };
}

function lengthOf({ components }: MadeKey): number {
  const length = components.find(({ type }) => type === CKA.VALUE_LEN)?.value;
  return length?.length === 8 ? Number(length.readBigUInt64LE()) : 0;
}

function ulong(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function infoOf({ components }: MadeKey): Buffer {
  const part = (type: number): string =>
    components.find((each) => each.type === type)?.value.toString('base64url') ?? '';
  const jwk = { kty: 'RSA', n: part(CKA.MODULUS), e: part(CKA.PUBLIC_EXPONENT) };
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
  async carry(leaseMs: number | null, fetch: (info: Buffer) => Promise<Carried>): Promise<CellId> {
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
    fetch: (info: Buffer) => Promise<Carried>,
  ): Promise<CellId> {
    const rest = { owner: null, uses: null, note: null, seal: null };
    const key: NewKey = { objectClass: CKO.SECRET_KEY, keyType: CKK.AES, leaseMs, ...rest };
    const carried = await fetch(info);
    if (carried.headBytes > 0) return this.#takeBehindHead(key, cell, carried);
    const made = await this.#unwrap(key, cell, carried);
    if (lengthOf(made) === DATA_KEY_BYTES) return made.cell;
    await this.#drop(made.cell);
    throw this.#refusal('the data key that the service returned has the wrong length', null);
  }

  /** The last 32 bytes, by CKM_EXTRACT_KEY_FROM_KEY: they do not leave the keeper for it. */
  async #takeBehindHead(key: NewKey, by: CellId, carried: Carried): Promise<CellId> {
    const whole: NewKey = { ...key, keyType: CKK.GENERIC_SECRET, leaseMs: WITH_HEAD_MS };
    const made = await this.#unwrap(whole, by, carried);
    try {
      const headBytes = lengthOf(made) - DATA_KEY_BYTES;
      if (headBytes !== 0 && headBytes !== carried.headBytes)
        throw this.#refusal('the data key that the service returned has the wrong length', null);
      const params = new WireWriter().u32(headBytes * 8).done();
      const extract = { type: CKM.EXTRACT_KEY_FROM_KEY, params };
      return (await this.#keeper.derive(key, made.cell, extract, DATA_KEY_BYTES, null)).cell;
    } finally {
      await this.#drop(made.cell);
    }
  }

  #unwrap(key: NewKey, by: CellId, { bytes, hash }: Carried): Promise<MadeKey> {
    return this.#keeper.unwrap(key, by, oaep(hash), bytes, null).catch((error: unknown) => {
      const isWrong = error instanceof SidekeyError && error.code.startsWith('wrapped_key');
      throw isWrong
        ? this.#refusal('the data key that the service returned could not be unwrapped', error)
        : error;
    });
  }

  async #drop(cell: CellId): Promise<void> {
    await this.#keeper.drop(cell).catch(() => undefined);
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
    const key: NewKey = { objectClass: CKO.PRIVATE_KEY, keyType: CKK.RSA, ...rest };
    const made = await this.#keeper.generate(key, { type: CKM.RSA_PKCS_KEY_PAIR_GEN, params: NOTHING }, [
      { type: CKA.MODULUS_BITS, value: ulong(BITS) },
      { type: CKA.PUBLIC_EXPONENT, value: EXPONENT },
    ]);
    const info = infoOf(made);
    await this.#keeper.note(made.cell, Buffer.concat([this.#notePrefix, info]));
    return { cell: made.cell, info };
  }
}
