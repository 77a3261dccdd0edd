/**
 * What the rest of the agent can ask of the tokens: the keeper's connection passes routed frames, the HTTP
 * API and the CLI use key names. token-service.ts implements it.
 */
import type { Peer } from '../access/peer.ts';
import type { Certificate } from './objects/certificate.ts';
import type { KekSummary } from './token-keys/kek-changes.ts';
import type { Attribute, ClientId, ClientSeen, NoncedItems, Operation, Outcome, UseEnded } from './ports.ts';

/** A frame that the keeper routed from a module, or its own `resolve`. */
export interface RoutedRequest {
  readonly message: string;
  /** The keeper's number of the request, for importMaterial. */
  readonly id: bigint;
  readonly client: ClientId;
  readonly body: Buffer;
  /** Permits the module to keep the reply; absent: it may not. */
  readonly letKeep?: () => void;
}

export interface KeySummary {
  readonly token: string;
  readonly slot: number;
  readonly handle: number;
  readonly uniqueId: string;
  readonly label: string;
  /** CKA_ID in hex. */
  readonly id: string;
  readonly objectClass: string;
  readonly kind: string;
  readonly sizeBits: number | null;
  /** enveloped (sealed in the store), session, or resident (in a key service). */
  readonly lives: 'enveloped' | 'session' | 'resident';
  readonly createdAt: string | null;
  readonly lease: { readonly leftMs: number | null } | null;
  /** each: every use is a line in the audit log; total: uses are counted there. */
  readonly audit: 'each' | 'total';
}

export interface TokenSummary {
  readonly label: string;
  readonly slot: number;
  readonly serial: string;
  readonly provider: string;
  readonly initialized: boolean;
  readonly userPinSet: boolean;
  readonly userPinLocked: boolean;
  readonly objects: number;
  readonly tokenKeyOpen: boolean;
  /** In order of preference. */
  readonly keks: readonly KekSummary[];
}

/** Applies to all versions of a named key. Version numbers, in Vault's terms. */
export interface KeyPolicy {
  /** Older versions are destroyed; 0: none ever was. */
  readonly minAvailableVersion: number;
  readonly minDecryptionVersion: number;
  /** 0: only the latest unless the request names another, which then may be any. */
  readonly minEncryptionVersion: number;
  readonly deletionAllowed: boolean;
  /** A new version is made when the latest is this old; 0: never. */
  readonly autoRotateMs: number;
}

export interface NamedKeyVersion {
  readonly version: number;
  readonly createdAt: string;
  /** SubjectPublicKeyInfo, DER; null for secret keys. */
  readonly publicKeyInfo: Buffer | null;
  /** Its X.509 certificate in DER, if one was stored. */
  readonly certificate: Buffer | null;
}

/** A key as the Transit dialect sees it: the objects of one token with one label. */
export interface NamedKey {
  readonly name: string;
  readonly token: string;
  readonly kind: 'aes' | 'chacha20' | 'envelope' | 'generic' | 'rsa' | 'ec' | 'ed25519' | 'x25519' | 'ml-dsa';
  readonly sizeBits: number;
  readonly operations: readonly Operation[];
  readonly extractable: boolean;
  /** Each context has its own derived key. */
  readonly derived: boolean;
  readonly imported: boolean;
  /** It stays in its key service. `salts`: the PSS salt lengths it supports. */
  readonly resident?: { readonly salts: 'any' | 'digest' };
  readonly policy: KeyPolicy;
  readonly latestVersion: number;
  /** Ascending. */
  readonly versions: readonly NamedKeyVersion[];
}

export type NewNamedKeyKind =
  | { readonly kind: 'aes'; readonly sizeBits: 128 | 256 }
  | { readonly kind: 'chacha20'; readonly sizeBits: 256 }
  | { readonly kind: 'generic'; readonly sizeBits: number }
  | { readonly kind: 'rsa'; readonly sizeBits: 2048 | 3072 | 4096 }
  | { readonly kind: 'ec'; readonly sizeBits: 256 | 384 | 521 }
  | { readonly kind: 'ed25519' }
  /** The parameter set, by the size of the public key: ML-DSA-44, -65, -87. */
  | { readonly kind: 'ml-dsa'; readonly sizeBits: 10496 | 15616 | 20736 };

export interface NewNamedKey {
  readonly kind: NewNamedKeyKind;
  readonly exportable: boolean;
  readonly derived: boolean;
  readonly autoRotateMs?: number;
}

