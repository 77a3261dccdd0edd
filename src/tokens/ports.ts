/**
 * What the domain needs from the outside, as small interfaces that `main` fills: keeper, providers, store,
 * audit, clock. No code.
 */
import type { AccessOperation } from '../access/operations.ts';
import type { Peer } from '../access/peer.ts';
import type { SidekeyError } from '../errors.ts';
import type { ResidentKeys } from './resident-port.ts';

/** A cell in the keeper's locked memory, by the keeper's 64-bit number. */
export type CellId = bigint;
/** A connected process, as the keeper numbers it. */
export type ClientId = bigint;

/** One PKCS#11 attribute: `type` is a CKA_ number, `value` the bytes as a 64-bit C program lays them out. */
export interface Attribute {
  readonly type: number;
  readonly value: Buffer;
}
export type Template = readonly Attribute[];

/** A mechanism with its parameter as native-shim/wire/params.h lays it out. */
export interface Mechanism {
  readonly type: number;
  readonly params: Buffer;
}

/** One row of the keeper's mechanism table. `flags` are those of CK_MECHANISM_INFO. */
export interface MechanismRow {
  readonly type: number;
  readonly name: string;
  readonly keyType: number | null;
  readonly flags: number;
  readonly min: number;
  readonly max: number;
  /** approved: offered in FIPS mode too; legacy: offered only if old mechanisms are enabled. */
  readonly standing: 'approved' | 'other' | 'legacy';
}

/** What every message that creates a key says about it (ARCHITECTURE.md, new-key). */
export interface NewKey {
  readonly objectClass: number;
  readonly keyType: number;
  /** The client whose disconnection closes the cell; null: the agent. */
  readonly owner: ClientId | null;
  /** Duration of the lease; null: unlimited. */
  readonly leaseMs: number | null;
  readonly uses: number | null;
  /** Stored with the cell, for the agent to read after a restart. */
  readonly note: Buffer | null;
  /** Seals the new key under cell `by` with this associated data; null: not sealed. */
  readonly seal: { readonly by: CellId; readonly aad: Buffer } | null;
}

export interface MadeKey {
  readonly cell: CellId;
  /** Public components: CKA_MODULUS, CKA_EC_POINT, CKA_VALUE_LEN, CKA_CHECK_VALUE, CKA_PUBLIC_KEY_INFO, ... */
  readonly components: Template;
  readonly blob: Buffer | null;
}

export type Operation =
  'encrypt' | 'decrypt' | 'sign' | 'verify' | 'digest' | 'sign_recover' | 'verify_recover';

export interface Binding {
  readonly client: ClientId;
  readonly slot: number;
  readonly handle: number;
  readonly operations: readonly Operation[];
  readonly cell: CellId;
  /** CKA_ALLOWED_MECHANISMS; empty: all. */
  readonly mechanisms: readonly number[];
  readonly contextLogin: boolean;
  /** Operations allowed before the next context-specific login; 0 with contextLogin: log in first. */
  readonly credits: number;
  /** Every use needs the agent's permission, by a `resolve` of its own. */
  readonly eachAsks: boolean;
}

export interface ClientSeen {
  readonly client: ClientId;
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly program: string;
  /** Protocol version of the process's module; absent: the keeper does not say. */
  readonly wire?: number;
  readonly note: Buffer | null;
  /** Absent while a client connects: it has not asked for its ring yet. */
  readonly ring?: RingState;
}

/**
 * Whether a process shares memory with the keeper; `refused` is the errno of the failure, or null if it did
 * not ask.
 */
export type RingState =
  { readonly shared: true } | { readonly shared: false; readonly refused: number | null };

export interface CellSeen {
  readonly cell: CellId;
  readonly owner: ClientId | null;
  readonly leftMs: number | null;
  readonly note: Buffer | null;
}

export interface UsageSeen {
  readonly client: ClientId;
  readonly uid: number;
  readonly slot: number;
  readonly handle: number;
  readonly operation: Operation;
  readonly times: number;
  readonly bytes: number;
}

/** The end of a use that the agent permitted and asked to hear about. */
export interface UseEnded {
  /** The number of the request that asked for permission. */
  readonly leave: bigint;
  readonly client: ClientId;
  readonly slot: number;
  readonly handle: number;
  readonly mechanism: number;
  /** null: it never began. */
  readonly operation: Operation | null;
  /** 0: ok; else one of errors.def. */
  readonly status: number;
}

