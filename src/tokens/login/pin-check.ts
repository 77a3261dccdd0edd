/** Checks a token's PIN and counts failed attempts. */
import { SidekeyError } from '../../errors.ts';
import type { Peer } from '../../access/peer.ts';
import { recordDenied } from '../denials.ts';
import type { Domain } from '../domain.ts';
import type { Role } from './logins.ts';
import { verifyPin } from './pins.ts';
import type { TokenRow } from '../store-port.ts';

/** This many wrong PINs in a row lock the PIN: the user's until the SO sets a new one, the SO's for good. */
export const PIN_TRIES = 10;

const FIELDS = {
  user: { record: 'userPin', failures: 'userFailures', missing: 'user_pin_not_initialized' },
  so: { record: 'soPin', failures: 'soFailures', missing: 'pin_incorrect' },
} as const;

/**
 * Resolves if the PIN is right. Checks of one PIN take turns, because a failure is counted before the PIN is
 * checked: otherwise eleven workers of a server that log in at once with the right PIN would lock each other
 * out.
 */
export async function checkPin(
  domain: Domain,
  peer: Peer,
  id: number,
  role: Role,
  pin: Buffer,
): Promise<void> {
  const key = `${id} ${role}`;
  const before = domain.pinTurns.get(key) ?? Promise.resolve();
  const check = (): Promise<void> => takeTurn(domain, peer, id, role, pin);
  const turn = before.then(check, check);
  domain.pinTurns.set(key, turn);
  try {
    await turn;
  } finally {
    if (domain.pinTurns.get(key) === turn) domain.pinTurns.delete(key);
  }
}

/**
 * The failure is counted on disk before the PIN is checked, so that neither a crash nor parallel attempts
 * give more than PIN_TRIES guesses. A PIN that was right recently costs neither argon2id nor a write.
 */
async function takeTurn(domain: Domain, peer: Peer, id: number, role: Role, pin: Buffer): Promise<void> {
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
  // A wrong PIN is one of few; a locked one may be asked for all day.
  if (code === 'pin_locked') recordDenied(domain, peer, token, { role, code }, 'login-failed');
  else domain.audit.token('login-failed', peer, token, { role, code });
  return new SidekeyError(
    code,
    `the ${role} PIN of token ${token.label} is ${code === 'pin_locked' ? 'locked' : 'wrong'}`,
  );
}
