/** What doubles of the keeper make of items that differ in nonce and data alone: each by itself. */
import { NONCE_BYTES, type Mechanism, type NoncedItems } from '../../src/tokens/ports.ts';

/** Parameters begin with the nonce, a byte string. */
const LENGTH_BYTES = 4;

export function eachNonced(
  { type, params }: Mechanism,
  { bytes, ends }: NoncedItems,
): { readonly mechanism: Mechanism; readonly data: Buffer }[] {
  return ends.map((end, index) => {
    const from = index === 0 ? 0 : (ends[index - 1] ?? NaN);
    if (end - from < NONCE_BYTES) throw new RangeError('an item without a nonce');
    const own = Buffer.from(params);
    bytes.copy(own, LENGTH_BYTES, from, from + NONCE_BYTES);
    return { mechanism: { type, params: own }, data: Buffer.from(bytes.subarray(from + NONCE_BYTES, end)) };
  });
}

/** For a test: the items, one after the other. */
export function joinNonced(items: readonly (readonly [nonce: Buffer, data: Buffer])[]): NoncedItems {
  const ends: number[] = [];
  let at = 0;
  for (const [nonce, data] of items) ends.push((at += nonce.length + data.length));
  return { bytes: Buffer.concat(items.flat()), ends };
}
