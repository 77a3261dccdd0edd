/**
 * Short operations of one turn of the event loop, in few frames (ARCHITECTURE.md, "Several operations in one frame"): each still
 * has its own result, and its own deadline however often the keeper leaves it for another frame.
 */
import { SidekeyError } from '../errors.ts';
import { WireReader, WireWriter } from '../wire/buffer.ts';
import { LIMITS } from '../wire/tables.ts';
import { operateBytes, readOutput, writeOperate, type OperateStep } from './bodies.ts';
import { refusalOf, type KeeperConnection } from './keeper-connection.ts';

/** What an output may be longer than its data: the keeper wants so much room before it begins an item. */
const OUTPUT_MORE = 1024;
const COUNT_BYTES = 4;

interface Item {
  readonly step: OperateStep;
  /** Its room in a frame, and in the answer. */
  readonly bytes: number;
  readonly endsAt: number;
  readonly resolve: (output: Buffer) => void;
  readonly reject: (error: unknown) => void;
}

export class OperationFrames {
  readonly #connection: KeeperConnection;
  #waiting: Item[] = [];

  constructor(connection: KeeperConnection) {
    this.#connection = connection;
  }

  /** A single-part operation. Its data are read when the turn ends, and must stay as they are until it is answered. */
  add(step: OperateStep): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const endsAt = performance.now() + LIMITS.deadlineMs;
      this.#wait({ step, bytes: operateBytes(step) + OUTPUT_MORE, endsAt, resolve, reject });
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
      if (items.length === 1)
        first.resolve(
          readOutput(await this.#connection.request('cell_operate', writeOperate(first.step).done(), leftMs)),
        );
      else this.#settle(items, await this.#connection.request('cell_operate_many', writeMany(items), leftMs));
    } catch (error) {
      for (const { reject } of items) reject(error);
    }
  }

  #settle(items: readonly Item[], reply: Buffer): void {
    try {
      const outcomes = readOutcomes(reply, items.length);
      for (const [index, item] of items.entries()) settle(item, outcomes[index] ?? this.#again(item));
    } finally {
      reply.fill(0);
    }
  }

  #again(item: Item): SidekeyError | null {
    if (item.endsAt <= performance.now())
      return new SidekeyError('deadline', 'the keeper did not begin an operation in time');
    this.#wait(item);
    return null;
  }
}

function settle({ resolve, reject }: Item, outcome: Buffer | SidekeyError | null): void {
  if (outcome instanceof SidekeyError) reject(outcome);
  else if (outcome !== null) resolve(outcome);
}

/** One to `asked` of them: what has none was not begun. */
export function readOutcomes(reply: Buffer, asked: number): (Buffer | SidekeyError)[] {
  const reader = new WireReader(reply);
  const count = reader.u32();
  if (count === 0 || count > asked)
    throw new SidekeyError('wire_malformed', `${count} results of ${asked} operations`);
  const outcomes = Array.from({ length: count }, () => readOutcome(reader));
  reader.end();
  return outcomes;
}

function readOutcome(reader: WireReader): Buffer | SidekeyError {
  const status = reader.u32();
  return status === 0 ? Buffer.from(reader.bytes(LIMITS.bodyMax)) : refusalOf('cell_operate', status);
}

/** The first goes in any case: an operation that has a frame to itself may fill it. */
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
  for (const item of items) bytes += item.bytes;
  const writer = new WireWriter(bytes).u32(items.length);
  for (const { step } of items) {
    writer.u32(operateBytes(step));
    writeOperate(step, writer);
  }
  return writer.done();
}
