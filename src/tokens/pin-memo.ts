/**
 * PINs that were right lately, so that the hundredth process of a web server does not wait for argon2id again. What is
 * kept is a MAC under a key of this process, never the PIN. Accepted weakness: who reads the agent's memory can try
 * PINs against the MAC quickly; who reads that memory can open the token's keys without a PIN anyway.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from './ports.ts';

const LIFE_MS = 15 * 60_000;
const RECORDS_MAX = 256;
const KEY_BYTES = 32;

export class PinMemo {
  readonly #key: Buffer;
  /** By the stored record, which names its own salt: a PIN that was changed is another record. */
  readonly #tags: LRUCache<string, Buffer>;

  constructor(random: (bytes: number) => Buffer, clock: Clock) {
    this.#key = random(KEY_BYTES);
    const perf = { now: () => clock.monotonic() };
    this.#tags = new LRUCache({ max: RECORDS_MAX, ttl: LIFE_MS, ttlResolution: 0, perf });
  }

  #tag(pin: Buffer, record: string): Buffer {
    return createHmac('sha256', this.#key).update(record).update('\0').update(pin).digest();
  }

  remember(pin: Buffer, record: string): void {
    this.#tags.set(record, this.#tag(pin, record));
  }

  /** False says nothing about the PIN: it has to be checked against its record. */
  knows(pin: Buffer, record: string): boolean {
    const tag = this.#tags.get(record);
    return tag !== undefined && timingSafeEqual(tag, this.#tag(pin, record));
  }
}
