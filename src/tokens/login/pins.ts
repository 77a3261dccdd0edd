/**
 * PINs at rest: argon2id (RFC 9106) with a random salt, as a string that includes the parameters, so that a
 * new default locks nobody out.
 */
import { argon2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { SidekeyError } from '../../errors.ts';

export interface PinCost {
  readonly memoryKiB: number;
  readonly passes: number;
  readonly parallelism: number;
}

/**
 * OWASP's parameters for argon2id (Password Storage Cheat Sheet): about 30 ms, in little enough memory for a
 * sidecar. RFC 9106 recommends 64 MiB where only the hash protects; here PIN_TRIES does first. Lower values
 * are for tests.
 */
export const DEFAULT_PIN_COST: PinCost = { memoryKiB: 19456, passes: 2, parallelism: 1 };

export const PIN_BYTES_MIN = 4;
export const PIN_BYTES_MAX = 255;
const SALT_BYTES = 16;
const TAG_BYTES = 32;

const derive = promisify(argon2);

function hash(pin: Buffer, nonce: Buffer, cost: PinCost): Promise<Buffer> {
  const { memoryKiB: memory, passes, parallelism } = cost;
  return derive('argon2id', { message: pin, nonce, memory, passes, parallelism, tagLength: TAG_BYTES });
}

export function checkPinLength(pin: Buffer): void {
  if (pin.length < PIN_BYTES_MIN || pin.length > PIN_BYTES_MAX)
    throw new SidekeyError('pin_len_range', `a PIN has ${PIN_BYTES_MIN} to ${PIN_BYTES_MAX} bytes`);
}

/** Returns the string to store. The caller wipes the PIN. */
export async function hashPin(
  pin: Buffer,
  random: (bytes: number) => Buffer,
  cost: PinCost,
): Promise<string> {
  const salt = random(SALT_BYTES);
  const tag = await hash(pin, salt, cost);
  const numbers = [cost.memoryKiB, cost.passes, cost.parallelism].join(',');
  return ['argon2id', numbers, salt.toString('base64'), tag.toString('base64')].join('$');
}

/** Compares in constant time. An unreadable record is an internal error, not a wrong PIN. */
export async function verifyPin(pin: Buffer, record: string): Promise<boolean> {
  const [kind, numbers = '', salt = '', tag = ''] = record.split('$');
  const [memoryKiB = 0, passes = 0, parallelism = 0] = numbers.split(',').map(Number);
  if (kind !== 'argon2id') throw new SidekeyError('internal', `a PIN is stored as ${kind}, which is unknown`);
  const expected = Buffer.from(tag, 'base64');
  const actual = await hash(pin, Buffer.from(salt, 'base64'), { memoryKiB, passes, parallelism });
  return actual.length === expected.length && timingSafeEqual(actual, expected);
}
