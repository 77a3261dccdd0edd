/** Generates keys and key pairs from templates, for PKCS#11 and the HTTP API. */
import { SidekeyError } from '../../errors.ts';
import { encodeUlong, readUlong, type AttributeMap } from './attribute-value.ts';
import { CKA, CKK, CKM, CKO, MECHANISM_FLAG } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import { hasDomainParameters, isGenericKind, onlyLength, typeGeneratedBy } from './key-types.ts';
import { findMechanism } from '../key-use/key-use.ts';
import { addComponents, buildAttributes, identify, publicComponents } from './object-template.ts';
import { checkKeyLength, draftKey, draftPlain, keep, wantedLength, type Maker } from './object-maker.ts';
import type { MadeKey, Mechanism, NewKey, Template } from '../ports.ts';
import type { TokenObject } from './token-object.ts';

/**
 * Refuses attributes that the caller may not create: the rules of a PKCS#11 session; the HTTP API has none.
 */
export type Check = (attributes: AttributeMap) => void;

/** What the keeper needs for generation, taken from whichever template has it. */
const PARAMETERS: readonly number[] = [
  ...[CKA.VALUE_LEN, CKA.MODULUS_BITS, CKA.PUBLIC_EXPONENT, CKA.EC_PARAMS, CKA.PARAMETER_SET],
  ...[CKA.PRIME, CKA.SUBPRIME, CKA.BASE, CKA.PRIME_BITS, CKA.SUBPRIME_BITS],
];
/** The same, from the private template of a pair. */
const PRIVATE_PARAMETERS: readonly number[] = [CKA.VALUE_BITS];

function parametersOf(attributes: AttributeMap, types = PARAMETERS): { type: number; value: Buffer }[] {
  return types.flatMap((type) => {
    const value = attributes.get(type);
    return value === undefined ? [] : [{ type, value }];
  });
}

/**
 * The type of the generated key. PBKDF2 makes any type that the template names. The generic secret mechanism
 * also makes the types that the keeper treats as generic; every other mechanism makes one type.
 */
function madeType(
  domain: Domain,
  tokenId: number,
  mechanism: number,
  flag: number,
  template: AttributeMap,
): number {
  const { keyType } = findMechanism(domain, tokenId, mechanism, flag);
  const given = readUlong(template, CKA.KEY_TYPE);
  const own = typeGeneratedBy(mechanism);
  if (own !== null) return own;
  if (mechanism === CKM.PKCS5_PBKD2) return given ?? CKK.GENERIC_SECRET;
  if (mechanism === CKM.GENERIC_SECRET_KEY_GEN && given !== null && isGenericKind(given)) return given;
  if (keyType === null) throw new SidekeyError('mechanism_invalid', 'this mechanism does not generate keys');
  return keyType;
}

const PRE_MASTER_BYTES = 48;
const PRE_MASTER_GENERATIONS: readonly number[] = [CKM.TLS_PRE_MASTER_KEY_GEN, CKM.SSL3_PRE_MASTER_KEY_GEN];

/**
 * If a mechanism or key type implies the length, the template need not give it (PKCS#11 3.1, 6.10: DES; 6.38;
 * 6.48: ChaCha20).
 */
function withLength(template: AttributeMap, keyType: number, mechanism: number): AttributeMap {
  const length = PRE_MASTER_GENERATIONS.includes(mechanism) ? PRE_MASTER_BYTES : onlyLength(keyType);
  if (length === null || template.has(CKA.VALUE_LEN)) return template;
  return new Map([...template, [CKA.VALUE_LEN, encodeUlong(length)]]);
}

/** How the keeper makes a secret key: at random, unless the mechanism says otherwise. */
export type MakeSecret = (key: NewKey, parameters: Template, lengthBytes: number | null) => Promise<MadeKey>;

export async function generateKey(
  domain: Domain,
  maker: Maker,
  mechanism: Mechanism,
  template: AttributeMap,
  check: Check,
  make: MakeSecret = (key, parameters) => domain.keeper.generate(key, mechanism, parameters),
): Promise<TokenObject> {
  const keyType = madeType(domain, maker.token.id, mechanism.type, MECHANISM_FLAG.GENERATE, template);
  const objectClass = CKO.SECRET_KEY;
  identify(template, { objectClass, keyType });
  const attributes = buildAttributes({
    origin: 'generate',
    objectClass,
    keyType,
    template: withLength(template, keyType, mechanism.type),
  });
  check(attributes);
  const lengthBytes = wantedLength(attributes);
  checkKeyLength(attributes, lengthBytes);
  const from = { origin: 'generate', mechanism: mechanism.type } as const;
  const parameters = parametersOf(attributes);
  const draft = await draftKey(domain, maker, attributes, from, (key) => make(key, parameters, lengthBytes));
  const [object] = await keep(domain, maker, [draft]);
  if (object === undefined) throw new SidekeyError('internal', 'the keeper returned no generated key');
  return object;
}

