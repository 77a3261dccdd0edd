/**
 * Many operations that differ in nonce and data alone, by the ring: written from one buffer into frames whose memory is used again each time, without
 * an object for each item. An item that fails, or that the keeper defers, ends it for all: operation-frames.ts does them one by one.
 */
import type { KeeperRing } from '../access/peer-credentials.ts';
import { SidekeyError } from '../errors.ts';
import { NONCE_BYTES, type NoncedItems } from '../tokens/ports.ts';
import { WireWriter } from '../wire/buffer.ts';
import { LIMITS } from '../wire/tables.ts';
import { aroundNonce, type OperateStep } from './bodies.ts';
import {
  COUNT_BYTES,
  LENGTH_BYTES,
  readOutcomes,
  RING_FRAME_BYTES,
  RING_FRAMES_MAX,
} from './operate-many.ts';

interface Frame {
  readonly body: Buffer;
  readonly items: number;
}

/** What stands before and after the nonce. */
type Around = readonly [before: Buffer, after: Buffer];

export class NoncedFrames {
  readonly #memory = Buffer.alloc(RING_FRAMES_MAX * RING_FRAME_BYTES);

  /** The keeper wakes while the items are made. */
  call(ring: KeeperRing, step: OperateStep, make: () => NoncedItems | null): Buffer[] | null {
    ring.wake();
    const items = make();
    const frames = items === null ? null : this.#write(aroundNonce(step), items);
    if (frames === null) return null;
    const bodies = frames.map(({ body }) => body);
    try {
      const replies = ring.call(bodies);
      return replies === null ? null : outputsOf(frames, replies);
    } finally {
      for (const body of bodies) body.fill(0);
    }
  }

  /** null: too long for the ring. */
  #write(around: Around, items: NoncedItems): Frame[] | null {
    const frames: Frame[] = [];
    for (let first = 0; first < items.ends.length;) {
      const memory = this.#memory.subarray(frames.length * RING_FRAME_BYTES).subarray(0, RING_FRAME_BYTES);
      const to = endOfFrame(around, items, first);
      if (to === first || memory.length === 0) return null;
      frames.push(writeFrame(memory, around, items, first, to));
      first = to;
    }
    return frames;
  }
}

function startOf({ ends }: NoncedItems, index: number): number {
  return index === 0 ? 0 : (ends[index - 1] ?? 0);
}

/** Without its data. */
function bareBytes([before, after]: Around): number {
  return before.length + NONCE_BYTES + after.length + 2 * LENGTH_BYTES;
}

/** The first item that does not fit. */
function endOfFrame(around: Around, items: NoncedItems, first: number): number {
  const more = LENGTH_BYTES + bareBytes(around) - NONCE_BYTES;
  let room = RING_FRAME_BYTES - COUNT_BYTES;
  let to = first;
  for (; to < items.ends.length && to < first + LIMITS.manyMax; to++) {
    room -= more + startOf(items, to + 1) - startOf(items, to);
    if (room < 0) break;
  }
  return to;
}

function writeFrame(memory: Buffer, around: Around, items: NoncedItems, first: number, to: number): Frame {
  const [before, after] = around;
  const bare = bareBytes(around);
  const writer = new WireWriter(memory).u32(to - first);
  let at = startOf(items, first);
  for (let index = first; index < to; index++) {
    const end = startOf(items, index + 1);
    const dataAt = at + NONCE_BYTES;
    writer
      .u32(bare + end - dataAt)
      .raw(before)
      .part(items.bytes, at, dataAt)
      .raw(after)
      .u32(end - dataAt)
      .part(items.bytes, dataAt, end)
      .bytes(null);
    at = end;
  }
  return { body: writer.done(), items: to - first };
}

/** null, and all are wiped, unless each item has its output. */
function outputsOf(frames: readonly Frame[], replies: readonly (Buffer | null)[]): Buffer[] | null {
  const outputs: Buffer[] = [];
  for (const [index, { items }] of frames.entries()) {
    const some = readOutputs(replies[index] ?? null, items);
    if (some === null) {
      for (const reply of replies) reply?.fill(0);
      return null;
    }
    for (const output of some) outputs.push(output);
  }
  return outputs;
}

function readOutputs(reply: Buffer | null, items: number): Buffer[] | null {
  if (reply === null) return null;
  try {
    const outputs = readOutcomes(reply, items).filter(Buffer.isBuffer);
    return outputs.length === items ? outputs : null;
  } catch (error) {
    if (error instanceof SidekeyError) return null;
    throw error;
  }
}
