/** One use of a key, or many of the same kind, as metrics and usage count them. */

/** By which door it came. */
export type PeerKind = 'pkcs11' | 'http' | 'kms';

export interface OperationSeen {
  readonly peer: PeerKind;
  readonly uid: number;
  readonly token: string;
  /** Label; empty: a key of a session, or one that is gone. */
  readonly key: string;
  readonly operation: string;
  /** ok, or a code of errors.ts. */
  readonly result: string;
  readonly times: number;
  readonly bytes: number;
  /** null: the keeper did it, and did not take the time. */
  readonly seconds: number | null;
}

export type ObserveOperation = (seen: OperationSeen) => void;
