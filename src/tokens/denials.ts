/**
/**
 * Denials in the audit log: each is recorded once per process, and so many a minute for a uid, so that neither a retry loop, nor a
 * program that tries ever new names or comes in ever new processes, fills the log or keeps the disk busy.
 */
import { LRUCache } from 'lru-cache';
import type { Peer } from '../access/peer.ts';
import type { Domain } from './domain.ts';
import type { TokenObject } from './objects/token-object.ts';
import type { Clock } from './ports.ts';
import type { TokenRow } from './store-port.ts';

export const NOT_ADMITTED = { reason: 'not admitted' };

const TOLD_MAX = 1000;
const UIDS_MAX = 1000;
const LINES_A_MINUTE = 30;
const MINUTE_MS = 60_000;

interface Minute {
  sinceMs: number;
  lines: number;
  unrecorded: number;
}

export class Denials {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #told = new LRUCache<string, true>({ max: TOLD_MAX });
  readonly #uids = new LRUCache<number, Minute>({ max: UIDS_MAX });

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** null: not to be recorded. Else how many of this uid were not, since the last one that was. */
  take(uid: number, denial: string): number | null {
    if (this.#told.has(denial)) return null;
    const minute = this.#minuteOf(uid);
    if (minute.lines >= LINES_A_MINUTE) {
      minute.unrecorded += 1;
      return null;
    }
    this.#told.set(denial, true);
    minute.lines += 1;
    const { unrecorded } = minute;
    minute.unrecorded = 0;
    return unrecorded;
  }

  #minuteOf(uid: number): Minute {
    const now = this.#clock.monotonic();
    const minute = this.#uids.get(uid) ?? { sinceMs: now, lines: 0, unrecorded: 0 };
    if (now - minute.sinceMs >= MINUTE_MS) Object.assign(minute, { sinceMs: now, lines: 0 });
    this.#uids.set(uid, minute);
    return minute;
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
