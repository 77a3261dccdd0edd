/**
 * Creates objects: checks attributes, has the keeper make key material, then stores the row or the session
 * object.
 */
import { SidekeyError } from '../../errors.ts';
import type { AttributeMap } from './attribute-value.ts';
import { encodeUlong, readBool, readUlong } from './attribute-value.ts';
import { findRow, type Origin } from './attributes.ts';
import { checkSameToken } from '../caller.ts';
import { CKA, CKO } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import { findSecretType } from './key-types.ts';
import { addComponents, addProvenance } from './object-template.ts';
import type { ClientId, MadeKey, NewKey, Template } from '../ports.ts';
import { writeSessionNote } from './session-objects.ts';
import type { TokenRow } from '../store-port.ts';
import { classOf, has, keyTypeOf, kindOf, type TokenObject } from './token-object.ts';

/** The session that owns what is created; null for the agent itself, which only creates token objects. */
export interface Maker {
  readonly token: TokenRow;
  readonly session: { readonly client: ClientId; readonly number: number } | null;
  /** Sidekey's own attributes for the new object, which no template can set. */
  readonly own?: AttributeMap;
}

export interface Provenance {
  readonly origin: Origin | 'copy';
  readonly mechanism?: number;
  readonly bases?: readonly AttributeMap[];
}

export type Make = (key: NewKey) => Promise<MadeKey>;

/** An object not stored yet, and its cell if it is a key. */
export interface Draft {
  readonly object: Omit<TokenObject, 'handle'>;
  readonly cell: bigint | null;
  /** The public components that the keeper returned. */
  readonly components?: Template;
}

/** CKA_VALUE_LEN of a template; null: not given. A value of no bytes or of the wrong size counts as given. */
export function wantedLength(attributes: AttributeMap): number | null {
  if (!attributes.has(CKA.VALUE_LEN)) return null;
  const length = readUlong(attributes, CKA.VALUE_LEN);
  if (length !== null && length > 0) return length;
  throw new SidekeyError('attribute_value_invalid', 'CKA_VALUE_LEN is not a valid key length');
}

/**
 * Only the keeper knows the actual size; one that the key type does not permit is refused before anybody sees
 * the key.
 */
export function checkKeyLength(attributes: AttributeMap, lengthBytes: number | null): void {
  const keyType = readUlong(attributes, CKA.KEY_TYPE);
  const lengths = keyType === null ? undefined : findSecretType(keyType)?.lengthsBytes;
  if (lengths === undefined || lengthBytes === null || lengths.includes(lengthBytes)) return;
  throw new SidekeyError('attribute_value_invalid', `a key of this type cannot have ${lengthBytes} bytes`);
}

function start(domain: Domain, maker: Maker, attributes: Map<number, Buffer>, from: Provenance): TokenObject {
  const uniqueId = domain.random(16).toString('hex');
  addProvenance(attributes, from.origin, uniqueId, from);
  for (const [type, value] of maker.own ?? []) attributes.set(type, value);
  const isToken = readBool(attributes, CKA.TOKEN);
  if (!isToken && maker.session === null)
    throw new SidekeyError('internal', 'the session object has no session');
  const session = isToken || maker.session === null ? null : { ...maker.session, cell: null };
  const createdAt = domain.clock.now();
  return { handle: 0, tokenId: maker.token.id, uniqueId, attributes, blob: null, createdAt, session };
}

/** Length of a big integer. */
function bitsOf(number: Buffer): number {
  const hex = number.toString('hex').replace(/^0+/, '');
  const first = parseInt(hex[0] ?? '0', 16);
  return Math.max(0, hex.length - 1) * 4 + (32 - Math.clz32(first));
}

const LENGTHS: readonly (readonly [number: number, bits: number])[] = [
  [CKA.MODULUS, CKA.MODULUS_BITS],
  [CKA.PRIME, CKA.PRIME_BITS],
  [CKA.SUBPRIME, CKA.SUBPRIME_BITS],
];

/** Bit lengths are computed from the numbers, whatever the template says. */
function addBitLengths(attributes: Map<number, Buffer>): void {
  const object = { attributes };
  for (const [number, bits] of LENGTHS) {
    const value = attributes.get(number);
    if (value === undefined || findRow(bits, kindOf(object), keyTypeOf(object)) === null) continue;
    attributes.set(bits, encodeUlong(bitsOf(value)));
  }
}

