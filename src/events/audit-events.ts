/** Some audit records are also events: one table says which, so that nothing is reported in two places. */
import type { AuditFields } from '../audit/audit-line.ts';
import type { AuditSink } from '../tokens/ports.ts';
import type { EventType } from './event-ring.ts';

const TYPES: Readonly<Record<string, EventType>> = {
  login: 'login',
  'login-for-key': 'login',
  logout: 'logout',
  denied: 'denied',
  'login-failed': 'denied',
  'key-generated': 'key-created',
  'object-created': 'key-created',
  'object-copied': 'key-created',
  'key-unwrapped': 'key-created',
  'key-derived': 'key-created',
  'key-imported': 'key-created',
  'object-changed': 'key-changed',
  'key-rotated': 'key-rotated',
  'object-destroyed': 'key-destroyed',
  'key-destroyed': 'key-destroyed',
  'token-created': 'token-created',
  'token-initialized': 'token-initialized',
  'lease-wiped': 'lease-revoked',
  'agent-reloaded': 'configuration-reloaded',
};

/** CKO_ of public, private and secret keys: certificates and data are not reported. */
const KEY_CLASSES: readonly unknown[] = [undefined, 2, 3, 4];

export function eventTypeOf(audited: string, fields: AuditFields): EventType | null {
  return KEY_CLASSES.includes(fields['class']) ? (TYPES[audited] ?? null) : null;
}

/** Calls listeners after the act is in the log; they must not throw. */
export function teeAudit(sink: AuditSink, listen: (event: string, fields: AuditFields) => void): AuditSink {
  return {
    record(event, fields) {
      sink.record(event, fields);
      listen(event, fields);
    },
    durable: () => sink.durable(),
  };
}
