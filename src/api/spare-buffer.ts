/**
 * A buffer that serves one after the other: what was in use a moment ago is in the processor's cache, and memory that is new for each request is not
 * (a batch took a sixth longer). Who finds it taken gets memory of its own.
 */
const LEAST_BYTES = 64 * 1024;
/** A longer one is not kept. */
const KEPT_MAX = 512 * 1024;

export class SpareBuffer {
  #kept: Buffer | null = null;

  /** At least `bytes` long, with whatever is in it. */
  take(bytes: number): Buffer {
    const kept = this.#kept;
    if (kept === null || kept.length < bytes) return Buffer.allocUnsafeSlow(Math.max(bytes, LEAST_BYTES));
    this.#kept = null;
    return kept;
  }

  /** Once, by whoever took it, who has wiped it. */
  giveBack(buffer: Buffer): void {
    if (buffer.length <= KEPT_MAX && buffer.length > (this.#kept?.length ?? 0)) this.#kept = buffer;
  }
}
