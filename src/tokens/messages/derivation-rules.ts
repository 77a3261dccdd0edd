/** What a derivation's template may and must say, by mechanism: how secret the new key is, and how long. */
import { SidekeyError } from '../../errors.ts';
import { WireReader } from '../../wire/buffer.ts';
import { CKA, CKM } from '../cryptoki.ts';
import { encodeBool, readUlong, type AttributeMap } from '../objects/attribute-value.ts';
import { fitsPrf, hasSeveralLengths, onlyLength } from '../objects/key-types.ts';
import { wantedLength } from '../objects/object-maker.ts';
import { has, keyTypeOf, type TokenObject } from '../objects/token-object.ts';
import type { Mechanism } from '../ports.ts';

/** Whoever can read a key derived by one of these knows the base key: XOR with zeros is the key itself. */
const REVEALING: readonly number[] = [
  CKM.CONCATENATE_BASE_AND_KEY,
  CKM.CONCATENATE_BASE_AND_DATA,
  CKM.CONCATENATE_DATA_AND_BASE,
  CKM.XOR_BASE_AND_DATA,
  CKM.EXTRACT_KEY_FROM_KEY,
];

export function isRevealing(mechanism: number): boolean {
  return REVEALING.includes(mechanism);
}

const SECRECY: readonly (readonly [attribute: number, secret: boolean])[] = [
  [CKA.SENSITIVE, true],
  [CKA.EXTRACTABLE, false],
  [CKA.WRAP_WITH_TRUSTED, true],
];

/**
 * PKCS#11 3.1, 6.43: a derived key is as sensitive and as unextractable as its base key; a template that
 * differs is refused.
 */
export function inheritSecrecy(bases: readonly TokenObject[], template: Map<number, Buffer>): void {
  for (const [attribute, secret] of SECRECY) {
    if (!bases.some((base) => has(base, attribute) === secret)) continue;
    const given = template.get(attribute);
    if (given !== undefined && !given.equals(encodeBool(secret)))
      throw new SidekeyError(
        'template_inconsistent',
        'the derived key would reveal what the base key must not',
      );
    template.set(attribute, encodeBool(secret));
  }
}

/**
 * If the base key cannot be read, at least this much of it must go into each derived key: whoever uses a
 * shorter one could guess the base key piece by piece.
 */
const PIECE_LEAST_BYTES = 14;

/** How many bytes of the base and second key a derivation of `length` bytes copies unchanged. */
const TAKEN: ReadonlyMap<number, (length: number, base: number, other: number) => readonly number[]> =
  new Map([
    [CKM.CONCATENATE_BASE_AND_KEY, (length, base) => [length, length - base]],
    [CKM.CONCATENATE_BASE_AND_DATA, (length) => [length]],
    [CKM.CONCATENATE_DATA_AND_BASE, (length, _base, data) => [length - data]],
    [CKM.XOR_BASE_AND_DATA, (length, _base, data) => [Math.min(length, data)]],
    [CKM.EXTRACT_KEY_FROM_KEY, (length) => [length]],
  ]);

/** After inheritSecrecy. */
export function refusePieces(
  { type, params }: Mechanism,
  bases: readonly TokenObject[],
  template: AttributeMap,
): void {
  const sizes = bases.map(({ attributes }) => readUlong(attributes, CKA.VALUE_LEN) ?? 0);
  const [base = 0, key] = sizes;
  const keyType = readUlong(template, CKA.KEY_TYPE);
  const length = wantedLength(template) ?? (keyType === null ? null : onlyLength(keyType)) ?? Infinity;
  // For mechanisms with data, the parameter is the data preceded by its length.
  const taken = TAKEN.get(type)?.(length, base, key ?? params.length - 4) ?? [];
  for (const [i, object] of bases.entries()) {
    const isHidden = has(object, CKA.SENSITIVE) || !has(object, CKA.EXTRACTABLE);
    if (isHidden && (taken[i] ?? 0) < Math.min(sizes[i] ?? 0, PIECE_LEAST_BYTES))
      throw new SidekeyError(
        'template_inconsistent',
        'the derived key would contain too few bytes of a sensitive key',
      );
  }
}

/** Mechanisms that derive a key from the hash of a key. */
const KEYS_BY_HASH: readonly number[] = [
  ...[0x390, 0x392, 0x393, 0x394, 0x395, 0x396, 0x397, 0x398, 0x399, 0x39a, 0x39b, 0x39c, 0x4b, 0x4f],
  ...[0x400f, 0x4014, 0x4019, 0x401e],
];

/** PKCS#11 3.1, 6.20.5 and 6.43: if the template has no length, the key type must imply one. */
const OF_KNOWN_LENGTH: readonly number[] = [...REVEALING, ...KEYS_BY_HASH];

export function checkLengthSaid(mechanism: number, template: Map<number, Buffer>): void {
  if (!OF_KNOWN_LENGTH.includes(mechanism) || template.has(CKA.VALUE_LEN)) return;
  const keyType = readUlong(template, CKA.KEY_TYPE);
  if (keyType !== null && hasSeveralLengths(keyType))
    throw new SidekeyError(
      'template_incomplete',
      'CKA_VALUE_LEN is missing, and keys of this type have several lengths',
    );
}

const BY_NAMED_PRF: readonly number[] = [CKM.IKE_PRF_DERIVE, CKM.IKE2_PRF_PLUS_DERIVE];

/** The PRF follows the handle of the second key (native-shim/wire/params.h: ike). */
export function checkPrf({ type, params }: Mechanism, base: TokenObject): void {
  if (!BY_NAMED_PRF.includes(type)) return;
  const reader = new WireReader(params);
  reader.number();
  if (!fitsPrf(keyTypeOf(base), reader.number()))
    throw new SidekeyError('key_type_inconsistent', 'the key is for another PRF');
}

/**
 * Parts of a key block that are keys (native-shim/wire/params.h, enum wire_tls_part); the other parts are
 * returned to the caller.
 */
const TLS_KEY_PARTS = 4;

const TLS_BLOCKS: readonly number[] = [
  CKM.TLS12_KEY_AND_MAC_DERIVE,
  CKM.TLS12_KEY_SAFE_DERIVE,
  CKM.TLS_KEY_AND_MAC_DERIVE,
  CKM.SSL3_KEY_AND_MAC_DERIVE,
];

export function isTlsKey({ type, params }: Mechanism): boolean {
  return TLS_BLOCKS.includes(type) && (params[0] ?? TLS_KEY_PARTS) < TLS_KEY_PARTS;
}

/**
 * PKCS#11 3.1, 6.38.5: session keys are as secret as their master secret, and of the type given in the
 * template.
 */
export function takeAfterMaster(base: TokenObject, template: Map<number, Buffer>): void {
  if (!template.has(CKA.KEY_TYPE)) throw new SidekeyError('template_incomplete', 'CKA_KEY_TYPE is missing');
  for (const attribute of [CKA.SENSITIVE, CKA.EXTRACTABLE]) {
    const value = encodeBool(has(base, attribute));
    if (template.get(attribute)?.equals(value) === false)
      throw new SidekeyError(
        'template_inconsistent',
        'session keys must be as sensitive as their master secret',
      );
    template.set(attribute, value);
  }
}
