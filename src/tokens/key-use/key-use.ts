/** Whether a key may be used for an operation: class, flags, mechanism, dates. */
import { SidekeyError, type ErrorCode } from '../../errors.ts';
import { readMechanisms } from '../objects/attribute-value.ts';
import { CKA, CKK, CKM, MECHANISM_FLAG } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import { isKin, ownMechanisms } from '../objects/key-types.ts';
import type { MechanismRow, Operation } from '../ports.ts';
import { SERVICE_MECHANISMS } from '../resident/mechanisms.ts';
import { has, isKey, keyTypeOf, type TokenObject } from '../objects/token-object.ts';

export type Use = Exclude<Operation, 'digest'> | 'wrap' | 'unwrap' | 'derive' | 'encapsulate' | 'decapsulate';

interface UseRow {
  readonly attribute: number;
  readonly flag: number;
  /**
   * Whether CKA_START_DATE and CKA_END_DATE apply: they limit protecting new data, not opening or verifying
   * old data.
   */
  readonly dated: boolean;
}

export const USES: Readonly<Record<Use, UseRow>> = {
  encrypt: { attribute: CKA.ENCRYPT, flag: MECHANISM_FLAG.ENCRYPT, dated: true },
  decrypt: { attribute: CKA.DECRYPT, flag: MECHANISM_FLAG.DECRYPT, dated: false },
  sign: { attribute: CKA.SIGN, flag: MECHANISM_FLAG.SIGN, dated: true },
  verify: { attribute: CKA.VERIFY, flag: MECHANISM_FLAG.VERIFY, dated: false },
  sign_recover: { attribute: CKA.SIGN_RECOVER, flag: MECHANISM_FLAG.SIGN_RECOVER, dated: true },
  verify_recover: { attribute: CKA.VERIFY_RECOVER, flag: MECHANISM_FLAG.VERIFY_RECOVER, dated: false },
  wrap: { attribute: CKA.WRAP, flag: MECHANISM_FLAG.WRAP, dated: true },
  unwrap: { attribute: CKA.UNWRAP, flag: MECHANISM_FLAG.UNWRAP, dated: false },
  derive: { attribute: CKA.DERIVE, flag: MECHANISM_FLAG.DERIVE, dated: true },
  encapsulate: { attribute: CKA.ENCAPSULATE, flag: MECHANISM_FLAG.ENCAPSULATE, dated: true },
  decapsulate: { attribute: CKA.DECAPSULATE, flag: MECHANISM_FLAG.DECAPSULATE, dated: false },
};

export type Offering = Pick<Domain, 'keeper' | 'catalogue' | 'resident'>;

/** The keeper's mechanisms, plus those that only the token's key service has. */
function tableOf({ keeper, catalogue, resident }: Offering, tokenId: number): readonly MechanismRow[] {
  const own = keeper.mechanisms();
  const token = catalogue.get(tokenId);
  const creates = (token === null ? null : resident.service(token))?.service.creates ?? [];
  const others = SERVICE_MECHANISMS.filter(({ spec }) => creates.includes(spec)).map(({ row }) => row);
  return [...own, ...others.filter(({ type }) => !own.some((each) => each.type === type))];
}

const BY_TYPE = new WeakMap<readonly MechanismRow[], ReadonlyMap<number, MechanismRow>>();

/** Tries the keeper's row first, which is found without a search: every use of a key comes here. */
function rowOf(domain: Offering, tokenId: number, type: number): MechanismRow | undefined {
  const own = domain.keeper.mechanisms();
  const known = BY_TYPE.get(own) ?? new Map(own.map((row) => [row.type, row]));
  BY_TYPE.set(own, known);
  return known.get(type) ?? tableOf(domain, tokenId).find((row) => row.type === type);
}

/** The mechanisms that a token offers. */
export function offered(domain: Offering, tokenId: number): MechanismRow[] {
  return tableOf(domain, tokenId).filter(({ standing }) => domain.catalogue.offers(tokenId, standing));
}

/** The mechanism's row if the token offers it for this operation; otherwise mechanism_invalid, or keeper_absent: only a keeper knows. */
export function findMechanism(domain: Offering, tokenId: number, type: number, flag: number): MechanismRow {
  const found = rowOf(domain, tokenId, type);
  if (found !== undefined && (found.flags & flag) !== 0 && domain.catalogue.offers(tokenId, found.standing))
    return found;
  if (found === undefined && domain.keeper.pid === null)
    throw new SidekeyError('keeper_absent', 'no keeper is attached');
  throw new SidekeyError(
    'mechanism_invalid',
    `mechanism 0x${type.toString(16)} does not support this operation`,
  );
}

