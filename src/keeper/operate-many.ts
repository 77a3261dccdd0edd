/** What frames of cell_operate_many have in common, however they are written (ARCHITECTURE.md, "Several operations in one frame"). */
import { SidekeyError } from '../errors.ts';
import type { Outcome } from '../tokens/ports.ts';
import { WireReader } from '../wire/buffer.ts';
import { LIMITS } from '../wire/tables.ts';
import { refusalOf } from './keeper-connection.ts';

export const COUNT_BYTES = 4;
/** Before each item, and before each byte string in it. */
export const LENGTH_BYTES = 4;
/** By the ring: a slot has room for one output more than its frame has data. */
export const RING_FRAME_BYTES = 15 * 1024;
/** As many frames at a time as it has slots. */
export const RING_FRAMES_MAX = 16;

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
  const outcomes: Outcome[] = [];
  while (outcomes.length < count) outcomes.push(readOutcome(reader));
  reader.end();
  return outcomes;
}

function readOutcome(reader: WireReader): Outcome {
  const status = reader.u32();
  return status === 0 ? reader.bytes(LIMITS.bodyMax) : refusalOf('cell_operate', status);
}
