/** One use of a resident key, for any caller: chooses the plan and verifies MACs. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import type { Mechanism } from '../ports.ts';
import type { ResidentKey, ResidentKeys } from '../resident-port.ts';
import { planCipher } from './cipher-plans.ts';
import type { Plan } from './plan.ts';
import { planSign } from './sign-plans.ts';
import { isPair, rowOf } from './specs.ts';

export type ResidentOperation = 'encrypt' | 'decrypt' | 'sign' | 'verify';

const PLANS: Readonly<Record<ResidentOperation, (key: ResidentKey, mechanism: Mechanism) => Plan>> = {
  encrypt: (key, mechanism) => planCipher(key, mechanism, true),
  decrypt: (key, mechanism) => planCipher(key, mechanism, false),
  sign: planSign,
  verify: planSign,
};

export function planUse(key: ResidentKey, operation: ResidentOperation, mechanism: Mechanism): Plan {
  return PLANS[operation](key, mechanism);
}

export interface UseInput {
  readonly operation: ResidentOperation;
  readonly input: Buffer;
  /** For 'verify'. */
  readonly signature: Buffer | null;
}

/** Throws signature_invalid or signature_len_range; returns no data. */
function compareCode(mine: Buffer, signature: Buffer | null): Buffer {
  if (signature === null || signature.length !== mine.length)
    throw new SidekeyError('signature_len_range', `a MAC of this key has ${mine.length} bytes`);
  if (!timingSafeEqual(mine, signature))
    throw new SidekeyError('signature_invalid', 'the MAC does not match the data');
  return Buffer.alloc(0);
}

/**
 * A MAC is computed again and compared. A pair's signature goes to the service; if the public half is known,
 * other code verifies it.
 */
async function checkSignature(
  service: ResidentKeys,
  key: ResidentKey,
  plan: Plan,
  input: Buffer,
  signature: Buffer | null,
): Promise<Buffer> {
  if (!isPair(rowOf(key.spec)) || plan.verify === undefined)
    return compareCode(await plan.run(service, input), signature);
  if (signature === null || signature.length !== plan.size)
    throw new SidekeyError('signature_len_range', `a signature of this key has ${plan.size} bytes`);
  if (await plan.verify(service, input, signature)) return Buffer.alloc(0);
  throw new SidekeyError('signature_invalid', 'the signature does not match the data');
}

/** `input`: what was collected, or the digest. */
export function runUse(
  service: ResidentKeys,
  key: ResidentKey,
  plan: Plan,
  { operation, input, signature }: UseInput,
): Promise<Buffer> {
  if (operation === 'verify') return checkSignature(service, key, plan, input, signature);
  return plan.run(service, input);
}

export function tooLong({ maxBytes }: Plan): SidekeyError {
  return new SidekeyError(
    'data_len_range',
    `the service accepts at most ${maxBytes} bytes, and this mechanism cannot sign a digest instead`,
  );
}

/** A single-part use. The data remains the caller's. */
export async function useAtOnce(
  service: ResidentKeys,
  key: ResidentKey,
  plan: Plan,
  operation: ResidentOperation,
  data: Buffer,
  signature: Buffer | null,
): Promise<Buffer> {
  if (plan.hash === null && data.length > plan.maxBytes) throw tooLong(plan);
  const input = plan.hash === null ? data : createHash(plan.hash).update(data).digest();
  return runUse(service, key, plan, { operation, input, signature });
}
