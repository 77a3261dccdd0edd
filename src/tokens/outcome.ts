/** The outcome of one operation among many: an error ends only that operation. */
import { SidekeyError } from '../errors.ts';
import type { Outcome } from './ports.ts';

/** Anything but a SidekeyError is a bug of ours, and ends them all. */
export async function outcomeOf(work: Promise<Buffer>): Promise<Outcome> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof SidekeyError) return error;
    throw error;
  }
}

/** Whether a use failed because its cell had ended: before or, if its data went in pieces, in the middle. */
export function hasCellEnded(outcome: unknown): boolean {
  return (
    outcome instanceof SidekeyError && (outcome.code === 'cell_unknown' || outcome.code === 'operation_lost')
  );
}
