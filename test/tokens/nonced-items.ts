/** What doubles of the keeper make of items that differ in nonce and data alone: each by itself. */
import { NONCE_BYTES, type Mechanism, type NoncedItems } from '../../src/tokens/ports.ts';

/** Parameters begin with the nonce, a byte string. */
const LENGTH_BYTES = 4;

interface Nonced {
  readonly mechanism: Mechanism;
  readonly data: Buffer;
}

/** Each writes into memory that is just long enough. null: one is not valid. */
export function eachNonced({ type, params }: Mechanism, { count, write }: NoncedItems): Nonced[] | null {
  const all: Nonced[] = [];
  for (let index = 0; index < count; index++) {
    const into = Buffer.alloc(32 * 1024);
    const end = write(index, into, 3);
    if (end === null) return null;
    if (end < 3 + NONCE_BYTES || write(index, into.subarray(0, end - 1), 3) !== null)
      throw new RangeError('an item without a nonce, or beyond its room');
    const own = Buffer.from(params);
    into.copy(own, LENGTH_BYTES, 3, 3 + NONCE_BYTES);
    all.push({ mechanism: { type, params: own }, data: into.subarray(3 + NONCE_BYTES, end) });
  }
  return all;
}

/** For a test: these items. */
export function noncedOf(items: readonly (readonly [nonce: Buffer, data: Buffer])[]): NoncedItems {
  return {
    count: items.length,
    write: (index, into, at) => {
      const whole = Buffer.concat(items[index] ?? []);
      return at + whole.length > into.length ? null : at + whole.copy(into, at);
    },
  };
}
