/** The domain's audit records: who did what to which token and object. Never a secret, never an attribute's value. */
import type { Peer } from '../access/peer.ts';
import type { AuditSink } from './ports.ts';
import type { TokenRow } from './store-port.ts';
import { classOf, keyTypeOf, labelOf, type TokenObject } from './objects/token-object.ts';

type Fields = Readonly<Record<string, string | number | boolean | null>>;

export class AuditTrail {
  readonly #sink: AuditSink;

  constructor(sink: AuditSink) {
    this.#sink = sink;
  }

  /** `peer` null: the agent itself acted (at start, or through its command line). */
  token(event: string, peer: Peer | null, token: TokenRow, fields: Fields = {}): void {
    this.#sink.record(event, { ...describePeer(peer), token: token.name, slot: token.slot, ...fields });
  }

  object(event: string, peer: Peer | null, token: TokenRow, object: TokenObject, fields: Fields = {}): void {
    this.token(event, peer, token, {
      handle: object.handle,
      uniqueId: object.uniqueId,
      label: labelOf(object),
      class: classOf(object),
      keyType: keyTypeOf(object),
      session: object.session !== null,
      ...fields,
    });
  }

  /** Await this before answering. */
  durable(): Promise<void> {
    return this.#sink.durable();
  }

  event(event: string, peer: Peer | null, fields: Fields): void {
    this.#sink.record(event, { ...describePeer(peer), ...fields });
  }
}

function describePeer(peer: Peer | null): Fields {
  if (peer === null) return { pid: null, uid: null, exe: null };
  return { pid: peer.pid, uid: peer.uid, exe: peer.executable };
}
