/**
 * Many operations that differ in nonce and data alone, by the ring, without an object for each: an item writes itself into the frame, and while the next
 * frame is written the keeper works on the last. An item that fails, or that the keeper defers, ends it for all: operation-frames.ts does them
 * one by one.
 */
import type { KeeperRing } from '../access/peer-credentials.ts';
import { SidekeyError } from '../errors.ts';
import { NONCE_BYTES, type NoncedItems } from '../tokens/ports.ts';
import { ABSENT } from '../wire/buffer.ts';
import { LIMITS } from '../wire/tables.ts';
import { aroundNonce, type OperateStep } from './bodies.ts';
import { COUNT_BYTES, LENGTH_BYTES, readOutcomes, RING_FRAME_BYTES } from './operate-many.ts';

interface Frame {
  readonly body: Buffer;
  readonly items: number;
}

/** What stands before and after the nonce. */
type Around = readonly [before: Buffer, after: Buffer];

export class NoncedFrames {
  /** Of one frame: the ring takes a copy. */
  readonly #memory = Buffer.alloc(RING_FRAME_BYTES);

  /** The keeper wakes while the first frame is written. */
  call(ring: KeeperRing, step: OperateStep, items: NoncedItems): Buffer[] | null {
    ring.wake();
    let counts: number[] | null = null;
    let replies: (Buffer | null)[] = [];
    try {
      counts = this.#post(ring, aroundNonce(step), items);
    } finally {
      // Whatever happened: an answer that is left would be taken for one of the next call's.
      replies = ring.collect();
      if (counts === null) for (const reply of replies) reply?.fill(0);
    }
    const outputs = counts === null ? null : outputsOf(counts, replies);
    if (outputs === null) for (const reply of replies) reply?.fill(0);
    return outputs;
  }

  /** How many items each frame has. null: not all were posted. */
  #post(ring: KeeperRing, around: Around, items: NoncedItems): number[] | null {
    const counts: number[] = [];
    try {
      for (let first = 0; first < items.count;) {
        const frame = writeFrame(this.#memory, around, items, first);
        if (frame.items === 0 || !ring.post(frame.body)) return null;
        counts.push(frame.items);
        first += frame.items;
      }
      return counts;
    } finally {
      this.#memory.fill(0);
    }
  }
}

/** As many items as have room. They write nonce and data side by side; then the nonce is moved, and what belongs between the two put there. */
function writeFrame(memory: Buffer, [before, after]: Around, items: NoncedItems, first: number): Frame {
  // Behind the data stands the signature's length: there is none.
  const room = memory.subarray(0, memory.length - LENGTH_BYTES);
  let at = COUNT_BYTES;
  let index = first;
  for (; index < items.count && index < first + LIMITS.manyMax; index++) {
    const nonceAt = at + LENGTH_BYTES + before.length;
    const dataAt = nonceAt + NONCE_BYTES + after.length + LENGTH_BYTES;
    const end = dataAt > room.length ? null : items.write(index, room, dataAt - NONCE_BYTES);
    if (end === null) break;
    memory.copyWithin(nonceAt, dataAt - NONCE_BYTES, dataAt);
    memory.writeUInt32LE(end - at, at);
    before.copy(memory, at + LENGTH_BYTES);
    after.copy(memory, nonceAt + NONCE_BYTES);
    memory.writeUInt32LE(end - dataAt, dataAt - LENGTH_BYTES);
    memory.writeUInt32LE(ABSENT, end);
    at = end + LENGTH_BYTES;
  }
  memory.writeUInt32LE(index - first, 0);
  return { body: memory.subarray(0, at), items: index - first };
}

/** null unless each item has its output. */
function outputsOf(counts: readonly number[], replies: readonly (Buffer | null)[]): Buffer[] | null {
  const outputs: Buffer[] = [];
  for (const [index, count] of counts.entries()) {
    const some = readOutputs(replies[index] ?? null, count);
    if (some === null) return null;
    for (const output of some) outputs.push(output);
  }
  return outputs;
}

function readOutputs(reply: Buffer | null, count: number): Buffer[] | null {
  if (reply === null) return null;
  try {
    const outputs = readOutcomes(reply, count).filter(Buffer.isBuffer);
    return outputs.length === count ? outputs : null;
  } catch (error) {
    if (error instanceof SidekeyError) return null;
    throw error;
  }
}
