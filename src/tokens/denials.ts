/**
 * Denials in the audit log: each is recorded once per process, and so many a minute for a uid, so that neither a retry loop, nor a
 * program that tries ever new names or comes in ever new processes, fills the log or keeps the disk busy.
 */
import { LRUCache } from 'lru-cache';
import type { Peer } from '../access/peer.ts';
import { LogRateLimit } from '../log/log-rate-limit.ts';
import type { Domain } from './domain.ts';
import type { TokenObject } from './objects/token-object.ts';
import type { Clock } from './ports.ts';
import type { TokenRow } from './store-port.ts';

export const NOT_ADMITTED = { reason: 'not admitted' };

const TOLD_MAX = 1000;
const LINES_A_MINUTE = 30;

export class Denials {
  readonly #told = new LRUCache<string, true>({ max: TOLD_MAX });
  readonly #lines: LogRateLimit;

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#lines = new LogRateLimit(LINES_A_MINUTE, () => clock.monotonic());
  }

  /** null: not to be recorded. Otherwise the number of denials of this uid left out since its last line. */
  take(uid: number, denial: string): number | null {
    if (this.#told.has(denial)) return null;
    const leftOut = this.#lines.take(uid);
    if (leftOut !== null) this.#told.set(denial, true);
    return leftOut;
  }
}

type Recorder = Pick<Domain, 'denials' | 'audit'>;
type Fields = Readonly<Record<string, string | number>>;

/** The fields that a line is to have beside its own; null: no line is due. */
function lineOf({ denials }: Recorder, peer: Peer, token: TokenRow, event: string, fields: Fields) {
  const denial = JSON.stringify([event, peer.pid, peer.startTime, peer.uid, token.id, fields]);
  const unrecorded = denials.take(peer.uid, denial);
  if (unrecorded === null) return null;
  return unrecorded === 0 ? fields : { ...fields, unrecorded };
}

export function recordDenied(
  domain: Recorder,
  peer: Peer,
  token: TokenRow,
  fields: Fields,
  event: 'denied' | 'login-failed' = 'denied',
): void {
  const line = lineOf(domain, peer, token, event, fields);
  if (line !== null) domain.audit.token(event, peer, token, line);
}

/** Of a use of an object that its attributes do not permit. */
export function recordDeniedUse(
  domain: Recorder,
  peer: Peer,
  token: TokenRow,
  object: TokenObject,
  fields: Fields,
): void {
  const line = lineOf(domain, peer, token, 'denied', { ...fields, handle: object.handle });
  if (line !== null) domain.audit.object('denied', peer, token, object, line);
}
