/**
 * Nonces of GCM for many items of one request: drawn together, since each call for random bytes costs as much as the rest of an item.
 * What is left of a draw is thrown away with the turn of the event loop, so that none is older than the request it is for.
 */
import { randomFillSync } from 'node:crypto';
import { GCM_NONCE_BYTES } from './mechanism.ts';

/** Of a turn's first draw, which is mostly enough for single requests, and of those after it. */
const DRAWN = { first: 8, more: 64 } as const;
const EMPTY = Buffer.alloc(0);

let drawn: Buffer = EMPTY;
let isEnding = false;

function endWithTurn(): void {
  if (isEnding) return;
  isEnding = true;
  setImmediate(() => {
    isEnding = false;
    drawn = EMPTY;
  });
}

/** Never the same bytes twice. */
export function freshNonce(): Buffer {
  if (drawn.length === 0) {
    const count = isEnding ? DRAWN.more : DRAWN.first;
    drawn = randomFillSync(Buffer.allocUnsafe(count * GCM_NONCE_BYTES));
    endWithTurn();
  }
  const nonce = drawn.subarray(0, GCM_NONCE_BYTES);
  drawn = drawn.subarray(GCM_NONCE_BYTES);
  return nonce;
}
