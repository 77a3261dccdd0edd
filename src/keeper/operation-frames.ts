/**
 * Combines the short operations of one turn of the event loop into few frames (ARCHITECTURE.md, "Several
 * operations in one frame"). Each keeps its own result and its own deadline, however often the keeper defers
 * it to another frame.
 */
import { KeeperRing } from '../access/peer-credentials.ts';
import { SidekeyError } from '../errors.ts';
import type { NoncedItems, Outcome } from '../tokens/ports.ts';
import { WireWriter } from '../wire/buffer.ts';
import { LIMITS } from '../wire/tables.ts';
import { operateBytes, writeNext, writeOperate, type OperateStep } from './bodies.ts';
import type { KeeperConnection } from './keeper-connection.ts';
import { NoncedFrames } from './nonced-frames.ts';
import {
  COUNT_BYTES,
  LENGTH_BYTES,
  readOutcomes,
  RING_FRAME_BYTES,
  RING_FRAMES_MAX,
} from './operate-many.ts';

/**
 * How much longer an output may be than its data: the keeper needs this much room before it starts an item.
 */
const OUTPUT_MORE = 1024;

/** What a frame may hold. `outputMore`: what of the keeper's room for each output counts. */
interface Room {
  readonly bytes: number;
  readonly items: number;
  readonly outputMore: number;
}
const BY_SOCKET: Room = { bytes: LIMITS.bodyMax, items: LIMITS.manyMax, outputMore: OUTPUT_MORE };
const BY_RING: Room = { bytes: RING_FRAME_BYTES, items: LIMITS.manyMax, outputMore: 0 };
/** To write so many takes as long as the keeper takes to wake. */
const MANY = 16;
/** As for a module. */
const WANTS_RING = process.env['SIDEKEY_RING'] !== '0';

interface Item {
  readonly step: OperateStep;
  /** Its size in the frame, and nearly that in the answer. */
  readonly bytes: number;
  readonly endsAt: number;
  /** Among those that were asked for together. */
  readonly index: number;
  readonly settle: (outcome: Outcome, index: number) => void;
}

export class OperationFrames {
  readonly #connection: KeeperConnection;
  readonly #path: string;
  #ring: KeeperRing | null = null;
  #nonced: NoncedFrames | null = null;
  #waiting: Item[] = [];

  /** `path`: of the control socket, where a ring is asked for. */
  constructor(connection: KeeperConnection, path: string) {
    this.#connection = connection;
    this.#path = path;
  }

  close(): void {
    this.#ring?.close();
  }

