/** Operations with cells: short ones share frames (operation-frames.ts), long ones are sent in pieces. */
import { SidekeyError } from '../errors.ts';
import { outcomeOf } from '../tokens/outcome.ts';
import type { CellId, KeeperItem, Mechanism, NoncedItems, Operation, Outcome } from '../tokens/ports.ts';
import type { WireWriter } from '../wire/buffer.ts';
import { LIMITS, OPERATE } from '../wire/tables.ts';
import { readOutput, writeOperate, type OperateStep } from './bodies.ts';
import type { OperationFrames } from './operation-frames.ts';

const OPERATE_MAX = 32 * 1024 * 1024;
const CKM_AES_GCM = 0x1087;
/** Longer data gets its own frame. */
const SHORT_MAX = 16384;
const NO_DATA = Buffer.alloc(0);
const ALONE = OPERATE.begin | OPERATE.final;

/** Properties of the attached keeper. */
interface Attached {
  /** null: the keeper is of the previous release. */
  readonly frames: OperationFrames | null;
  /** CKM_ of short operations, which use secret keys. */
  readonly short: ReadonlySet<number>;
}

export class KeyOperations {
  readonly #attached: () => Attached | null;
  readonly #ask: (body: WireWriter) => Promise<Buffer>;
  #nextNumber = 1n;

  constructor(attached: () => Attached | null, ask: (body: WireWriter) => Promise<Buffer>) {
    this.#attached = attached;
    this.#ask = ask;
  }

  one(
    cell: CellId,
    operation: Operation,
    mechanism: Mechanism,
    data: Buffer,
    signature?: Buffer,
  ): Promise<Buffer> {
    const attached = this.#attached();
    const frames = attached?.short.has(mechanism.type) ? attached.frames : null;
    if (frames !== null && data.length + (signature?.length ?? 0) <= SHORT_MAX)
      return frames.add(stepOf(cell, operation, { mechanism, data, signature }));
    return this.#operateLong(cell, operation, mechanism, data, signature);
  }

  /** Sends pieces one after the other: requests of one connection may be answered in any order. */
  async #operateLong(
    cell: CellId,
    operation: Operation,
    mechanism: Mechanism,
    data: Buffer,
    signature?: Buffer,
  ): Promise<Buffer> {
    if (data.length > OPERATE_MAX)
      throw new SidekeyError('data_len_range', `${data.length} bytes in one operation`);
    const step = { cell, operation, mechanism, number: this.#nextNumber++, signature: null };
    const outputs: Buffer[] = [];
    // Data and signature share the space in a frame.
    const pieceMax = LIMITS.dataMax - (signature?.length ?? 0);
    let at = 0;
    do {
      const piece = data.subarray(at, at + pieceMax);
      const isLast = at + piece.length >= data.length;
      const flags = (at === 0 ? OPERATE.begin : 0) | (isLast ? OPERATE.final : 0);
      outputs.push(
        await this.#step({ ...step, flags, data: piece, signature: (isLast && signature) || null }),
      );
      at += piece.length;
    } while (at < data.length);
    // Authenticated plaintext is only available once the tag is verified: the rest is fetched afterwards.
    const isWhole = operation === 'decrypt' && mechanism.type === CKM_AES_GCM;
    while (isWhole && outputs.at(-1)?.length === LIMITS.dataMax) {
      outputs.push(await this.#step({ ...step, flags: OPERATE.more, data: Buffer.alloc(0) }));
    }
    return outputs.length === 1 ? (outputs[0] ?? Buffer.alloc(0)) : joinAndWipe(outputs);
  }

  /** Short operations share frames; a long one has its own. */
  async many(cell: CellId, operation: Operation, items: readonly KeeperItem[]): Promise<Outcome[]> {
    const attached = this.#attached();
    const frames = attached?.frames ?? null;
    const isShort = ({ mechanism, data, signature }: KeeperItem): boolean =>
      data.length + (signature?.length ?? 0) <= SHORT_MAX && attached?.short.has(mechanism.type) === true;
    if (frames === null || !items.every(isShort)) return this.#operateEach(cell, operation, items);
    return frames.addMany(items.map((item) => stepOf(cell, operation, item)));
  }

  /** See Keeper.operateAtOnce. */
  atOnce(cell: CellId, operation: Operation, mechanism: Mechanism, items: NoncedItems): Buffer[] | null {
    const frames = this.#attached()?.frames ?? null;
    return frames?.atOnce(stepOf(cell, operation, { mechanism, data: NO_DATA }), items) ?? null;
  }

  #operateEach(cell: CellId, operation: Operation, items: readonly KeeperItem[]): Promise<Outcome[]> {
    const each = ({ mechanism, data, signature }: KeeperItem): Promise<Outcome> =>
      outcomeOf(this.one(cell, operation, mechanism, data, signature));
    return Promise.all(items.map(each));
  }

  async #step(step: OperateStep): Promise<Buffer> {
    return readOutput(await this.#ask(writeOperate(step)));
  }
}

/** Of an operation that has one part. */
function stepOf(cell: CellId, operation: Operation, { mechanism, data, signature }: KeeperItem): OperateStep {
  return { cell, operation, mechanism, data, signature: signature ?? null, number: 0n, flags: ALONE };
}

function joinAndWipe(pieces: readonly Buffer[]): Buffer {
  const whole = Buffer.concat(pieces);
  for (const piece of pieces) piece.fill(0);
  return whole;
}
