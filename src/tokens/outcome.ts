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