  /**
   * A single-part operation. Its data is read at the end of the turn, and must not change until it is
   * answered.
   */
  add(step: OperateStep): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const settle = (outcome: Outcome): void =>
        outcome instanceof SidekeyError ? reject(outcome) : resolve(outcome);
      this.#wait(itemOf(step, performance.now() + LIMITS.deadlineMs, 0, settle));
    });
  }

  /** Many operations, with one promise for all. */
  addMany(steps: readonly OperateStep[]): Promise<Outcome[]> {
    if (steps.length === 0) return Promise.resolve([]);
    if (steps.length >= MANY) this.#ring?.wake();
    return new Promise((resolve) => {
      const outcomes = new Array<Outcome>(steps.length);
      const endsAt = performance.now() + LIMITS.deadlineMs;
      let left = steps.length;
      const settle = (outcome: Outcome, index: number): void => {
        outcomes[index] = outcome;
        if (--left === 0) resolve(outcomes);
      };
      for (const [index, step] of steps.entries()) this.#wait(itemOf(step, endsAt, index, settle));
    });
  }

  /** See Keeper.operateAtOnce. By the ring, and not at all without it. */
  atOnce(step: OperateStep, items: NoncedItems): Buffer[] | null {
    if (!WANTS_RING) return null;
    this.#ring ??= new KeeperRing(this.#path);
    this.#nonced ??= new NoncedFrames();
    return this.#nonced.call(this.#ring, step, items);
  }

  #wait(item: Item): void {
    if (this.#waiting.length === 0) this.#connection.beforeFlush(() => this.#send());
    this.#waiting.push(item);
  }

  #send(): void {
    const items = this.#waiting;
    this.#waiting = [];
    for (const left of this.#byRing(items))
      for (const frame of framesOf(left, BY_SOCKET)) void this.#ask(frame);
  }

  /** Gives those that have not been answered. */
  #byRing(items: readonly Item[]): (readonly Item[])[] {
    if (!WANTS_RING || items.some(({ bytes }) => bytes > BY_RING.bytes)) return [items];
    const frames = framesOf(items, BY_RING);
    if (frames.length > RING_FRAMES_MAX) return [items];
    const replies = this.#call(frames);
    if (replies === null) return [items];
    return frames.filter((frame, index) => {
      const reply = replies[index] ?? null;
      if (reply !== null) this.#settle(frame, reply);
      return reply === null;
    });
  }

  #call(frames: readonly (readonly Item[])[]): (Buffer | null)[] | null {
    this.#ring ??= new KeeperRing(this.#path);
    const bodies: Buffer[] = [];
    try {
      for (const frame of frames) bodies.push(writeMany(frame));
      return this.#ring.call(bodies);
    } catch {
      // By the socket, an item that cannot be written fails its own frame.
      return null;
    } finally {
      for (const body of bodies) body.fill(0);
    }
  }

  async #ask(items: readonly Item[]): Promise<void> {
    const [first] = items;
    if (first === undefined) return;
    const leftMs = Math.max(1, first.endsAt - performance.now());
    try {
      const body = writeMany(items);
      this.#settle(items, await this.#connection.request('cell_operate_many', body, leftMs));
    } catch (error) {
      this.#fail(items, error);
    }
  }

  #settle(items: readonly Item[], reply: Buffer): void {
    try {
      const outcomes = readOutcomes(reply, items.length);
      for (const [index, item] of items.entries()) {
        const outcome = outcomes[index];
        if (outcome === undefined) this.#again(item);
        else item.settle(outcome, item.index);
      }
    } catch (error) {
      this.#fail(items, error);
    }
  }

  #fail(items: readonly Item[], error: unknown): void {
    for (const { index, settle } of items) settle(asSidekeyError(error), index);
  }

  #again(item: Item): void {
    if (item.endsAt > performance.now()) this.#wait(item);
    else
      item.settle(new SidekeyError('deadline', 'the keeper did not start the operation in time'), item.index);
  }
}

function itemOf(step: OperateStep, endsAt: number, index: number, settle: Item['settle']): Item {
  return { step, bytes: operateBytes(step) + LENGTH_BYTES, endsAt, index, settle };
}

function asSidekeyError(error: unknown): SidekeyError {
  if (error instanceof SidekeyError) return error;
  return new SidekeyError('internal', 'an operation failed', { cause: error });
}

/** The first item always fits: an operation with a frame to itself may fill it. */
function endOfFrame(items: readonly Item[], from: number, room: Room): number {
  let bytes = COUNT_BYTES;
  let to = from;
  for (; to < items.length && to < from + room.items; to++) {
    bytes += (items[to]?.bytes ?? 0) + room.outputMore;
    if (bytes > room.bytes && to > from) break;
  }
  return to;
}

function framesOf(items: readonly Item[], room: Room): (readonly Item[])[] {
  const frames: (readonly Item[])[] = [];
  for (let from = 0; from < items.length;) {
    const to = endOfFrame(items, from, room);
    frames.push(items.slice(from, to));
    from = to;
  }
  return frames;
}

function writeMany(items: readonly Item[]): Buffer {
  let length = COUNT_BYTES;
  for (const { bytes } of items) length += bytes;
  const writer = new WireWriter(length).u32(items.length);
  let last: Item | null = null;
  for (const item of items) {
    writer.u32(item.bytes - LENGTH_BYTES);
    if (last === null) writeOperate(item.step, writer);
    else writeNext(item.step, writer, last.step, last.bytes);
    last = item;
  }
  return writer.done();
}
