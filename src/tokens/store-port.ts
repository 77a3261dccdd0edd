/**
 * What the domain needs from a store. Calls are synchronous, because the only store is a local file: nothing
 * can change between two lines of the domain. Changes are durable when they return, except addObjects. Every
 * call may throw store_failed.
 */

/** One wrapping of a token's key. */
export interface KekRow {
  /** The provider that holds the KEK. */
  readonly provider: string;
  /** A data key under the KEK: the token key itself, or the key that seals it. null: not made yet. */
  readonly wrapped: Buffer | null;
  /** The token key, sealed by that data key; null: that data key is the token key. */
  readonly sealed: Buffer | null;
}

export interface TokenRow {
  readonly id: number;
  /** The name in the configuration and in access rules, fixed at creation. */
  readonly name: string;
  /** The label last set by C_InitToken. */
  readonly label: string;
  /** 16 hex digits; seals are bound to it. New with every C_InitToken. */
  readonly serial: string;
  readonly slot: number;
  /** The provider of the first, preferred KEK. */
  readonly provider: string;
  /** In the format of pins.ts; null: none. */
  readonly soPin: string | null;
  readonly userPin: string | null;
  /** Failed attempts since the last success. */
  readonly soFailures: number;
  readonly userFailures: number;
  /** In order of preference; at least one. None is wrapped until the first object needs a token key. */
  readonly keks: readonly KekRow[];
  readonly createdAt: number;
}

export type TokenChange = Partial<Omit<TokenRow, 'id' | 'name' | 'slot' | 'createdAt' | 'provider' | 'keks'>>;

export interface ObjectRow {
  readonly handle: number;
  readonly tokenId: number;
  readonly uniqueId: string;
  /** In the format of encodeAttributes (objects/attribute-value.ts). */
  readonly attributes: Buffer;
  readonly blob: Buffer | null;
  readonly createdAt: number;
}

/** Columns that let find avoid a scan. They repeat attributes; the attributes decide. */
export interface ObjectIndex {
  readonly objectClass: number;
  readonly keyType: number | null;
  readonly label: Buffer;
  /** null: this class of object has no CKA_ID. */
  readonly id: Buffer | null;
  readonly private: boolean;
}

export interface NewObjectRow extends Omit<ObjectRow, 'handle'> {
  readonly index: ObjectIndex;
}

/** null: any. */
export interface ObjectQuery {
  readonly objectClass: number | null;
  readonly keyType: number | null;
  readonly label: Buffer | null;
  readonly id: Buffer | null;
  /** false: public objects only. */
  readonly withPrivate: boolean;
}

/** A process's login to a token. It contains no PIN and opens nothing by itself. */
export interface LoginRow {
  /** The kernel's boot ID: the same pid in another boot is another process. */
  readonly boot: string;
  /** Pid and start time, as clients.ts names a process. */
  readonly process: string;
  /** The uid with which it connected; null: unknown. */
  readonly uid: number | null;
  /**
   * The keeper's boot number, and the number of the connection on which the login was last seen; null:
   * unknown.
   */
  readonly keeper: bigint | null;
  readonly client: bigint | null;
  readonly serial: string;
  readonly role: 'user' | 'so';
}

/** Every field given must match; `except` excludes a process. */
export interface LoginQuery {
  readonly process?: string;
  readonly serial?: string;
  readonly role?: 'user' | 'so';
  readonly except?: string;
}

export interface TokenStore {
  /** Returns the logins of this boot, and removes all others. */
  logins(boot: string): LoginRow[];
  /**
   * Survives the end of every process once it returns, but not a kernel crash: a new boot voids logins
   * anyway.
   */
  putLogin(login: LoginRow): void;
  /** Moves all logins of a process to its current connection. */
  moveLogins(process: string, to: Pick<LoginRow, 'uid' | 'keeper' | 'client'>): void;
  dropLogins(query: LoginQuery): void;
  tokens(): TokenRow[];
  /** With one KEK, that of `provider`. */
  addToken(token: Omit<TokenRow, 'id' | 'keks'>): TokenRow;
  updateToken(id: number, change: TokenChange): void;
  /** Replaces all KEKs in one transaction. */
  setKeks(id: number, keks: readonly KekRow[]): void;
  /** Removes the token's objects and key, and changes its row, in one transaction. */
  resetToken(id: number, change: TokenChange): void;
  countObjects(tokenId: number): number;
  /** In one transaction; returns the handles in the same order. Durable when durable() resolves. */
  addObjects(objects: readonly NewObjectRow[]): number[];
  /** Concurrent callers share one wait for the disk. */
  durable(): Promise<void>;
  object(handle: number): ObjectRow | null;
  updateObject(handle: number, attributes: Buffer, blob: Buffer | null, index: ObjectIndex): void;
  removeObject(handle: number): void;
  /** Ascending by handle, starting behind `after`; the caller stops when it has enough. */
  find(tokenId: number, query: ObjectQuery, after: number): Iterable<ObjectRow>;
  close(): void;
}
