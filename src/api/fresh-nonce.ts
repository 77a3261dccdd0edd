/**
 * Nonces of GCM for many items of one request: drawn together, since each call for random bytes costs as much as the rest of an item.
 * What is left of a draw is thrown away with the turn of the event loop, so that none is older than the request it is for.
 */
import { randomBytes } from 'node:crypto';
import { GCM_NONCE_BYTES } from './mechanism.ts';

const DRAWN = 64;
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
    drawn = randomBytes(DRAWN * GCM_NONCE_BYTES);
    endWithTurn();
  }
  const nonce = drawn.subarray(0, GCM_NONCE_BYTES);
  drawn = drawn.subarray(GCM_NONCE_BYTES);
  return nonce;
}
