/**
 * Waiting for the disk, shared: one sync serves everybody whose writes were done when it began. It runs beside the event loop,
 * so that a slow disk delays those who wait for it and nobody else.
 */
import { fdatasync } from 'node:fs';

export class DiskSync {
  readonly #sync: () => Promise<void>;
  /** Something was written since the last sync began. */
  #dirty = false;
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;

  constructor(sync: () => Promise<void>) {
    this.#sync = sync;
  }

  wrote(): void {
    this.#dirty = true;
  }

  /** Resolves when what was written before this call is on the disk; rejects with what the sync said. */
  durable(): Promise<void> {
    if (!this.#dirty) return this.#next ?? this.#running ?? Promise.resolve();
    if (this.#running === null) return this.#begin();
    this.#next ??= this.#running.then(
      () => this.#begin(),
      () => this.#begin(),
    );
    return this.#next;
  }

  #begin(): Promise<void> {
    this.#dirty = false;
    this.#next = null;
    const running = this.#sync()
      .catch((error: unknown) => {
        // Who wrote as well and asks only now shall not be told that it is on the disk.
        this.#dirty = true;
        throw error;
      })
      .finally(() => {
        if (this.#running === running) this.#running = null;
      });
    this.#running = running;
    return running;
  }
}

/** Data and length of an open file. */
export function syncFile(fd: number): Promise<void> {
  return new Promise((done, fail) => fdatasync(fd, (error) => (error === null ? done() : fail(error))));
}
