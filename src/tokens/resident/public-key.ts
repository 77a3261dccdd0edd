/** Converts a SubjectPublicKeyInfo, as a service returns it, to PKCS#11 attributes. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import { encodeUlong } from '../objects/attribute-value.ts';
import { CKA, CKK } from '../cryptoki.ts';
import type { Attribute } from '../ports.ts';
import type { KeySpec } from '../resident-port.ts';
import type { SpecRow } from './specs.ts';

const OCTET_STRING = 0x04;
const UNCOMPRESSED = 0x04;

/** DER; a point on P-521 has 133 bytes, so two length bytes are enough. */
function octetString(content: Buffer): Buffer {
  const length = content.length < 0x80 ? [content.length] : [0x81, content.length];
  return Buffer.concat([Buffer.of(OCTET_STRING, ...length), content]);
}

interface Jwk {
  readonly crv?: string;
  readonly n?: string;
  readonly e?: string;
  readonly x?: string;
  readonly y?: string;
}

function readKey(info: Buffer): KeyObject {
  try {
    return createPublicKey({ key: info, format: 'der', type: 'spki' });
  } catch (cause) {
    throw new SidekeyError('provider_refused', 'the service returned a malformed public key', { cause });
  }
}

/** RFC 7518, 6.2.1.1; RFC 8812; RFC 8037. */
const CURVE_NAMES: Readonly<Partial<Record<KeySpec, string>>> = {
  'ec-p256': 'P-256',
  'ec-p384': 'P-384',
  'ec-p521': 'P-521',
  'ec-secp256k1': 'secp256k1',
  ed25519: 'Ed25519',
};

function field(jwk: Jwk, name: 'n' | 'e' | 'x' | 'y'): Buffer {
  return Buffer.from(jwk[name] ?? '', 'base64url');
}

/** As encoded by FIPS 204: the contents of the structure after its identifier. */
function ofSet({ spec, set = 0 }: SpecRow, info: Buffer): Attribute[] {
  const key = readKey(info);
  if (key.asymmetricKeyType !== spec)
    throw new SidekeyError('provider_refused', `the public key is not of type ${spec}`);
  return [
    { type: CKA.PARAMETER_SET, value: encodeUlong(set) },
    { type: CKA.VALUE, value: key.export({ format: 'raw-public' }) },
  ];
}

/**
 * CKA_MODULUS and CKA_PUBLIC_EXPONENT, or CKA_EC_PARAMS and CKA_EC_POINT, or CKA_PARAMETER_SET and CKA_VALUE.
 * provider_refused if the key does not fit this spec.
 */
export function publicComponentsOf(row: SpecRow, info: Buffer): Attribute[] {
  if (row.set !== undefined) return ofSet(row, info);
  const jwk: Jwk = readKey(info).export({ format: 'jwk' });
  if (jwk.crv !== CURVE_NAMES[row.spec] || (jwk.n !== undefined) !== (row.keyType === CKK.RSA))
    throw new SidekeyError('provider_refused', `the public key is not of type ${row.spec}`);
  if (row.keyType === CKK.RSA)
    return [
      { type: CKA.MODULUS, value: field(jwk, 'n') },
      { type: CKA.PUBLIC_EXPONENT, value: field(jwk, 'e') },
    ];
  const point =
    row.keyType === CKK.EC
      ? Buffer.concat([Buffer.of(UNCOMPRESSED), field(jwk, 'x'), field(jwk, 'y')])
      : field(jwk, 'x');
  return [
    { type: CKA.EC_PARAMS, value: row.curve ?? Buffer.alloc(0) },
    { type: CKA.EC_POINT, value: octetString(point) },
  ];
}
