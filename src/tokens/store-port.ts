/**
 * What the domain asks of a store. Calls are synchronous, because the one store is a local file: between two lines of the domain
 * nothing else can have changed. A change that returned is durable, but for addObjects. Every call may throw store_failed.
 */

/** One way to a token's key. */
export interface KekRow {
  /** Whose KEK it is. */
  readonly provider: string;
  /** A data key under the KEK: the token key itself, or what it is sealed by. null: not made yet. */
  readonly wrapped: Buffer | null;
  /** The token key, sealed by that data key; null: that data key is the token key. */
  readonly sealed: Buffer | null;
}

export interface TokenRow {
  readonly id: number;
  /** What configuration and access rules call it: fixed when it is made. */
  readonly name: string;
  /** What C_InitToken named it last. */
  readonly label: string;
  /** 16 hex digits: also what seals are bound to; new with every C_InitToken. */
  readonly serial: string;
  readonly slot: number;
  /** The preferred one: that of the first KEK. */
  readonly provider: string;
  /** As pins.ts writes them; null: none. */
  readonly soPin: string | null;
  readonly userPin: string | null;
  /** Wrong PINs since the last right one. */
  readonly soFailures: number;
  readonly userFailures: number;
  /** In order of preference; one at least. None is wrapped until the first object needs a token key. */
  readonly keks: readonly KekRow[];
  readonly createdAt: number;
}

export type TokenChange = Partial<Omit<TokenRow, 'id' | 'name' | 'slot' | 'createdAt' | 'provider' | 'keks'>>;

export interface ObjectRow {
  readonly handle: number;
  readonly tokenId: number;
  readonly uniqueId: string;
  /** attribute-value.ts, encodeAttributes. */
  readonly attributes: Buffer;
  readonly blob: Buffer | null;
  readonly createdAt: number;
}

/** The columns by which find needs no scan. They repeat attributes; the attributes decide. */
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

/** null: not asked for. */
export interface ObjectQuery {
  readonly objectClass: number | null;
  readonly keyType: number | null;
  readonly label: Buffer | null;
  readonly id: Buffer | null;
  /** false: public objects only. */
  readonly withPrivate: boolean;
}

/** That a process is logged in to a token. It holds no PIN, and opens nothing by itself. */
export interface LoginRow {
  /** Of the kernel: a process of another boot is another process. */
  readonly boot: string;
  /** Pid and start time, as clients.ts names a process. */
  readonly process: string;
  /** With which it connected; null: not known. */
  readonly uid: number | null;
  /** Boot number of the keeper, and its number of the connection that the login was last seen on; null: not known. */
  readonly keeper: bigint | null;
  readonly client: bigint | null;
  readonly serial: string;
  readonly role: 'user' | 'so';
}

/** All that is named must hold; not those of `except`. */
export interface LoginQuery {
  readonly process?: string;
  readonly serial?: string;
  readonly role?: 'user' | 'so';
  readonly except?: string;
}

export interface TokenStore {
  /** Those of this boot; the others are removed. */
  logins(boot: string): LoginRow[];
  /** Changes of logins outlive every process when they return, but not the kernel: its boot voids them anyway. */
  putLogin(login: LoginRow): void;
  /** All of a process, to the connection that it is seen on now. */
  moveLogins(process: string, to: Pick<LoginRow, 'uid' | 'keeper' | 'client'>): void;
  dropLogins(query: LoginQuery): void;
  tokens(): TokenRow[];
  /** Under one KEK, that of `provider`. */
  addToken(token: Omit<TokenRow, 'id' | 'keks'>): TokenRow;
  updateToken(id: number, change: TokenChange): void;
  /** Replaces all, in one transaction. */
  setKeks(id: number, keks: readonly KekRow[]): void;
  /** Removes the token's objects and its key, and changes its row, in one transaction. */
  resetToken(id: number, change: TokenChange): void;
  countObjects(tokenId: number): number;
  /** One transaction; the handles in the same order. Durable when durable() resolves. */
  addObjects(objects: readonly NewObjectRow[]): number[];
  /** Many who add objects at once wait for the disk together. */
  durable(): Promise<void>;
  object(handle: number): ObjectRow | null;
  updateObject(handle: number, attributes: Buffer, blob: Buffer | null, index: ObjectIndex): void;
  removeObject(handle: number): void;
  /** Ascending by handle, from after `after`; the caller stops when it has enough. */
  find(tokenId: number, query: ObjectQuery, after: number): Iterable<ObjectRow>;
  close(): void;
}
