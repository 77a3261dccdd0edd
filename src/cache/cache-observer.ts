/**
 * What becomes of leases and of key services, told as it happens: for metrics, logs and event streams. An observer decides
 * nothing, must not throw and must not block.
 */

export type LeaseReason =
  /** Somebody asked for a key that was not open. */
  | 'asked'
  /** Ahead of its end, so that nobody waits for it. */
  | 'refresh'
  | 'prewarm'
  /** Beyond `any`, because the key service cannot be reached. */
  | 'offline';

export type LeaseEnd =
  /** Of `any`, and of `offline` where it applied. */
  | 'expired'
  | 'unused'
  /** More keys are open than may be. */
  | 'room'
  /** The key service said no. */
  | 'refused'
  /** Somebody took the permission away: the operator, or an event of the key service. */
  | 'revoked'
  /** The key itself was changed or removed. */
  | 'changed'
  /** The keeper ended the cell by itself, or ended with it. */
  | 'keeper';

export type BreakerState = 'closed' | 'open' | 'probing';

/** `token` is the token's name in the configuration; `handle` an object's, null for the key of the token itself. */
export type CacheEvent =
  | {
      readonly is: 'lease-granted';
      readonly token: string;
      readonly handle: number | null;
      readonly reason: LeaseReason;
      readonly leaseMs: number;
    }
  | {
      readonly is: 'lease-ended';
      readonly token: string;
      readonly handle: number | null;
      readonly reason: LeaseEnd;
    }
  /** One question to a key service: to open a token's key, or to make a wrapping for it. */
  | {
      readonly is: 'kek-asked';
      readonly token: string;
      readonly provider: string;
      readonly outcome: 'answered' | 'unreachable' | 'refused' | 'failed';
      readonly tookMs: number;
    }
  | { readonly is: 'breaker-changed'; readonly provider: string; readonly state: BreakerState };

export type CacheObserver = (event: CacheEvent) => void;

export const NO_OBSERVER: CacheObserver = () => undefined;