/** CKO_DOMAIN_PARAMETERS: not a key, and not secret. */
export async function generateDomain(
  domain: Domain,
  maker: Maker,
  mechanism: Mechanism,
  template: AttributeMap,
  check: Check,
): Promise<TokenObject> {
  const keyType = madeType(domain, maker.token.id, mechanism.type, MECHANISM_FLAG.GENERATE, template);
  const objectClass = CKO.DOMAIN_PARAMETERS;
  if (!hasDomainParameters(keyType))
    throw new SidekeyError('mechanism_invalid', 'this mechanism does not generate domain parameters');
  identify(template, { objectClass, keyType });
  const attributes = buildAttributes({ origin: 'generate', objectClass, keyType, template });
  check(attributes);
  addComponents(attributes, await domain.keeper.generateDomain(mechanism, parametersOf(attributes)));
  const draft = await draftPlain(domain, maker, attributes, {
    origin: 'generate',
    mechanism: mechanism.type,
  });
  const [object] = await keep(domain, maker, [draft]);
  if (object === undefined) throw new SidekeyError('internal', 'the keeper returned no generated key');
  return object;
}

const RSA_F4 = Buffer.from([1, 0, 1]);

function buildHalf(
  objectClass: number,
  keyType: number,
  template: AttributeMap,
  check: Check,
): Map<number, Buffer> {
  identify(template, { objectClass, keyType });
  const attributes = buildAttributes({ origin: 'generate', objectClass, keyType, template });
  check(attributes);
  return attributes;
}

/** Both halves say on which curve, or of which parameter set, they are. */
function copyParameters(open: AttributeMap, hidden: Map<number, Buffer>): void {
  for (const type of [CKA.EC_PARAMS, CKA.PARAMETER_SET]) {
    const value = open.get(type);
    if (value !== undefined) hidden.set(type, value);
  }
}

/**
 * If the templates do not set CKA_ID, it stays empty on both halves, as the standard says. The public half is
 * sealed too: what it wraps or verifies depends on nobody having replaced it.
 */
export async function generatePair(
  domain: Domain,
  maker: Maker,
  mechanism: Mechanism,
  templates: { readonly public: AttributeMap; readonly private: AttributeMap },
  check: Check,
): Promise<{ public: TokenObject; private: TokenObject }> {
  const keyType = madeType(
    domain,
    maker.token.id,
    mechanism.type,
    MECHANISM_FLAG.GENERATE_KEY_PAIR,
    templates.public,
  );
  const open = buildHalf(CKO.PUBLIC_KEY, keyType, templates.public, check);
  const hidden = buildHalf(CKO.PRIVATE_KEY, keyType, templates.private, check);
  if (keyType === CKK.RSA && !open.has(CKA.PUBLIC_EXPONENT)) open.set(CKA.PUBLIC_EXPONENT, RSA_F4);
  const parameters = [...parametersOf(open), ...parametersOf(hidden, PRIVATE_PARAMETERS)];
  const from = { origin: 'generate', mechanism: mechanism.type } as const;
  copyParameters(open, hidden);
  const secret = await draftKey(domain, maker, hidden, from, (key) =>
    domain.keeper.generate(key, mechanism, parameters),
  );
  const components = publicComponents(
    new Map(secret.components?.map(({ type, value }) => [type, value] as const)),
  );
  for (const { type, value } of components) open.set(type, value);
  open.set(CKA.PUBLIC_KEY_INFO, hidden.get(CKA.PUBLIC_KEY_INFO) ?? Buffer.alloc(0));
  const shown = await draftKey(domain, maker, open, from, (key) =>
    domain.keeper.importComponents(key, components),
  ).catch((error: unknown) => {
    if (secret.cell !== null) domain.cells.drop(secret.cell);
    throw error;
  });
  const [first, second] = await keep(domain, maker, [shown, secret]);
  if (first === undefined || second === undefined)
    throw new SidekeyError('internal', 'the keeper generated only half of the pair');
  return { public: first, private: second };
}
