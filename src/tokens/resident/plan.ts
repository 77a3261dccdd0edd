/** How one operation is performed by a resident key; shared by the plans of signing and of ciphers. */
import { SidekeyError } from '../../errors.ts';
import { WireReader } from '../../wire/buffer.ts';
import type { HashName, ResidentKey, ResidentKeys } from '../resident-port.ts';

export interface Plan {
  /** Hashes the data as it arrives; null: the data is collected. */
  readonly hash: HashName | null;
  /** The most bytes to collect; beyond it data_len_range. */
  readonly maxBytes: number;
  /** As bind_check returns them (ARCHITECTURE.md). */
  readonly rule: number;
  readonly size: number;
  /** `data`: what was collected, or the digest. */
  readonly run: (service: ResidentKeys, data: Buffer) => Promise<Buffer>;
  /** For signing: whether the service accepts this signature of the same data. */
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
