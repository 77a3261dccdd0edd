/**
 * PINs that were right recently, so that the hundredth process of a web server does not wait for argon2id
 * again. Only a MAC under a key of this process is kept, never the PIN. Accepted weakness: whoever can read
 * the agent's memory can test PINs against the MAC quickly; but they could open the token's keys without a
 * PIN anyway.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../ports.ts';

const LIFE_MS = 15 * 60_000;
const RECORDS_MAX = 256;
const KEY_BYTES = 32;

export class PinMemo {
  readonly #key: Buffer;
  /** By the stored record, which contains its salt: a changed PIN has another record. */
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

  /** False says nothing about the PIN: check it against its record. */
  knows(pin: Buffer, record: string): boolean {
    const tag = this.#tags.get(record);
    return tag !== undefined && timingSafeEqual(tag, this.#tag(pin, record));
  }
}
