/** One use of a resident key, whoever asks: which plan serves it, and how a code is checked. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import type { Mechanism } from '../ports.ts';
import type { ResidentKey, ResidentKeys } from '../resident-port.ts';
import { planCipher, planSign, type Plan } from './plans.ts';

export type ResidentOperation = 'encrypt' | 'decrypt' | 'sign' | 'verify';

const PLANS: Readonly<Record<ResidentOperation, (key: ResidentKey, mechanism: Mechanism) => Plan>> = {
  encrypt: (key, mechanism) => planCipher(key, mechanism, true),
  decrypt: (key, mechanism) => planCipher(key, mechanism, false),
  sign: planSign,
  // Public halves are verified with elsewhere: here it is the code of a secret key, made again and compared.
  verify: planSign,
};

export function planUse(key: ResidentKey, operation: ResidentOperation, mechanism: Mechanism): Plan {
  return PLANS[operation](key, mechanism);
}

/** Of 'verify': signature_invalid or signature_len_range, else nothing. */
export function compareCode(mine: Buffer, signature: Buffer | null): Buffer {
  if (signature === null || signature.length !== mine.length)
    throw new SidekeyError('signature_len_range', `a code of this key has ${mine.length} bytes`);
  if (!timingSafeEqual(mine, signature))
    throw new SidekeyError('signature_invalid', 'this is not the code of these data');
  return Buffer.alloc(0);
}

export function tooLong({ maxBytes }: Plan): SidekeyError {
  return new SidekeyError(
    'data_len_range',
    `the service takes ${maxBytes} bytes at once, and this mechanism takes no digest`,
  );
}

/** All of it at once. The data stay the caller's. */
export async function useAtOnce(
  service: ResidentKeys,
  plan: Plan,
  operation: ResidentOperation,
  data: Buffer,
  signature: Buffer | null,
): Promise<Buffer> {
  if (plan.hash === null && data.length > plan.maxBytes) throw tooLong(plan);
  const input = plan.hash === null ? data : createHash(plan.hash).update(data).digest();
  const output = await plan.run(service, input);
  return operation === 'verify' ? compareCode(output, signature) : output;
}
