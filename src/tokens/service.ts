/**
 * What the rest of the agent may ask of the tokens: the keeper's connection hands it routed frames, the HTTP API and the
 * CLI work by key name. src/tokens/token-service.ts makes it.
 */
import type { Peer } from '../access/peer.ts';
import type { Certificate } from './objects/certificate.ts';
import type { KekSummary } from './kek-changes.ts';
import type { Attribute, ClientId, ClientSeen, Operation, Outcome, UseEnded } from './ports.ts';

/** A frame that the keeper routed from a module, or its own `resolve`. */
export interface RoutedRequest {
  readonly message: string;
  /** The keeper's number of the request: importMaterial names it. */
  readonly id: bigint;
  readonly client: ClientId;
  readonly body: Buffer;
  /** Called when the module may keep the reply; absent: none may be kept. */
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
  /** enveloped (sealed in the store), session, or resident at a provider. */
  readonly lives: 'enveloped' | 'session' | 'resident';
  readonly createdAt: string | null;
  readonly lease: { readonly leftMs: number | null } | null;
  /** each: every use is a line of the audit log; total: uses are counted there. */
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

/** What holds for all versions of a named key. Numbers of versions; Vault's words for them. */
export interface KeyPolicy {
  /** Older ones are destroyed; 0: none ever was. */
  readonly minAvailableVersion: number;
  readonly minDecryptionVersion: number;
  /** 0: the latest alone unless another is asked for, which then may be any. */
  readonly minEncryptionVersion: number;
  readonly deletionAllowed: boolean;
  /** A next version is made when the latest is so old; 0: never. */
  readonly autoRotateMs: number;
}

export interface NamedKeyVersion {
  readonly version: number;
  readonly createdAt: string;
  /** SubjectPublicKeyInfo, DER; null for secret keys. */
  readonly publicKeyInfo: Buffer | null;
  /** Its X.509 certificate, DER, where one was stored. */
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
  /** Each context has a key of its own. */
  readonly derived: boolean;
  readonly imported: boolean;
  /** It stays in its key service. `salts`: which lengths of salt its PSS has. */
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
  /** The size of the public key tells which parameter set: ML-DSA-44, -65, -87. */
  | { readonly kind: 'ml-dsa'; readonly sizeBits: 10496 | 15616 | 20736 };

export interface NewNamedKey {
  readonly kind: NewNamedKeyKind;
  readonly exportable: boolean;
  readonly derived: boolean;
  readonly autoRotateMs?: number;
}

/** The hash of RSA-OAEP, and of its mask generation, by their numbers in PKCS#11 (CKM_, CKG_). */
export interface OaepHash {
  readonly hash: number;
  readonly mgf: number;
}

export interface WrappedNamedKey extends NewNamedKey {
  /** RSA-OAEP of an AES-256 key under the token's wrapping key, and AES-KWP of the key under that. */
  readonly wrapped: Buffer;
  readonly hash: OaepHash;
}

/** A key that is for one stream, in a cell of its own. */
export interface StreamKey {
  /** Of the named key that wrapped it. */
  readonly version: number;
  /** 12 bytes nonce, 32 ciphertext, 16 tag: AES-GCM. */
  readonly wrapped: Buffer;
  /** AES-256-GCM without associated data; the tag is at the end. */
  operate(operation: 'encrypt' | 'decrypt', nonce: Buffer, data: Buffer): Promise<Buffer>;
  /** Wipes it. */
  close(): void;
}

/** One use of one version of a named key. */
export interface NamedKeyUse {
  readonly operation: Operation;
  readonly mechanism: { readonly type: number; readonly params: Buffer };
  readonly version: number;
  /** For derived keys, which need one; absent for all others. */
  readonly context?: Buffer | null;
  /** hmac: the generic secret beside a key of another kind. */
  readonly beside?: 'hmac';
}

/** One of many uses at once. */
export interface NamedKeyItem {
  readonly use: NamedKeyUse;
  readonly data: Buffer;
  readonly signature?: Buffer | undefined;
}

/** A key that stands open under a lease. */
export interface LeaseSummary {
  readonly id: string;
  /** token: the key that seals a token's objects; object: one of these. */
  readonly kind: string;
  readonly token: string;
  readonly label: string | null;
  readonly handle: number | null;
  /** null: it ends when it is wiped. */
  readonly leftMs: number | null;
}

export interface TokenService {
  /** Body of the reply. Rejects with a SidekeyError whose code has a wire status. */
  handle(request: RoutedRequest): Promise<Buffer>;
  clientOpened(seen: ClientSeen): Promise<void>;
  clientClosed(client: ClientId): void;
  /** A use of a key of which each is recorded. Rejects with audit_failed: the next use then fails at its own line. */
  useEnded(use: UseEnded): Promise<void>;
  cellEnded(cell: bigint): void;
  /** After every attach: the keeper may be a new one (boot changed) or the old one with cells and clients that are known. */
  keeperAttached(boot: bigint): Promise<void>;
  keeperLost(): void;

