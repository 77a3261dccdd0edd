/**
 * Multi-part operations on resident keys, by client and the module's number, and counters of their use. Data
 * is hashed as it arrives, or collected up to the plan's limit; whatever is dropped is wiped.
 */
import { createHash, type Hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { SidekeyError } from '../../errors.ts';
import type { Place } from '../caller.ts';
import type { ClientId, Clock, Mechanism, UsageSeen } from '../ports.ts';
import type { Plan } from './plan.ts';
import { tooLong, type ResidentOperation } from './use.ts';

const RUNNING_MAX = 1024;
const LIFE_MS = 600_000;
const USES_MAX = 4096;

/** The requested use: checked at the beginning, and again before the service is called. */
export interface Asked {
  readonly place: Place;
  readonly handle: number;
  readonly mechanism: Mechanism;
  readonly use: ResidentOperation;
}

export class RunningOperation {
  readonly asked: Asked;
  readonly plan: Plan;
  readonly #hash: Hash | null;
  readonly #parts: Buffer[] = [];
  #bytes = 0;
  #gathered = 0;

  constructor(asked: Asked, plan: Plan) {
    this.asked = asked;
    this.plan = plan;
    this.#hash = plan.hash === null ? null : createHash(plan.hash);
  }

  /** Total length of the data. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps a copy. data_len_range beyond the limit. */
  add(data: Buffer): void {
    this.#bytes += data.length;
    if (this.#hash !== null) {
      this.#hash.update(data);
      return;
    }
    this.#gathered += data.length;
    if (this.#gathered > this.plan.maxBytes) throw tooLong(this.plan);
    this.#parts.push(Buffer.from(data));
  }

  /** The digest, or all data collected. Call once; the caller wipes it. */
  take(): Buffer {
    if (this.#hash !== null) return this.#hash.digest();
    const all = Buffer.concat(this.#parts);
    this.wipe();
    return all;
  }

  wipe(): void {
    for (const part of this.#parts) part.fill(0);
    this.#parts.length = 0;
  }
}

type CountedUse = { -readonly [Field in keyof UsageSeen]: UsageSeen[Field] };

export class ResidentOperations {
  readonly #running: LRUCache<string, RunningOperation>;
  #uses = new Map<string, CountedUse>();

  constructor(clock: Clock) {
    this.#running = new LRUCache({
      max: RUNNING_MAX,
      ttl: LIFE_MS,
      perf: { now: () => clock.monotonic() },
      dispose: (operation, _key, reason) => {
        if (reason !== 'delete') operation.wipe();
      },
    });
  }

  static #keyOf(client: ClientId, number: bigint): string {
    return `${client} ${number}`;
  }

  keep(client: ClientId, number: bigint, operation: RunningOperation): void {
    this.#running.set(ResidentOperations.#keyOf(client, number), operation);
  }

  /**
   * Takes the operation for its next part, so that nobody else has it meanwhile. operation_lost if it is
   * unknown.
   */
  take(client: ClientId, number: bigint): RunningOperation {
    const key = ResidentOperations.#keyOf(client, number);
    const operation = this.#running.get(key);
    if (operation === undefined)
      throw new SidekeyError('operation_lost', `operation ${number} does not exist`);
    this.#running.delete(key);
    return operation;
  }

  drop(client: ClientId, number: bigint): void {
    const key = ResidentOperations.#keyOf(client, number);
    this.#running.peek(key)?.wipe();
    this.#running.delete(key);
  }

  dropClient(client: ClientId): void {
    for (const key of [...this.#running.keys()])
      if (key.startsWith(`${client} `)) this.drop(client, BigInt(key.slice(key.indexOf(' ') + 1)));
  }

  /** The clients' numbers are no longer valid. */
  clear(): void {
    for (const operation of this.#running.values()) operation.wipe();
    this.#running.clear();
  }

  /** Once the limit of different uses is reached, the rest is counted together under handle 0. */
  count(client: ClientId, uid: number, { place, handle, use }: Asked, bytes: number): void {
    const isFull = this.#uses.size >= USES_MAX;
    const told = isFull ? 0 : handle;
    const key = isFull ? `${place.slot} ${use}` : `${client} ${place.slot} ${handle} ${use}`;
    const who = isFull ? { client: 0n, uid: 0 } : { client, uid };
    const fresh = { ...who, slot: place.slot, handle: told, operation: use, times: 0, bytes: 0 };
    const counted = this.#uses.get(key) ?? fresh;
    counted.times++;
    counted.bytes += bytes;
    this.#uses.set(key, counted);
  }

  /** The counters since the last call, in the form in which the keeper reports uses of its cells. */
  takeUses(): UsageSeen[] {
    const uses = [...this.#uses.values()];
    this.#uses = new Map();
    return uses;
  }
}
