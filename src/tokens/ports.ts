/**
 * What the domain needs from the world outside it, as small interfaces that `main` fills: the keeper, providers, the
 * store, audit, clock. Nothing here does anything.
 */
import type { AccessOperation } from '../access/operations.ts';
import type { Peer } from '../access/peer.ts';
import type { SidekeyError } from '../errors.ts';
import type { ResidentKeys } from './resident-port.ts';

/** A cell in the keeper's locked memory. Numbers of the keeper are 64-bit. */
export type CellId = bigint;
/** A connected process, as the keeper numbers it. */
export type ClientId = bigint;

/** One PKCS#11 attribute: `type` is a CKA_ number, `value` the bytes that a 64-bit C program would see. */
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

/** One row of the keeper's table: what it implements. `flags` are those of CK_MECHANISM_INFO. */
export interface MechanismRow {
  readonly type: number;
  readonly name: string;
  readonly keyType: number | null;
  readonly flags: number;
  readonly min: number;
  readonly max: number;
  /** approved: also where FIPS is asked for; legacy: only where old mechanisms are. */
  readonly standing: 'approved' | 'other' | 'legacy';
}

/** What every message that makes a key says of the key that is made (ARCHITECTURE.md, new-key). */
export interface NewKey {
  readonly objectClass: number;
  readonly keyType: number;
  /** The client that the cell dies with; null: the agent's own. */
  readonly owner: ClientId | null;
  /** Life of the lease; null: none. */
  readonly leaseMs: number | null;
  readonly uses: number | null;
  /** What the keeper keeps for the agent's restart. */
  readonly note: Buffer | null;
  /** Seal the new key under this cell, with this associated data; null: do not. */
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
  /** Operations allowed before the next context-specific login; 0 with contextLogin: none yet. */
  readonly credits: number;
  /** Every use needs the agent's leave, by a `resolve` of its own. */
  readonly eachAsks: boolean;
}

export interface ClientSeen {
  readonly client: ClientId;
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly program: string;
  /** The version of the frame that its module speaks; absent: the keeper does not say. */
  readonly wire?: number;
  readonly note: Buffer | null;
  /** Absent from what is told when a client comes: it has not asked for its ring yet. */
  readonly ring?: RingState;
}

/** Whether a process has shared memory with the keeper; `refused` is the errno of what stood in the way, null: it asked for none. */
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

/** A use that the agent gave leave for, and asked to be told of. */
export interface UseEnded {
  /** The number of the request that asked for leave. */
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

/** `times[i]`: below 2^(8+i) ns; the last: all others. */
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
  /** One of so many operations of programs is timed. */
  readonly sampledOneOf: number;
  readonly latencies: readonly LatencySeen[];
}

/**
 * The keeper as the domain sees it. Every call rejects with a SidekeyError: the keeper's own status, `keeper_absent` while
 * no keeper is attached, or `deadline`. Buffers with secrets that are handed in are wiped by this side once sent.
 */
/** One of many operations with a cell. */
export interface KeeperItem {
  readonly mechanism: Mechanism;
  readonly data: Buffer;
  readonly signature?: Buffer | undefined;
}

/** How one of many operations ended. */
export type Outcome = Buffer | SidekeyError;

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
  /** The material that a routed create brought, with further (public) components. */
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
  /** CKM_HKDF_DATA: what is derived is no key, and the agent's to keep. */
  deriveData(
    base: CellId,
    mechanism: Mechanism,
    lengthBytes: number | null,
    other: CellId | null,
  ): Promise<Buffer>;
  /** A key of the password that a routed password_key brought. */
  derivePassword(
    key: NewKey,
    routedId: bigint,
    mechanism: Mechanism,
    lengthBytes: number | null,
  ): Promise<MadeKey>;
  /** A new secret key, and what the owner of the private key makes the same of. */
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
  /** A whole operation of the agent's own; data of any length up to 32 MiB is sent in pieces. For verify: rejects with
   * signature_invalid. */
  operate(
    cell: CellId,
    operation: Operation,
    mechanism: Mechanism,
    data: Buffer,
    signature?: Buffer,
  ): Promise<Buffer>;
  /** The same with many, each of which ends by itself: in their order. */
  operateMany(cell: CellId, operation: Operation, items: readonly KeeperItem[]): Promise<Outcome[]>;
  random(lengthBytes: number): Promise<Buffer>;
  bind(binding: Binding): Promise<void>;
  /** null: every client, every handle of the slot. */
  unbind(client: ClientId | null, slot: number, handle: number | null): Promise<void>;
  usage(): Promise<UsageSeen[]>;
}

/**
 * The KEK as an AEAD of a few bytes without associated data, just as the service itself would be asked: what Tink calls a KMS
 * AEAD. Rejects with encrypted_data_invalid for what it did not encrypt.
 */
export interface BareKek {
  /** Wipes the plaintext. */
  encrypt(plaintext: Buffer): Promise<Buffer>;
  /** The caller wipes what it gets. */
  decrypt(ciphertext: Buffer): Promise<Buffer>;
}

/** Adapter for one kind of key service: here, as the holder of KEKs. Rejections: provider_unreachable, provider_refused. */
export interface Provider {
  readonly name: string;
  readonly kind: string;
  /** Keys that never leave the service; null: this provider has none. */
  readonly resident: ResidentKeys | null;
  /** null: this kind has no form that others could read. */
  readonly bare: BareKek | null;
  /** Bytes of the service's own generator, 1 to 1024 of them; the caller wipes them. null: this kind has none of its own. */
  readonly random: ((bytes: number) => Promise<Buffer>) | null;
  /** Make a data key that is open in a cell and wrapped by the KEK. */
  createDataKey(purpose: string): Promise<{ cell: CellId; wrapped: Buffer }>;
  /** Open a wrapped data key into a cell with this lease. */
  openDataKey(wrapped: Buffer, purpose: string, leaseMs: number): Promise<CellId>;
  health(): Promise<{ ok: boolean; detail: string }>;
  /** Seconds that its credentials have left; null: it holds none, they do not end, or it cannot say. */
  credentialSecondsLeft(): number | null;
  /** Calls `changed` when the service says that something changed there, where it does; until close(). */
  watch(changed: () => void): void;
  close(): Promise<void>;
}

/** What the access rules are asked. `use` is seeing the token and its public objects at all. */
export interface AccessPolicy {
  admits(peer: Peer, tokenLabel: string): boolean;
  /** Whether it may do anything with a key of this label; null: with every key. */
  sees(peer: Peer, tokenLabel: string, key: string | null): boolean;
  permits(peer: Peer, tokenLabel: string, key: string, operation: AccessOperation): boolean;
  /** May this peer create tokens (C_InitToken on the free slot)? */
  mayCreateTokens(peer: Peer): boolean;
}

/** One audit record; the sink adds time, number and chain. Values are strings and numbers only, never secrets. */
export interface AuditSink {
  record(event: string, fields: Readonly<Record<string, string | number | boolean | null>>): void;
  /** Resolves when what was recorded is on the disk: to be awaited before an act is answered. Rejects with audit_failed. */
  durable(): Promise<void>;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds that only grow, suspended time included where the host can say. */
  monotonic(): number;
}

/** Calls back once, unless what it gives is called before. */
export type Timer = (ms: number, fire: () => void) => () => void;
