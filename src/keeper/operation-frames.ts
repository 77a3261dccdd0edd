/**
 * Combines the short operations of one turn of the event loop into few frames (ARCHITECTURE.md, "Several
 * operations in one frame"). Each keeps its own result and its own deadline, however often the keeper defers
 * it to another frame.
 */
import { KeeperRing } from '../access/peer-credentials.ts';
import { SidekeyError } from '../errors.ts';
import type { Outcome } from '../tokens/ports.ts';
import { WireReader, WireWriter } from '../wire/buffer.ts';
import { LIMITS } from '../wire/tables.ts';
import { operateBytes, writeOperate, type OperateStep } from './bodies.ts';
import { refusalOf, type KeeperConnection } from './keeper-connection.ts';

/**
 * How much longer an output may be than its data: the keeper needs this much room before it starts an item.
 */
const OUTPUT_MORE = 1024;
const COUNT_BYTES = 4;
const LENGTH_BYTES = 4;

/** What one slot of the ring takes, less what the keeper wants of room for the answers. */
const RING_BYTES_MAX = 12 * 1024;
const RING_ITEMS_MAX = 8;
/** As for a module. */
const WANTS_RING = process.env['SIDEKEY_RING'] !== '0';

interface Item {
  readonly step: OperateStep;
  /** Its size in the frame and in the answer. */
  readonly bytes: number;
  readonly endsAt: number;
  readonly settle: (outcome: Outcome) => void;
}

export class OperationFrames {
  readonly #connection: KeeperConnection;
  readonly #path: string;
  #ring: KeeperRing | null = null;
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
      this.#wait(itemOf(step, performance.now() + LIMITS.deadlineMs, settle));
    });
  }

  /** Many operations, with one promise for all. */
  addMany(steps: readonly OperateStep[]): Promise<Outcome[]> {
    if (steps.length === 0) return Promise.resolve([]);
    return new Promise((resolve) => {
      const outcomes = new Array<Outcome>(steps.length);
      const endsAt = performance.now() + LIMITS.deadlineMs;
      let left = steps.length;
      for (const [index, step] of steps.entries())
        this.#wait(
          itemOf(step, endsAt, (outcome) => {
            outcomes[index] = outcome;
            if (--left === 0) resolve(outcomes);
          }),
        );
    });
  }

  #wait(item: Item): void {
    if (this.#waiting.length === 0) this.#connection.beforeFlush(() => this.#send());
    this.#waiting.push(item);
  }

  #send(): void {
    const items = this.#waiting;
    this.#waiting = [];
    for (let from = 0; from < items.length;) {
      const to = endOfFrame(items, from);
      void this.#ask(items.slice(from, to));
      from = to;
    }
  }

  async #ask(items: readonly Item[]): Promise<void> {
    const [first] = items;
    if (first === undefined) return;
    const leftMs = Math.max(1, first.endsAt - performance.now());
    try {
      const body = writeMany(items);
      const reply = this.#byRing(items, body);
      this.#settle(items, reply ?? (await this.#connection.request('cell_operate_many', body, leftMs)));
    } catch (error) {
      for (const { settle } of items) settle(asSidekeyError(error));
    }
  }

  /** Few short ones: for more, waiting for the answer would take longer than sending. Wipes `body` if there is an answer. */
  #byRing(items: readonly Item[], body: Buffer): Buffer | null {
    if (!WANTS_RING || items.length > RING_ITEMS_MAX || body.length > RING_BYTES_MAX) return null;
    this.#ring ??= new KeeperRing(this.#path);
    const reply = this.#ring.call(body);
    if (reply !== null) body.fill(0);
    return reply;
  }

  #settle(items: readonly Item[], reply: Buffer): void {
    const outcomes = readOutcomes(reply, items.length);
    for (const [index, item] of items.entries()) {
      const outcome = outcomes[index];
      if (outcome === undefined) this.#again(item);
      else item.settle(outcome);
    }
  }

  #again(item: Item): void {
    if (item.endsAt > performance.now()) this.#wait(item);
    else item.settle(new SidekeyError('deadline', 'the keeper did not start the operation in time'));
  }
}

function itemOf(step: OperateStep, endsAt: number, settle: Item['settle']): Item {
  return { step, bytes: operateBytes(step) + OUTPUT_MORE, endsAt, settle };
}

function asSidekeyError(error: unknown): SidekeyError {
  if (error instanceof SidekeyError) return error;
  return new SidekeyError('internal', 'an operation failed', { cause: error });
}

/**
 * One to `asked` outcomes: items without one were not started. Outputs are views, each for its owner to wipe.
 */
export function readOutcomes(reply: Buffer, asked: number): Outcome[] {
  try {
    return readAll(reply, asked);
  } catch (error) {
    reply.fill(0);
    throw error;
  }
}

function readAll(reply: Buffer, asked: number): Outcome[] {
  const reader = new WireReader(reply);
  const count = reader.u32();
  if (count === 0 || count > asked)
    throw new SidekeyError('wire_malformed', `${count} results of ${asked} operations`);
  const outcomes = Array.from({ length: count }, () => readOutcome(reader));
  reader.end();
  return outcomes;
}

function readOutcome(reader: WireReader): Outcome {
  const status = reader.u32();
  return status === 0 ? reader.bytes(LIMITS.bodyMax) : refusalOf('cell_operate', status);
}

/** The first item always fits: an operation with a frame to itself may fill it. */
function endOfFrame(items: readonly Item[], from: number): number {
  let bytes = COUNT_BYTES;
  let to = from;
  for (; to < items.length && to < from + LIMITS.manyMax; to++) {
    bytes += items[to]?.bytes ?? 0;
    if (bytes > LIMITS.bodyMax && to > from) break;
  }
  return to;
}

function writeMany(items: readonly Item[]): Buffer {
  let bytes = COUNT_BYTES;
  for (const { bytes: room } of items) bytes += LENGTH_BYTES + room - OUTPUT_MORE;
  const writer = new WireWriter(bytes).u32(items.length);
  for (const { step } of items) {
    writer.u32(operateBytes(step));
    writeOperate(step, writer);
  }
  return writer.done();
}
