/**
 * What a remote key service must be able to do to hold a KEK, and what every adapter of one looks like. The rest of Sidekey
 * knows none of them: src/providers/kinds.ts lists them, remote-provider.ts makes a Provider of each.
 */
import type { z } from 'zod';
import type { Logger } from '../log/logger.ts';
import type { BareKek, Clock } from '../tokens/ports.ts';
import type { DataKey } from './data-key.ts';
import type { ResidentKeys } from '../tokens/resident-port.ts';

/** `error`: the cause, from which a remedy is found; not for display. */
export interface Health {
  readonly ok: boolean;
  readonly detail: string;
  readonly error?: unknown;
}

/** `ask` resolves to a description of the KEK, or rejects if it cannot be used. Never rejects itself. */
export async function healthOf(ask: () => Promise<string>): Promise<Health> {
  try {
    return { ok: true, detail: await ask() };
  } catch (error) {
    return { ok: false, detail: error instanceof Error ? error.message : String(error), error };
  }
}

/** A data key of 32 bytes, encrypted by RSA-OAEP without a label. */
export interface Carried {
  readonly bytes: Buffer;
  /** Of the padding, and of its mask. */
  readonly hash: 'sha256' | 'sha1';
  /** So many bytes may stand before the key (a head that its service writes), or none; never any behind it. */
  readonly headBytes: number;
}

/**
 * Data keys that the service gives out only wrapped by a public key of the keeper's, so that nobody between the two sees them. `info`: that key's
 * SubjectPublicKeyInfo (RSA). Rejections as KeyService's.
 */
export interface CarriedKeys {
  /** Whether new data keys are to be made so. */
  readonly makes: boolean;
  /** Whether this blob was. */
  owns(wrapped: Buffer): boolean;
  generate(purpose: string, info: Buffer): Promise<{ carried: Carried; wrapped: Buffer }>;
  open(wrapped: Buffer, purpose: string, info: Buffer): Promise<Carried>;
}

/**
 * Holder of one KEK. Rejections are SidekeyErrors: provider_unreachable (nobody answered, or only with faults of the service's
 * own: others may be tried, `offline` applies) or provider_refused (it said no). Messages name provider, key and the service's request id,
 * never key bytes.
 */
export interface KeyService {
  /** A fresh data key of 32 bytes and the same wrapped by the KEK. The caller wipes the plaintext. */
  generateDataKey(purpose: string): Promise<DataKey>;
  /** The data key of a blob that generateDataKey gave for this purpose. The caller wipes it. */
  unwrapDataKey(wrapped: Buffer, purpose: string): Promise<Buffer>;
  /** Asks the service for the KEK's state, without using it. Never rejects. */
  health(): Promise<Health>;
  /** Seconds that the credentials in use have left, without asking anybody; null: none are held, or they do not end. Absent: it cannot say. */
  readonly credentialSecondsLeft?: () => number | null;
  /** Absent: data keys come as generateDataKey and unwrapDataKey give them. */
  readonly carried?: CarriedKeys;
  /** The keys of the same service that never leave it; absent: this adapter has none. */
  readonly resident?: ResidentKeys;
  /** The KEK as others see it, for envelopes of Tink's; absent: this adapter has none. */
  readonly bare?: BareKek;
  /** 1 to SERVICE_RANDOM_MAX bytes of the service's own generator; the caller wipes them. Absent: it gives none. */
  readonly random?: (bytes: number) => Promise<Buffer>;
  /** Calls `changed` soon after something changed at the service, as far as that tells; until close(). Absent: it tells nothing. */
  readonly watch?: (changed: () => void) => void;
  /** Ends pools, timers and sessions within a second. */
  close(): Promise<void>;
}

export interface KeyServiceDeps {
  /** The provider's name in the configuration. */
  readonly name: string;
  readonly log: Logger;
  readonly clock: Clock;
  /** Fresh bytes from the kernel. */
  readonly random: (bytes: number) => Buffer;
  /** Paths in the configuration are relative to its file. */
  readonly resolvePath: (path: string) => string;
}

/** One row of kinds.ts: the keys that the configuration may hold, and the adapter for them. */
export interface KeyServiceKind {
  readonly kind: string;
  readonly schema: z.ZodObject;
  /** `parsed` is what the configuration's schema, which holds this one, made of it: transforms do not run twice. */
  readonly create: (parsed: unknown, deps: KeyServiceDeps) => KeyService;
}

/** Ties an adapter to its schema, which must be a strictObject with a literal `kind`. */
export function defineKind<Schema extends z.ZodObject>(
  kind: string,
  schema: Schema,
  create: (options: z.output<Schema>, deps: KeyServiceDeps) => KeyService,
): KeyServiceKind {
  return { kind, schema, create: (parsed, deps) => create(parsed as z.output<Schema>, deps) };
}
