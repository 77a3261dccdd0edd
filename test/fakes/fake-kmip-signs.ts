/** Sign and Signature Verify of the strict KMIP server (fake-kmip-keys.ts). */
import { constants, createHash, verify, type KeyObject } from 'node:crypto';
import * as message from '../../src/providers/kmip/message.ts';
import type { Payload } from '../../src/providers/kmip/message.ts';
import * as tables from '../../src/providers/kmip/tables.ts';
import { decodeDer } from '../../src/wire/ecdsa-signature.ts';
import { checkMask, hashName, refuse } from './fake-kmip-ciphers.ts';
import { CURVES, demandUsage, type Held } from './fake-kmip-objects.ts';
import { signDigest } from './sign-digest.ts';

const { bytes, enumeration, findBytes, findNumber, findStructure } = message;
const { TAG, USAGE, PADDING_METHOD: PADDING, VALIDITY_INDICATOR: VALIDITY } = tables;

interface Asked {
  readonly parameters: Payload;
  readonly hash: string;
  readonly data: Buffer | null;
  readonly digest: Buffer;
  readonly padding: number | null;
  readonly saltBytes: number | null;
  readonly curve: { readonly bits: number } | undefined;
}

function readAsked(held: Held, payload: Payload): Asked {
  const parameters = findStructure(payload, TAG.CryptographicParameters);
  const [data, given] = [findBytes(payload, TAG.Data), findBytes(payload, TAG.DigestedData)];
  const hash = hashName(findNumber(parameters, TAG.HashingAlgorithm));
  const padding = findNumber(parameters, TAG.PaddingMethod);
  const isNamed = findNumber(parameters, TAG.DigitalSignatureAlgorithm) !== null;
  if (padding === PADDING.PKCS1v15 && !isNamed)
    refuse('InvalidMessage', 'as Cosmian KMS: signed by PSS unless the algorithm is named');
  if ((data === null) === (given === null)) refuse('InvalidMessage', 'data or digest');
  const made = createHash(hash).update(data ?? '');
  const digest = given ?? made.digest();
  if (digest.length !== createHash(hash).digest().length) refuse('InvalidMessage', 'digest');
  const domain = findStructure(held.attributes, TAG.CryptographicDomainParameters);
  const curve = CURVES[findNumber(domain, TAG.RecommendedCurve) ?? 0];
  const saltBytes = findNumber(parameters, TAG.SaltLength);
  return { parameters, hash, data, digest, padding, saltBytes, curve };
}

/** Both forms of a signature on a curve are found among servers. */
export function signWith(
  held: Held,
  payload: Payload,
  isRecent: boolean,
  fault: ((key: KeyObject, digest: Buffer) => Buffer) | null,
): Payload {
  demandUsage(held, USAGE.Sign);
  const { parameters, hash, digest, padding, saltBytes, curve } = readAsked(held, payload);
  const { key } = held;
  if (!key) return refuse('PermissionDenied', 'no private key');
  if (curve) {
    const der = signDigest(key, { scheme: 'ecdsa', hash }, digest);
    const form = isRecent ? decodeDer(der, curve.bits) : der;
    return [bytes(TAG.SignatureData, form ?? der)];
  }
  if (fault !== null) return [bytes(TAG.SignatureData, fault(key, digest))];
  if (padding === PADDING.PKCS1v15)
    return [bytes(TAG.SignatureData, signDigest(key, { scheme: 'rsa-pkcs1', hash }, digest))];
  if (padding !== PADDING.PSS || saltBytes === null) return refuse('InvalidMessage', 'padding or salt');
  checkMask(parameters, hash);
  return [bytes(TAG.SignatureData, signDigest(key, { scheme: 'rsa-pss', hash, saltBytes }, digest))];
}

/** Of messages alone: node:crypto takes no digests. Takes the form of a signature that it gives itself. */
export function verifyWith(held: Held, payload: Payload, isRecent: boolean): Payload {
  demandUsage(held, USAGE.Verify);
  const { parameters, hash, data, padding, saltBytes, curve } = readAsked(held, payload);
  const signature = findBytes(payload, TAG.SignatureData) ?? refuse('InvalidMessage', 'no signature');
  const { key } = held;
  if (!key || data === null) return refuse('InvalidMessage', 'no public key, or no data');
  if (padding === PADDING.PSS) checkMask(parameters, hash);
  // As Cosmian KMS: what is not in the form that it gives is a failure, no answer.
  const isForm = isRecent
    ? signature.length * 4 === (curve?.bits ?? 0) + ((curve?.bits ?? 0) % 8)
    : signature[0] === 0x30;
  if (curve && !isForm) refuse(isRecent ? 'CodecError' : 'CryptographicFailure', 'no signature');
  const how = curve
    ? { dsaEncoding: isRecent ? ('ieee-p1363' as const) : ('der' as const) }
    : padding === PADDING.PSS
      ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: saltBytes ?? -1 }
      : { padding: constants.RSA_PKCS1_PADDING };
  const isValid = verify(hash, data, { key, ...how }, signature);
  return [enumeration(TAG.ValidityIndicator, isValid ? VALIDITY.Valid : VALIDITY.Invalid)];
}
