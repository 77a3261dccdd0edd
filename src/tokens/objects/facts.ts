/**
 * Objects with which a token describes itself: profiles (PKCS#11 3.1, 4.12) and mechanisms (4.13). A search
 * finds them only by their class, as the standard says of mechanisms, so that programs that list all objects
 * meet nothing unknown.
 */
import { SidekeyError, type ErrorCode } from '../../errors.ts';
import { encodeBool, encodeUlong, readUlong, type AttributeMap } from './attribute-value.ts';
import { CKA, CKO, CKP } from '../cryptoki.ts';
import { offered, type Offering } from '../key-use/key-use.ts';
import { matches } from './object-template.ts';
import { FIRST_SESSION_HANDLE, type TokenObject } from './token-object.ts';

/** Above any row number of a store, below the handles of session objects; class and number follow. */
const FIRST = 2 ** 39;
const CLASS_UNIT = 2 ** 33;

interface FactKind {
  readonly objectClass: number;
  readonly attribute: number;
  readonly numbers: (domain: Offering, tokenId: number) => readonly number[];
}

/** Ascending by class, and so by handle. */
const KINDS: readonly FactKind[] = [
  {
    objectClass: CKO.MECHANISM,
    attribute: CKA.MECHANISM_TYPE,
    numbers: (domain, tokenId) =>
      offered(domain, tokenId)
        .map(({ type }) => type)
        .sort((a, b) => a - b),
  },
  { objectClass: CKO.PROFILE, attribute: CKA.PROFILE_ID, numbers: () => Object.values(CKP) },
];

export function isFact(handle: number): boolean {
  return handle >= FIRST && handle < FIRST_SESSION_HANDLE;
}

function makeFact(tokenId: number, { objectClass, attribute }: FactKind, number: number): TokenObject {
  const handle = FIRST + objectClass * CLASS_UNIT + number;
  const attributes = new Map([
    [CKA.CLASS, encodeUlong(objectClass)],
    [CKA.TOKEN, encodeBool(true)],
    ...[CKA.PRIVATE, CKA.MODIFIABLE, CKA.COPYABLE, CKA.DESTROYABLE].map((flag): [number, Buffer] => [
      flag,
      encodeBool(false),
    ]),
    [attribute, encodeUlong(number)],
  ]);
  return { handle, tokenId, uniqueId: '', attributes, blob: null, createdAt: 0, session: null };
}

/** null: the template does not ask for these classes. Otherwise those that match, ascending by handle. */
export function findFacts(
  domain: Offering,
  tokenId: number,
  template: AttributeMap,
  after: number,
): TokenObject[] | null {
  const asked = readUlong(template, CKA.CLASS);
  const kind = KINDS.find(({ objectClass }) => objectClass === asked);
  if (kind === undefined) return null;
  return kind
    .numbers(domain, tokenId)
    .map((number) => makeFact(tokenId, kind, number))
    .filter(({ handle, attributes }) => handle > after && matches(attributes, template));
}

export function getFact(domain: Offering, tokenId: number, handle: number, code: ErrorCode): TokenObject {
  for (const kind of KINDS) {
    const number = handle - FIRST - kind.objectClass * CLASS_UNIT;
    if (kind.numbers(domain, tokenId).includes(number)) return makeFact(tokenId, kind, number);
  }
  throw new SidekeyError(code, `there is no object ${handle}`);
}
