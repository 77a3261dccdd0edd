/**
 * Nonces of GCM for many items of one request: drawn together, since each call for random bytes costs as much as the rest of an item.
 * What is left of a draw is thrown away with the turn of the event loop, so that none is older than the request it is for.
 */
import { randomFillSync } from 'node:crypto';
import { GCM_NONCE_BYTES } from './mechanism.ts';

/** Of a turn's first draw, which is mostly enough for single requests, and of those after it. */
const DRAWN = { first: 8, more: 128 } as const;
const EMPTY = Buffer.alloc(0);

let drawn: Buffer = EMPTY;
/** The draw in base64: 16 letters for each nonce. */
let letters = '';
let taken = 0;
let isEnding = false;

function endWithTurn(): void {
  if (isEnding) return;
  isEnding = true;
  setImmediate(() => {
    isEnding = false;
    drawn = EMPTY;
    letters = '';
    taken = 0;
  });
}

export interface Nonce {
  readonly bytes: Buffer;
  readonly base64: string;
}

/** Never the same bytes twice. */
export function freshNonce(): Nonce {
  if (taken === drawn.length) {
    const count = isEnding ? DRAWN.more : DRAWN.first;
    drawn = randomFillSync(Buffer.allocUnsafe(count * GCM_NONCE_BYTES));
    letters = drawn.toString('base64');
    taken = 0;
    endWithTurn();
  }
  const from = taken;
  taken += GCM_NONCE_BYTES;
  return { bytes: drawn.subarray(from, taken), base64: letters.slice((from / 3) * 4, (taken / 3) * 4) };
}
