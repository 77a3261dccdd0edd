/**
 * Denials in the audit log: each is recorded once per process, so that a retry loop neither fills the log nor
 * keeps the disk busy.
 */
import type { Peer } from '../access/peer.ts';
import type { Domain } from './domain.ts';
import type { TokenRow } from './store-port.ts';

export const NOT_ADMITTED = { reason: 'not admitted' };

export function recordDenied(
  { denials, audit }: Pick<Domain, 'denials' | 'audit'>,
  peer: Peer,
  token: TokenRow,
  fields: Readonly<Record<string, string>>,
): void {
  const denial = JSON.stringify([peer.pid, peer.startTime, peer.uid, token.id, fields]);
  if (denials.has(denial)) return;
  denials.set(denial, true);
  audit.token('denied', peer, token, fields);
}