/** The hash of RSA-OAEP and of its mask generation, as PKCS#11 numbers (CKM_, CKG_). */
export interface OaepHash {
  readonly hash: number;
  readonly mgf: number;
}

export interface WrappedNamedKey extends NewNamedKey {
  /**
   * An AES-256 key encrypted with RSA-OAEP under the token's wrapping key, followed by the key wrapped with
   * AES-KWP under the AES key.
   */
  readonly wrapped: Buffer;
  readonly hash: OaepHash;
}

/** A key for one stream, in its own cell. */
export interface StreamKey {
  /** The version of the named key that wrapped it. */
  readonly version: number;
  /** AES-GCM: 12 bytes nonce, 32 ciphertext, 16 tag. */
  readonly wrapped: Buffer;
  /** AES-256-GCM without associated data, followed by the tag. */
  operate(operation: 'encrypt' | 'decrypt', nonce: Buffer, data: Buffer): Promise<Buffer>;
  /** Wipes it. */
  close(): void;
}

/** One use of one version of a named key. */
export interface NamedKeyUse {
  readonly operation: Operation;
  readonly mechanism: { readonly type: number; readonly params: Buffer };
  readonly version: number;
  /** Required for derived keys, absent for all others. */
  readonly context?: Buffer | null;
  /** hmac: the generic secret that accompanies a key of another kind. */
  readonly beside?: 'hmac';
}

/** One of many uses in a batch. */
export interface NamedKeyItem {
  readonly use: NamedKeyUse;
  readonly data: Buffer;
  readonly signature?: Buffer | undefined;
}

/** A key that is open under a lease. */
export interface LeaseSummary {
  readonly id: string;
  /** token: the key that seals a token's objects; object: one of those. */
  readonly kind: string;
  readonly token: string;
  readonly label: string | null;
  readonly handle: number | null;
  /** null: until it is wiped. */
  readonly leftMs: number | null;
}

export interface TokenService {
  /** Resolves to the body of the reply. Rejects with a SidekeyError whose code has a wire status. */
  handle(request: RoutedRequest): Promise<Buffer>;
  clientOpened(seen: ClientSeen): Promise<void>;
  clientClosed(client: ClientId): void;
  /**
   * A use of a key whose every use is recorded has ended. Rejects with audit_failed: the next use then fails
   * at its own line.
   */
  useEnded(use: UseEnded): Promise<void>;
  cellEnded(cell: bigint): void;
  /**
   * Call after every attach: the keeper may be new (its boot number changed), or the old one with known cells
   * and clients.
   */
  keeperAttached(boot: bigint): Promise<void>;
  keeperLost(): void;

  /**
   * Once it resolves, nothing stays permitted by the old rules: every binding is resolved again. Rejects with
   * the keeper's fault.
   */
  rulesChanged(): Promise<void>;

  tokens(): TokenSummary[];
  /** Admin: creates a token (for sidekey init, or one configured but not in the store). Wipes the PINs. */
  createToken(options: {
    label: string;
    provider: string;
    soPin: Buffer | null;
    userPin: Buffer | null;
  }): Promise<TokenSummary>;
  keys(token?: string): KeySummary[];
  keyAttributes(token: string, handle: number): Attribute[];
  /** Admin: the KEKs that wrap a token's key (kek-changes.ts). They return the changed token. */
  addKek(peer: Peer, token: string, provider: string, isFirst: boolean): Promise<TokenSummary>;
  removeKek(peer: Peer, token: string, provider: string): Promise<TokenSummary>;
  rotateKeks(peer: Peer, token: string): Promise<TokenSummary>;
  /** Admin: a new version of a key that stays in its service (resident/rotation.ts). */
  rotateResident(peer: Peer, token: string, label: string): Promise<TokenSummary>;
  /**
   * Admin, or an event of the key service: wipes the token's key and everything opened with it; the next use
   * asks the service.
   */
  wipeToken(peer: Peer | null, token: string): TokenSummary;
  /**
   * An event of a key service: every open token key under it is requested again, and wiped if the service
   * refuses.
   */
  providerChanged(provider: string): void;
  leases(): LeaseSummary[];
  /** Both are recorded as acts of `peer`, and return the number wiped. */
  wipeLease(peer: Peer, id: string): number;
  wipeLeases(peer: Peer): Promise<number>;

