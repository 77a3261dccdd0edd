/** One or more uses of a key of the same kind, as metrics and usage count them. */

/** The API through which it came. */
export type PeerKind = 'pkcs11' | 'http' | 'kms';

export interface OperationSeen {
  readonly peer: PeerKind;
  readonly uid: number;
  readonly token: string;
  /** Label; empty: a session key, or one that no longer exists. */
  readonly key: string;
  readonly operation: string;
  /** ok, or a code of errors.ts. */
  readonly result: string;
  readonly times: number;
  readonly bytes: number;
  /** null: done by the keeper, without measuring. */
  readonly seconds: number | null;
}

export type ObserveOperation = (seen: OperationSeen) => void;
