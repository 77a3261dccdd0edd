/**
 * Scarce places, shared fairly: one process takes at most half of them, one uid three quarters, so that
 * neither locks out others.
 */
import type { Peer } from './peer.ts';

/** Identifies a process for its whole life. */
export function processOf({ pid, startTime, uid }: Peer): string {
  return `${uid} ${pid} ${startTime}`;
}

const ALL = 'all';

export class Places {
  readonly #count: number;
  readonly #taken = new Map<string, number>();

  /** `count` places, at least 2. */
  constructor(count: number) {
    this.#count = count;
  }

  /** Returns a function that frees the place, once; null: there is none for this peer. */
  take(peer: Peer): (() => void) | null {
    const holders = [
      [ALL, this.#count],
      [`uid ${peer.uid}`, Math.ceil((this.#count * 3) / 4)],
      [processOf(peer), Math.ceil(this.#count / 2)],
    ] as const;
    if (holders.some(([holder, most]) => this.#of(holder) >= most)) return null;
    for (const [holder] of holders) this.#taken.set(holder, this.#of(holder) + 1);
    let isHeld = true;
    return () => {
      if (isHeld) for (const [holder] of holders) this.#leave(holder);
      isHeld = false;
    };
  }

  #of(holder: string): number {
    return this.#taken.get(holder) ?? 0;
  }

  #leave(holder: string): void {
    const left = this.#of(holder) - 1;
    if (left === 0) this.#taken.delete(holder);
    else this.#taken.set(holder, left);
  }
}
