/** Places of which there are few: one process takes half of them at most and one uid three quarters, so that it shuts nobody else out. */
import type { Peer } from './peer.ts';

/** What a process is told by as long as it lives. */
export function processOf({ pid, startTime, uid }: Peer): string {
  return `${uid} ${pid} ${startTime}`;
}

const ALL = 'all';

export class Places {
  readonly #count: number;
  readonly #taken = new Map<string, number>();

  /** `count` of them, at least 2. */
  constructor(count: number) {
    this.#count = count;
  }

  /** Answers what gives the place back, once; null: there is none for this peer. */
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
