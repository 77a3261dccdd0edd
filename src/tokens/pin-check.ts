/** Checks a token's PIN and counts the wrong ones. */
import { SidekeyError } from '../errors.ts';
import type { Peer } from '../access/peer.ts';
import type { Role } from './clients.ts';
import type { Domain } from './domain.ts';
import { verifyPin } from './pins.ts';
import type { TokenRow } from './store-port.ts';

/** So many wrong PINs in a row lock it: the user's until the SO sets a new one, the SO's for good. */
export const PIN_TRIES = 10;

const FIELDS = {
  user: { record: 'userPin', failures: 'userFailures', missing: 'user_pin_not_initialized' },
  so: { record: 'soPin', failures: 'soFailures', missing: 'pin_incorrect' },
} as const;

/**
 * Resolves when the PIN is right. The failure is counted on the disk before the PIN is looked at, so that neither a crash
 * nor many tries at once give more than PIN_TRIES guesses. One that was right lately costs neither argon2id nor a write.
 */
export async function checkPin(
  domain: Domain,
  peer: Peer,
  id: number,
  role: Role,
  pin: Buffer,
): Promise<void> {
  const fields = FIELDS[role];
  const token = domain.catalogue.get(id);
  const record = token?.[fields.record] ?? null;
  if (token === null || record === null)
    throw new SidekeyError(fields.missing, `the token has no ${role} PIN`);
  if (token[fields.failures] >= PIN_TRIES) throw refuse(domain, peer, token, role, 'pin_locked');
  if (token[fields.failures] === 0 && domain.pinMemo.knows(pin, record)) return;
  domain.catalogue.update(id, { [fields.failures]: token[fields.failures] + 1 });
  if (!(await verifyPin(pin, record))) throw refuse(domain, peer, token, role, 'pin_incorrect');
  domain.catalogue.update(id, { [fields.failures]: 0 });
  domain.pinMemo.remember(pin, record);
}

function refuse(
  domain: Domain,
  peer: Peer,
  token: TokenRow,
  role: Role,
  code: 'pin_locked' | 'pin_incorrect',
): SidekeyError {
  domain.audit.token('login-failed', peer, token, { role, code });
  return new SidekeyError(
    code,
    `the ${role} PIN of token ${token.label} is ${code === 'pin_locked' ? 'locked' : 'wrong'}`,
  );
}