/** Curves of FIPS 186-5 and SP 800-186, by the DER of their identifiers: P-224 to P-521, Ed25519, Ed448. */
const APPROVED_CURVES: readonly string[] = [
  '06052b81040021',
  '06082a8648ce3d030107',
  '06052b81040022',
  '06052b81040023',
  '06032b6570',
  '06032b6571',
];

/** If only approved mechanisms are offered, only keys on approved curves are created. */
function checkCurve(domain: Domain, maker: Maker, attributes: AttributeMap): void {
  const curve = attributes.get(CKA.EC_PARAMS);
  if (curve === undefined || domain.catalogue.offers(maker.token.id, 'other')) return;
  if (!APPROVED_CURVES.includes(curve.toString('hex')))
    throw new SidekeyError('curve_not_supported', 'the curve is not approved, and the token has fips: true');
}

/** A key; `make` says how the keeper obtains it. */
export async function draftKey(
  domain: Domain,
  maker: Maker,
  attributes: Map<number, Buffer>,
  from: Provenance,
  make: Make,
): Promise<Draft> {
  const object = start(domain, maker, attributes, from);
  const made = await make(await domain.cells.newKey(maker.token, object, object.session?.client ?? null));
  try {
    addComponents(attributes, made.components);
    addBitLengths(attributes);
    checkCurve(domain, maker, attributes);
    checkKeyLength(attributes, readUlong(attributes, CKA.VALUE_LEN));
    if (object.session === null && made.blob === null)
      throw new SidekeyError('internal', 'the keeper did not seal the key');
  } catch (error) {
    domain.cells.drop(made.cell);
    throw error;
  }
  const session = object.session === null ? null : { ...object.session, cell: made.cell };
  return { object: { ...object, blob: made.blob, session }, cell: made.cell, components: made.components };
}

/** A certificate, data or domain parameters. */
export async function draftPlain(
  domain: Domain,
  maker: Maker,
  attributes: Map<number, Buffer>,
  from: Provenance,
): Promise<Draft> {
  addBitLengths(attributes);
  const object = start(domain, maker, attributes, from);
  return { object: await sealValue(domain, maker.token, object), cell: null };
}

/** The value of a private data object on a token is stored sealed, not as an attribute. */
export async function sealValue<T extends Omit<TokenObject, 'handle'>>(
  domain: Domain,
  token: TokenRow,
  object: T,
): Promise<T> {
  const isSealed = classOf(object) === CKO.DATA && has(object, CKA.PRIVATE) && object.session === null;
  const value = object.attributes.get(CKA.VALUE);
  if (!isSealed || value === undefined) return object;
  const attributes = new Map(object.attributes);
  attributes.delete(CKA.VALUE);
  const blob = await domain.cells.sealData(token, { uniqueId: object.uniqueId, attributes }, value);
  return { ...object, attributes, blob };
}

/** Stores drafts, all or none. Token objects are durable when it resolves. */
export async function keep(domain: Domain, maker: Maker, drafts: readonly Draft[]): Promise<TokenObject[]> {
  try {
    checkSameToken(domain, maker.token);
    const stored = domain.objects.addToToken(drafts.map(({ object }) => object).filter(isStored));
    const kept = drafts.map((draft) =>
      isStored(draft.object) ? stored.shift() : domain.objects.addToSession(draft.object),
    );
    for (const { object, cell } of drafts) if (cell !== null && isStored(object)) domain.cells.drop(cell);
    if (drafts.some(({ object }) => isStored(object))) await domain.store.durable();
    return await Promise.all(kept.map((object) => noteSession(domain, object)));
  } catch (error) {
    for (const { cell } of drafts) if (cell !== null) domain.cells.drop(cell);
    throw error;
  }
}

function isStored({ session }: Draft['object']): boolean {
  return session === null;
}

/** Notes a session key in the keeper, for the next agent. */
export async function noteSession(domain: Domain, object: TokenObject | undefined): Promise<TokenObject> {
  if (object === undefined)
    throw new SidekeyError('internal', 'the store returned fewer handles than objects');
  const cell = object.session?.cell ?? null;
  const note = cell === null ? null : writeSessionNote(object);
  if (cell !== null && note !== null) await domain.keeper.note(cell, note);
  return object;
}
