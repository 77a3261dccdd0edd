/**
 * The latest events, in order, for live and resuming readers. Bounded: a reader that was away too long learns
 * that events are missing, but not which. Events name keys, tokens, providers and processes; never a secret.
 */
import type { AuditFields } from '../audit/audit-line.ts';

export const EVENT_TYPES = [
  ...(['lease-granted', 'lease-refreshed', 'lease-expired', 'lease-revoked'] as const),
  ...(['provider-down', 'provider-up', 'login', 'logout', 'denied'] as const),
  ...(['key-created', 'key-changed', 'key-rotated', 'key-destroyed'] as const),
  ...(['token-created', 'token-initialized', 'configuration-reloaded'] as const),
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

export interface SidekeyEvent {
  /** `run.number`: each agent is a new run, numbers increase by one. */
  readonly id: string;
  /** ISO 8601. */
  readonly time: string;
  readonly type: EventType;
  readonly fields: AuditFields;
}

export interface Replay {
  /** Events between the requested one and the first of these are lost. */
  readonly gap: boolean;
  readonly events: readonly SidekeyEvent[];
}

interface RingOptions {
  readonly max: number;
  /** A random ID for this run, in hex. */
  readonly run: string;
  readonly now: () => number;
}

export class EventRing {
  readonly #options: RingOptions;
  readonly #events: SidekeyEvent[] = [];
  readonly #listeners = new Set<(event: SidekeyEvent) => void>();
  #count = 0;

  constructor(options: RingOptions) {
    this.#options = options;
  }

  publish(type: EventType, fields: AuditFields): void {
    this.#count += 1;
    const { run, now, max } = this.#options;
    const event = { id: `${run}.${this.#count}`, time: new Date(now()).toISOString(), type, fields };
    this.#events.push(event);
    if (this.#events.length > max) this.#events.shift();
    for (const listen of this.#listeners) listen(event);
  }

  /** The events after `id`; null: only future ones. An ID of another run, or too old, leaves a gap. */
  after(id: string | null): Replay {
    if (id === null) return { gap: false, events: [] };
    const [run, number = ''] = id.split('.');
    const first = this.#count - this.#events.length + 1;
    const isKnown = run === this.#options.run && /^\d{1,15}$/.test(number) && Number(number) <= this.#count;
    if (!isKnown) return { gap: true, events: [...this.#events] };
    const from = Number(number) + 1;
    return { gap: from < first, events: this.#events.slice(Math.max(0, from - first)) };
  }

  /** Returns a function that unsubscribes. `listen` must not throw. */
  subscribe(listen: (event: SidekeyEvent) => void): () => void {
    this.#listeners.add(listen);
    return () => this.#listeners.delete(listen);
  }

  /** An ID before all events of this run. */
  get start(): string {
    return `${this.#options.run}.0`;
  }

  get subscribers(): number {
    return this.#listeners.size;
  }
}
