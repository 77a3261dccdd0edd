/** Whether a key may be used for something: class, flags, mechanism, dates. Tables first. */
import { SidekeyError, type ErrorCode } from '../errors.ts';
import { readMechanisms } from './attribute-value.ts';
import { CKA, CKK, CKM, MECHANISM_FLAG } from './cryptoki.ts';
import type { Keeper, MechanismRow, Operation } from './ports.ts';
import { has, isHmacType, isKey, keyTypeOf, type TokenObject } from './token-object.ts';

export type Use = Exclude<Operation, 'digest'> | 'wrap' | 'unwrap' | 'derive';

interface UseRow {
  readonly attribute: number;
  readonly flag: number;
  /** Whether the key must be within its dates: to protect something new, but not to open or check what is old. */
  readonly dated: boolean;
}

export const USES: Readonly<Record<Use, UseRow>> = {
  encrypt: { attribute: CKA.ENCRYPT, flag: MECHANISM_FLAG.ENCRYPT, dated: true },
  decrypt: { attribute: CKA.DECRYPT, flag: MECHANISM_FLAG.DECRYPT, dated: false },
  sign: { attribute: CKA.SIGN, flag: MECHANISM_FLAG.SIGN, dated: true },
  verify: { attribute: CKA.VERIFY, flag: MECHANISM_FLAG.VERIFY, dated: false },
  wrap: { attribute: CKA.WRAP, flag: MECHANISM_FLAG.WRAP, dated: true },
  unwrap: { attribute: CKA.UNWRAP, flag: MECHANISM_FLAG.UNWRAP, dated: false },
  derive: { attribute: CKA.DERIVE, flag: MECHANISM_FLAG.DERIVE, dated: true },
};

/** Specific HMAC key types (PKCS#11 3.1, 6.20 ff.), each with its one mechanism. */
const HMAC_MECHANISMS: ReadonlyMap<number, number> = new Map([
  [CKK.SHA_1_HMAC, CKM.SHA_1_HMAC],
  [CKK.SHA224_HMAC, CKM.SHA224_HMAC],
  [CKK.SHA256_HMAC, CKM.SHA256_HMAC],
  [CKK.SHA384_HMAC, CKM.SHA384_HMAC],
  [CKK.SHA512_HMAC, CKM.SHA512_HMAC],
]);

/** The mechanism's row if it can do this; otherwise mechanism_invalid. */
export function findMechanism(keeper: Keeper, type: number, flag: number): MechanismRow {
  const found = keeper.mechanisms().find((row) => row.type === type);
  if (found !== undefined && (found.flags & flag) !== 0) return found;
  throw new SidekeyError('mechanism_invalid', `mechanism 0x${type.toString(16)} does not do that`);
}

export function fitsKeyType(mechanism: MechanismRow, keyType: number | null): boolean {
  if (keyType === null) return false;
  if (mechanism.keyType === keyType) return true;
  if (mechanism.type === CKM.ECDH1_DERIVE) return keyType === CKK.EC_MONTGOMERY;
  return HMAC_MECHANISMS.get(keyType) === mechanism.type;
}

/** CKA_ALLOWED_MECHANISMS, and for a specific HMAC key its one; empty: all that fit the key. */
export function allowedMechanisms(object: TokenObject): number[] {
  const listed = readMechanisms(object.attributes, CKA.ALLOWED_MECHANISMS);
  const keyType = keyTypeOf(object) ?? 0;
  const own = isHmacType(keyType) ? HMAC_MECHANISMS.get(keyType) : undefined;
  if (own === undefined) return listed;
  if (listed.length > 0 && !listed.includes(own))
    throw new SidekeyError('mechanism_invalid', "the key's allowed mechanisms leave none");
  return [own];
}

/** The key's dates are whole days of UTC. */
export function isInDate(object: TokenObject, nowMs: number): boolean {
  const today = new Date(nowMs).toISOString().slice(0, 10).replaceAll('-', '');
  const start = object.attributes.get(CKA.START_DATE)?.toString('latin1') ?? '';
  const end = object.attributes.get(CKA.END_DATE)?.toString('latin1') ?? '';
  return (start === '' || start <= today) && (end === '' || today <= end);
}

/** Uses that the key's attributes and dates permit, whatever the mechanism. */
export function mayBeUsed(object: TokenObject, use: Use, nowMs: number): boolean {
  const { attribute, dated } = USES[use];
  return has(object, attribute) && (!dated || isInDate(object, nowMs));
}

export interface UseErrors {
  readonly handle: ErrorCode;
  readonly type: ErrorCode;
}

export const KEY_ERRORS: UseErrors = { handle: 'key_handle_invalid', type: 'key_type_inconsistent' };

/** Throws unless `object` is a key that may be used so with this mechanism. */
export function checkUse(
  keeper: Keeper,
  object: TokenObject,
  use: Use,
  mechanism: number,
  nowMs: number,
  errors: UseErrors = KEY_ERRORS,
): void {
  if (!isKey(object)) throw new SidekeyError(errors.handle, `object ${object.handle} is no key`);
  const row = findMechanism(keeper, mechanism, USES[use].flag);
  if (!fitsKeyType(row, keyTypeOf(object)))
    throw new SidekeyError(errors.type, `${row.name} is not for this type of key`);
  if (!mayBeUsed(object, use, nowMs))
    throw new SidekeyError(
      'key_function_not_permitted',
      `the key's attributes or dates do not permit ${use}`,
    );
  const allowed = allowedMechanisms(object);
  if (allowed.length > 0 && !allowed.includes(mechanism))
    throw new SidekeyError('mechanism_invalid', `${row.name} is not among CKA_ALLOWED_MECHANISMS`);
}