  /** After it, nothing that was permitted under former rules is: each is asked for again. Rejects with the keeper's fault. */
  rulesChanged(): Promise<void>;

  tokens(): TokenSummary[];
  /** Admin: create a token (sidekey init, or configuration names one that is not in the store). PINs are wiped. */
  createToken(options: {
    label: string;
    provider: string;
    soPin: Buffer | null;
    userPin: Buffer | null;
  }): Promise<TokenSummary>;
  keys(token?: string): KeySummary[];
  keyAttributes(token: string, handle: number): Attribute[];
  /** Admin: under which KEKs a token's key lies (kek-changes.ts). Answer the token as it is then. */
  addKek(peer: Peer, token: string, provider: string, isFirst: boolean): Promise<TokenSummary>;
  removeKek(peer: Peer, token: string, provider: string): Promise<TokenSummary>;
  rotateKeks(peer: Peer, token: string): Promise<TokenSummary>;
  /** Admin: a further version of a key that stays in its service (resident/rotation.ts). */
  rotateResident(peer: Peer, token: string, label: string): Promise<TokenSummary>;
  /** Admin, or an event of the key service: the token's key and all it opened are wiped now; the next use asks the service. */
  wipeToken(peer: Peer | null, token: string): TokenSummary;
  /** An event of a key service: every token key that is open under it is asked for anew, and wiped when the service says no. */
  providerChanged(provider: string): void;
  leases(): LeaseSummary[];
  /** Both are recorded as acts of `peer`, and answer how many were wiped. */
  wipeLease(peer: Peer, id: string): number;
  wipeLeases(peer: Peer): Promise<number>;

  /** For the HTTP API: each checks that the peer may use the token; token_not_recognized when it may not. */
  /** To be waited for before one of them is found, or (name null) all are listed; null: nothing is. */
  settleNamedKeys(peer: Peer, token: string, name: string | null): Promise<void> | null;
  /** Bytes of the token's key service (service-random.ts), 1 to 1024. The caller wipes them. */
  serviceRandom(peer: Peer, token: string, bytes: number): Promise<Buffer>;
  listNamedKeys(peer: Peer, token: string): string[];
  findNamedKey(peer: Peer, token: string, name: string): NamedKey | null;
  createNamedKey(peer: Peer, token: string, name: string, wanted: NewNamedKey): Promise<NamedKey>;
  rotateNamedKey(peer: Peer, token: string, name: string): Promise<NamedKey>;
  /** A greater minAvailableVersion destroys what is older. The caller has checked that the numbers fit each other. */
  configureNamedKey(peer: Peer, token: string, name: string, change: Partial<KeyPolicy>): Promise<NamedKey>;
  deleteNamedKey(peer: Peer, token: string, name: string): Promise<void>;
  /** SubjectPublicKeyInfo, DER, of the RSA key that keys are wrapped with for importNamedKey. Made when it is first asked for. */
  wrappingKey(peer: Peer, token: string): Promise<Buffer>;
  /** The first version of a new name (`next` false; action_prohibited when it is taken), or the next one of a key that is there. */
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
  /** wrapped_key_invalid when it was not wrapped by this version with this `aad`. The caller closes it. */
  openStreamKey(
    peer: Peer,
    token: string,
    name: string,
    wanted: { readonly version: number; readonly aad: Buffer; readonly wrapped: Buffer },
  ): Promise<StreamKey>;
  /** The bytes of a secret key, or PKCS#8: the caller wipes them. key_unextractable unless the key was made to leave. */
  exportNamedKey(
    peer: Peer,
    token: string,
    name: string,
    wanted: Pick<NamedKeyUse, 'version' | 'beside'>,
  ): Promise<Buffer>;
  /** The first certificate is the key's own: the caller has compared the public keys. The others are its issuers'. */
  setNamedKeyCertificates(
    peer: Peer,
    token: string,
    name: string,
    version: number,
    chain: readonly Certificate[],
  ): Promise<NamedKey>;
  /** A message of Tink's KMS envelope AEAD, by the envelope key of a token (kind envelope). */
  sealEnvelope(peer: Peer, token: string, name: string, aad: Buffer, plaintext: Buffer): Promise<Buffer>;
  /** encrypted_data_invalid for what is none, or not this key's. */
  openEnvelope(peer: Peer, token: string, name: string, aad: Buffer, message: Buffer): Promise<Buffer>;
  /** Many at once, each of which ends by itself: in their order. Rejects for what is wrong with all. */
  operateNamedKeys(
    peer: Peer,
    token: string,
    name: string,
    items: readonly NamedKeyItem[],
  ): Promise<Outcome[]>;
  operateNamedKey(
    peer: Peer,
    token: string,
    name: string,
    use: NamedKeyUse,
    data: Buffer,
    signature?: Buffer,
  ): Promise<Buffer>;

  /** Write the use counters to audit (called now and then, and at the end). */
  flushUsage(): Promise<void>;
  close(): Promise<void>;
}
