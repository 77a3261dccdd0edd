/** What a resident key is asked for one operation, and what the plans of signing and of ciphers share. */
import { SidekeyError } from '../../errors.ts';
import { WireReader } from '../../wire/buffer.ts';
import type { HashName, ResidentKey, ResidentKeys } from '../resident-port.ts';

export interface Plan {
  /** The data are hashed as they come; null: they are gathered. */
  readonly hash: HashName | null;
  /** Most bytes that are gathered; more is data_len_range. */
  readonly maxBytes: number;
  /** As bind_check answers them (ARCHITECTURE.md). */
  readonly rule: number;
  readonly size: number;
  /** `data`: what was gathered, or the digest. */
  readonly run: (service: ResidentKeys, data: Buffer) => Promise<Buffer>;
  /** Of signing: whether the service takes this for the signature of the same data. */
  readonly verify?: (service: ResidentKeys, data: Buffer, signature: Buffer) => Promise<boolean>;
}

export const AES_BLOCK = 16;

export function bytesOf({ sizeBits }: ResidentKey): number {
  return Math.ceil(sizeBits / 8);
}

export function refuse(
  code: 'mechanism_invalid' | 'mechanism_param_invalid' | 'data_len_range',
  why: string,
): never {
  throw new SidekeyError(code, why);
}

export function readParams<T>(params: Buffer, read: (reader: WireReader) => T): T {
  const reader = new WireReader(params);
  const value = read(reader);
  reader.end();
  return value;
}
