/**
 * Nonces of GCM, drawn many at a time: a call for random bytes takes a tenth of a short request. Of a draw that is a millisecond old nothing
 * more is taken, so that none is much older than the request it is for.
 */
import { randomFillSync } from 'node:crypto';
import { GCM_NONCE_BYTES } from './mechanism.ts';

const DRAWN = 128;
const DRAW_MS = 1;
const EMPTY = Buffer.alloc(0);

export interface Nonce {
  readonly bytes: Buffer;
  readonly base64: string;
}

export class Nonces {
  readonly #now: () => number;
  readonly #fill: (bytes: Buffer) => Buffer;
  #drawn: Buffer = EMPTY;
  /** The draw in base64: 16 letters for each nonce. */
  #letters = '';
  #taken = 0;
  #drawnAt = -Infinity;

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number, fill: (bytes: Buffer) => Buffer = randomFillSync) {
    this.#now = now;
    this.#fill = fill;
  }

  #draw(now: number): void {
    this.#drawn = this.#fill(Buffer.allocUnsafe(DRAWN * GCM_NONCE_BYTES));
    this.#letters = this.#drawn.toString('base64');
    this.#taken = 0;
    this.#drawnAt = now;
  }

  /** Never the same bytes twice. */
  fresh(): Nonce {
    const now = this.#now();
    if (this.#taken === this.#drawn.length || now - this.#drawnAt > DRAW_MS) this.#draw(now);
    const from = this.#taken;
    const to = from + GCM_NONCE_BYTES;
    this.#taken = to;
    return {
      bytes: this.#drawn.subarray(from, to),
      base64: this.#letters.slice((from / 3) * 4, (to / 3) * 4),
    };
  }
}

const nonces = new Nonces(() => performance.now());

export function freshNonce(): Nonce {
  return nonces.fresh();
}