function fitsKeyType(mechanism: MechanismRow, keyType: number | null): boolean {
  if (keyType === null) return false;
  const own = ownMechanisms(keyType);
  if (own !== null) return own.includes(mechanism.type);
  if (isKin(mechanism.keyType, keyType)) return true;
  return mechanism.type === CKM.ECDH1_DERIVE && keyType === CKK.EC_MONTGOMERY;
}

const BOUND =
  MECHANISM_FLAG.ENCRYPT |
  MECHANISM_FLAG.DECRYPT |
  MECHANISM_FLAG.SIGN |
  MECHANISM_FLAG.VERIFY |
  MECHANISM_FLAG.SIGN_RECOVER |
  MECHANISM_FLAG.VERIFY_RECOVER;

const FITTING = new WeakMap<readonly MechanismRow[], Map<number | null, readonly MechanismRow[]>>();

/** Rows of the keeper's table that a key of this type may be bound for. Cached, as each miss asks. */
function fittingRows({ keeper }: Offering, keyType: number | null): readonly MechanismRow[] {
  const table = keeper.mechanisms();
  const byType = FITTING.get(table) ?? new Map<number | null, readonly MechanismRow[]>();
  FITTING.set(table, byType);
  const known = byType.get(keyType);
  if (known !== undefined) return known;
  const rows = table.filter((row) => (row.flags & BOUND) !== 0 && fitsKeyType(row, keyType));
  byType.set(keyType, rows);
  return rows;
}

/**
 * The mechanisms a key may be bound for if the token withholds some of those that fit; null if it withholds
 * none.
 */
function leftByToken(domain: Offering, object: TokenObject): number[] | null {
  const fitting = fittingRows(domain, keyTypeOf(object));
  const left = fitting.filter(({ standing }) => domain.catalogue.offers(object.tokenId, standing));
  return left.length === fitting.length ? null : left.map(({ type }) => type);
}

/**
 * CKA_ALLOWED_MECHANISMS, less those that do not fit the key's type or that the token withholds; empty: all
 * that fit.
 */
export function allowedMechanisms(domain: Offering, object: TokenObject): number[] {
  const listed = readMechanisms(object.attributes, CKA.ALLOWED_MECHANISMS);
  const own = ownMechanisms(keyTypeOf(object) ?? 0);
  const bounds = [own, leftByToken(domain, object)].filter((list) => list !== null);
  if (bounds.length === 0) return listed;
  const [first = [], ...others] = listed.length > 0 ? [listed, ...bounds] : bounds;
  const left = first.filter((type) => others.every((list) => list.includes(type)));
  if (left.length === 0)
    throw new SidekeyError(
      'mechanism_invalid',
      'CKA_ALLOWED_MECHANISMS of the key permits no mechanism for this operation',
    );
  return left;
}

/** The key's dates are whole days in UTC. */
function isInDate(object: TokenObject, nowMs: number): boolean {
  const start = object.attributes.get(CKA.START_DATE)?.toString('latin1') ?? '';
  const end = object.attributes.get(CKA.END_DATE)?.toString('latin1') ?? '';
  if (start === '' && end === '') return true;
  const today = new Date(nowMs).toISOString().slice(0, 10).replaceAll('-', '');
  return (start === '' || start <= today) && (end === '' || today <= end);
}

/** Whether the key's attributes and dates permit the use, with any mechanism. */
export function mayBeUsed(object: TokenObject, use: Use, nowMs: number): boolean {
  const { attribute, dated } = USES[use];
  return has(object, attribute) && (!dated || isInDate(object, nowMs));
}

export interface UseErrors {
  readonly handle: ErrorCode;
  readonly type: ErrorCode;
}

export const KEY_ERRORS: UseErrors = { handle: 'key_handle_invalid', type: 'key_type_inconsistent' };

/** Throws unless `object` is a key that may be used this way with this mechanism. */
export function checkUse(
  domain: Offering,
  object: TokenObject,
  use: Use,
  mechanism: number,
  nowMs: number,
  errors: UseErrors = KEY_ERRORS,
): void {
  if (!isKey(object)) throw new SidekeyError(errors.handle, `object ${object.handle} is not a key`);
  const row = findMechanism(domain, object.tokenId, mechanism, USES[use].flag);
  if (!fitsKeyType(row, keyTypeOf(object)))
    throw new SidekeyError(errors.type, `${row.name} is not for this type of key`);
  if (!mayBeUsed(object, use, nowMs))
    throw new SidekeyError(
      'key_function_not_permitted',
      `the key's attributes or dates do not permit ${use}`,
    );
  const allowed = readMechanisms(object.attributes, CKA.ALLOWED_MECHANISMS);
  if (allowed.length > 0 && !allowed.includes(mechanism))
    throw new SidekeyError('mechanism_invalid', `${row.name} is not among CKA_ALLOWED_MECHANISMS`);
}