/** `times[i]` counts operations below 2^(8+i) ns; the last entry counts all others. */
export interface LatencySeen {
  readonly operation: Operation;
  readonly nanoseconds: number;
  readonly times: readonly number[];
}

export interface KeeperState {
  readonly lockedBytes: number;
  readonly usedBytes: number;
  readonly kind: 'memfd_secret' | 'mlock';
  readonly cells: number;
  readonly clients: number;
  readonly bindings: number;
  readonly parked: number;
  readonly hotOperations: number;
  readonly misses: number;
  /** One in this many operations of programs is timed. */
  readonly sampledOneOf: number;
  readonly latencies: readonly LatencySeen[];
  /** The library that performs AES-GCM. */
  readonly gcm: 'openssl' | 'ipsec-mb';
}

/** One of many operations with a cell. */
export interface KeeperItem {
  readonly mechanism: Mechanism;
  readonly data: Buffer;
  readonly signature?: Buffer | undefined;
}

/** How one of many operations ended. */
export type Outcome = Buffer | SidekeyError;

/** Of AES-GCM and ChaCha20-Poly1305. */
export const NONCE_BYTES = 12;

/** What many operations differ in, where it is nonce and data alone. */
export interface NoncedItems {
  readonly count: number;
  /** Writes an item's nonce and then its data at `at`. Answers where they end; null: there is no room, or the item is not valid. */
  readonly write: (index: number, into: Buffer, at: number) => number | null;
}

/**
 * The keeper as the domain sees it. Every call rejects with a SidekeyError: the keeper's own status,
 * `keeper_absent` while no keeper is attached, or `deadline`. Buffers with secrets are wiped once sent.
 */
export interface Keeper {
  /** null while no keeper is attached. */
  readonly pid: number | null;
  mechanisms(): readonly MechanismRow[];
  state(): Promise<KeeperState>;
  clients(): Promise<ClientSeen[]>;
  noteClient(client: ClientId, note: Buffer): Promise<void>;
  cells(): Promise<CellSeen[]>;
  generate(key: NewKey, mechanism: Mechanism, template: Template): Promise<MadeKey>;
  /** CKA_PRIME, CKA_BASE and, of DSA and X9.42, CKA_SUBPRIME. */
  generateDomain(mechanism: Mechanism, template: Template): Promise<Template>;
  /** Components in the clear (a public key, or bytes on their way from a provider): secret ones are wiped after sending. */
  importComponents(key: NewKey, components: Template): Promise<MadeKey>;
  /** Imports the material that a routed `create` brought, with further (public) components. */
  importMaterial(key: NewKey, routedId: bigint, components: Template): Promise<MadeKey>;
  open(key: NewKey, by: CellId, aad: Buffer, blob: Buffer): Promise<MadeKey>;
  unwrap(
    key: NewKey,
    by: CellId,
    mechanism: Mechanism,
    wrapped: Buffer,
    lengthBytes: number | null,
  ): Promise<MadeKey>;
  /** `other`: the second key, where the mechanism's parameter names one. */
  derive(
    key: NewKey,
    base: CellId,
    mechanism: Mechanism,
    lengthBytes: number | null,
    other: CellId | null,
  ): Promise<MadeKey>;
  /** CKM_HKDF_DATA: the output is not a key, and is returned to the agent. */
  deriveData(
    base: CellId,
    mechanism: Mechanism,
    lengthBytes: number | null,
    other: CellId | null,
  ): Promise<Buffer>;
  /** A key derived from the password that a routed password_key brought. */
  derivePassword(
    key: NewKey,
    routedId: bigint,
    mechanism: Mechanism,
    lengthBytes: number | null,
  ): Promise<MadeKey>;
  /** A new secret key, and the ciphertext from which the private key's owner obtains the same key. */
  encapsulate(
    key: NewKey,
    to: CellId,
    mechanism: Mechanism,
    lengthBytes: number | null,
  ): Promise<{ readonly made: MadeKey; readonly ciphertext: Buffer }>;
  decapsulate(
    key: NewKey,
    by: CellId,
    mechanism: Mechanism,
    ciphertext: Buffer,
    lengthBytes: number | null,
  ): Promise<MadeKey>;
  copy(key: NewKey, cell: CellId): Promise<MadeKey>;
  seal(cell: CellId, by: CellId, aad: Buffer): Promise<Buffer>;
  wrap(cell: CellId, by: CellId, mechanism: Mechanism): Promise<Buffer>;
  note(cell: CellId, note: Buffer): Promise<void>;
  drop(cell: CellId): Promise<void>;
  /** A complete operation. Data of up to 32 MiB is sent in pieces. A failed verify rejects with signature_invalid. */
  operate(
    cell: CellId,
    operation: Operation,
    mechanism: Mechanism,
    data: Buffer,
    signature?: Buffer,
  ): Promise<Buffer>;
  /** The same for many items, each of which succeeds or fails on its own; results in the same order. */
  operateMany(cell: CellId, operation: Operation, items: readonly KeeperItem[]): Promise<Outcome[]>;
  /**
   * The same for items that differ in nonce and data alone, before it returns: the outputs of all, each to be wiped by the caller. null: not
   * one of them has an output, but some may have been performed. `mechanism` has no associated data; its parameters begin with a nonce, in
   * whose place each item's own stands.
   */
  operateAtOnce(
    cell: CellId,
    operation: Operation,
    mechanism: Mechanism,
    items: NoncedItems,
  ): Buffer[] | null;
  random(lengthBytes: number): Promise<Buffer>;
  bind(binding: Binding): Promise<void>;
  /** null: every client, every handle of the slot. */
  unbind(client: ClientId | null, slot: number, handle: number | null): Promise<void>;
  usage(): Promise<UsageSeen[]>;
}

