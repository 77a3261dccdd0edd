/** Of many operations each ends by itself: its error is what came of it, not the end of the others. */
import { SidekeyError } from '../errors.ts';
import type { Outcome } from './ports.ts';

/** What is no SidekeyError is a fault of our own, and ends all. */
export async function outcomeOf(work: Promise<Buffer>): Promise<Outcome> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof SidekeyError) return error;
    throw error;
  }
}
