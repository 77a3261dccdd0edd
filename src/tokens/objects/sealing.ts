/**
 * The associated data of a sealed object binds the token, the object's unique ID and every attribute, except
 * those whose row says `unsealed` (label, ID, subject and the like, which programs change freely and which
 * permit nothing). A row whose CKA_EXTRACTABLE was edited in the database therefore does not open. Sealed are
 * private, secret and public keys (wrapped keys would otherwise be encrypted to a replaced modulus) and the
 * values of private data objects. Certificates and public data objects are not: they are public, programs
 * verify certificates by their signatures, and reading them must not need the key service. Their integrity
 * rests on the file's mode.
 */
import { createHash } from 'node:crypto';
import { WireWriter } from '../../wire/buffer.ts';
import { encodeAttributes } from './attribute-value.ts';
import { findRow } from './attributes.ts';
import { CKA } from '../cryptoki.ts';
import type { TokenObject } from './token-object.ts';
import { keyTypeOf, kindOf } from './token-object.ts';

const VERSION = 1;

export type Sealable = Pick<TokenObject, 'uniqueId' | 'attributes'>;

/**
 * Components that the keeper makes together with the seal, so that the seal cannot bind them: they are inside
 * it, and opening compares them (object-cells.ts). Everything else that is not `unsealed` is bound.
 */
const MADE: readonly number[] = [
  CKA.MODULUS,
  CKA.MODULUS_BITS,
  CKA.PUBLIC_EXPONENT,
  CKA.EC_PARAMS,
  CKA.EC_POINT,
  CKA.PARAMETER_SET,
  CKA.VALUE,
  CKA.VALUE_LEN,
  CKA.CHECK_VALUE,
  CKA.PUBLIC_KEY_INFO,
  CKA.PRIME,
  CKA.SUBPRIME,
  CKA.BASE,
  // The value of a public key is inside its seal. Secret values are not attributes, and a private data
  // object's value is what is sealed.
  CKA.VALUE,
];

function isBound(type: number, object: Sealable): boolean {
  if (MADE.includes(type)) return false;
  return findRow(type, kindOf(object), keyTypeOf(object))?.unsealed !== true;
}

/** The associated data of an object's seal: a digest, whatever the size of the attributes. */
export function sealingData(tokenSerial: string, object: Sealable): Buffer {
  const bound = new Map([...object.attributes].filter(([type]) => isBound(type, object)));
  const writer = new WireWriter().u8(VERSION).text(tokenSerial).text(object.uniqueId);
  writer.bytes(createHash('sha256').update(encodeAttributes(bound)).digest());
  return Buffer.from(writer.done());
}

/** Whether changing this attribute requires a new seal. */
export function changesSeal(type: number, object: Sealable): boolean {
  return isBound(type, object);
}

export function isMadeComponent(type: number): boolean {
  return MADE.includes(type);
}