/**
 * The KEK as an AEAD for a few bytes without associated data, in the service's own format: what Tink calls a
 * KMS AEAD. Rejects with encrypted_data_invalid for anything that it did not encrypt.
 */
export interface BareKek {
  /** Wipes the plaintext. */
  encrypt(plaintext: Buffer): Promise<Buffer>;
  /** The caller wipes the result. */
  decrypt(ciphertext: Buffer): Promise<Buffer>;
}

/**
 * Adapter for one kind of key service, as the holder of KEKs. Rejects with provider_unreachable or
 * provider_refused.
 */
export interface Provider {
  readonly name: string;
  readonly kind: string;
  /** Keys that never leave the service; null: this provider has none. */
  readonly resident: ResidentKeys | null;
  /** null: this kind has no format that others could read. */
  readonly bare: BareKek | null;
  /** 1 to 1024 bytes from the service's own generator; the caller wipes them. null: this kind has none. */
  readonly random: ((bytes: number) => Promise<Buffer>) | null;
  /** Makes a data key, open in a cell and wrapped by the KEK. */
  createDataKey(purpose: string): Promise<{ cell: CellId; wrapped: Buffer }>;
  /** Opens a wrapped data key into a cell with this lease. */
  openDataKey(wrapped: Buffer, purpose: string, leaseMs: number): Promise<CellId>;
  health(): Promise<{ ok: boolean; detail: string }>;
  /** Seconds until its credentials expire; null: it has none, they do not expire, or it cannot tell. */
  credentialSecondsLeft(): number | null;
  /** Calls `changed` when the service reports a change, if it does; until close(). */
  watch(changed: () => void): void;
  close(): Promise<void>;
}

/** The questions put to the access rules. `use` is seeing the token and its public objects at all. */
export interface AccessPolicy {
  admits(peer: Peer, tokenLabel: string): boolean;
  /** Whether the peer may do anything with a key of this label; null: with every key. */
  sees(peer: Peer, tokenLabel: string, key: string | null): boolean;
  permits(peer: Peer, tokenLabel: string, key: string, operation: AccessOperation): boolean;
  /** Whether it may do one of these with some key or other. */
  permitsSome(peer: Peer, tokenLabel: string, operations: readonly AccessOperation[]): boolean;
  /** Whether the peer may create tokens (C_InitToken on the free slot). */
  mayCreateTokens(peer: Peer): boolean;
}

/** One audit record; the sink adds time, number and chain. Values are strings and numbers only, never secrets. */
export interface AuditSink {
  record(event: string, fields: Readonly<Record<string, string | number | boolean | null>>): void;
  /** Resolves when everything recorded is on disk: await it before answering. Rejects with audit_failed. */
  durable(): Promise<void>;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Monotonic milliseconds, including suspended time where the host can tell. */
  monotonic(): number;
}

/** Calls `fire` once, unless the function it returns is called first. */
export type Timer = (ms: number, fire: () => void) => () => void;