  /**
   * For the HTTP API. Each of the following checks that the peer may use the token, and throws
   * token_not_recognized if not. Await this before finding a key or (name null) listing all; null: there is
   * nothing to wait for.
   */
  settleNamedKeys(peer: Peer, token: string, name: string | null): Promise<void> | null;
  /** 1 to 1024 bytes from the token's key service (service-random.ts). The caller wipes them. */
  serviceRandom(peer: Peer, token: string, bytes: number): Promise<Buffer>;
  /** Asks only: unlike what follows it records nothing when the answer is no. */
  mayUseToken(peer: Peer, token: string): boolean;
  listNamedKeys(peer: Peer, token: string): string[];
  findNamedKey(peer: Peer, token: string, name: string): NamedKey | null;
  createNamedKey(peer: Peer, token: string, name: string, wanted: NewNamedKey): Promise<NamedKey>;
  rotateNamedKey(peer: Peer, token: string, name: string): Promise<NamedKey>;
  /**
   * Raising minAvailableVersion destroys older versions. The caller has checked that the numbers are
   * consistent.
   */
  configureNamedKey(peer: Peer, token: string, name: string, change: Partial<KeyPolicy>): Promise<NamedKey>;
  deleteNamedKey(peer: Peer, token: string, name: string): Promise<void>;
  /**
   * SubjectPublicKeyInfo (DER) of the RSA key that wraps keys for importNamedKey. Created when first
   * requested.
   */
  wrappingKey(peer: Peer, token: string): Promise<Buffer>;
  /**
   * `next` false: the first version of a new name, or action_prohibited if the name is taken; true: the next
   * version of an existing key.
   */
  importNamedKey(
    peer: Peer,
    token: string,
    name: string,
    wanted: WrappedNamedKey,
    next: boolean,
  ): Promise<NamedKey>;
  /** A fresh key, wrapped by an AES key and bound to `aad`. The caller closes it. */
  makeStreamKey(
    peer: Peer,
    token: string,
    name: string,
    wanted: { readonly version: number; readonly aad: Buffer },
  ): Promise<StreamKey>;
  /** wrapped_key_invalid if it was not wrapped by this version with this `aad`. The caller closes it. */
  openStreamKey(
    peer: Peer,
    token: string,
    name: string,
    wanted: { readonly version: number; readonly aad: Buffer; readonly wrapped: Buffer },
  ): Promise<StreamKey>;
  /**
   * The bytes of a secret key, or PKCS#8: the caller wipes them. key_unextractable unless the key is
   * exportable.
   */
  exportNamedKey(
    peer: Peer,
    token: string,
    name: string,
    wanted: Pick<NamedKeyUse, 'version' | 'beside'>,
  ): Promise<Buffer>;
  /**
   * The first certificate is the key's own, whose public key the caller has compared; the others are its
   * issuers'.
   */
  setNamedKeyCertificates(
    peer: Peer,
    token: string,
    name: string,
    version: number,
    chain: readonly Certificate[],
  ): Promise<NamedKey>;
  /** Encrypts a message of Tink's KMS envelope AEAD, with the envelope key of a token (kind envelope). */
  sealEnvelope(peer: Peer, token: string, name: string, aad: Buffer, plaintext: Buffer): Promise<Buffer>;
  /** encrypted_data_invalid for a malformed message, or one encrypted under another key. */
  openEnvelope(peer: Peer, token: string, name: string, aad: Buffer, message: Buffer): Promise<Buffer>;
  /**
   * A batch, in which each item succeeds or fails on its own; results in the same order. Rejects if the whole
   * batch is invalid.
   */
  operateNamedKeys(
    peer: Peer,
    token: string,
    name: string,
    items: readonly NamedKeyItem[],
  ): Promise<Outcome[]>;
  /**
   * A batch of AES-GCM or ChaCha20-Poly1305 without associated data, before this returns: the outputs of all items, each to be wiped by the
   * caller. null: it did not come about, for whatever reason; ask operateNamedKeys, which tells. `use.mechanism` and `items` as in
   * Keeper.operateAtOnce.
   */
  operateNamedKeyAtOnce(
    peer: Peer,
    token: string,
    name: string,
    use: NamedKeyUse,
    items: NoncedItems,
  ): Buffer[] | null;
  operateNamedKey(
    peer: Peer,
    token: string,
    name: string,
    use: NamedKeyUse,
    data: Buffer,
    signature?: Buffer,
  ): Promise<Buffer>;

  /** Writes the use counters to the audit log; called periodically and at the end. */
  flushUsage(): Promise<void>;
  close(): Promise<void>;
}
