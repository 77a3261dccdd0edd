/** What the strict KMIP server (fake-kmip-keys.ts) holds, takes by Register and gives by Get, in the clear or wrapped. */
import { constants, createPrivateKey, createPublicKey, publicEncrypt, type KeyObject } from 'node:crypto';
import * as message from '../../src/providers/kmip/message.ts';
import type { Payload } from '../../src/providers/kmip/message.ts';
import * as tables from '../../src/providers/kmip/tables.ts';
import { encodeTtlv, type TtlvItem } from '../../src/providers/kmip/ttlv.ts';
import { checkMask, hashName, refuse } from './fake-kmip-ciphers.ts';

const { bytes, enumeration, findBytes, findNumber, findStructure, integer, structure, text } = message;
const { TAG, OBJECT_TYPE, KEY_FORMAT_TYPE: FORMAT, RECOMMENDED_CURVE: CURVE, USAGE } = tables;
const { CRYPTOGRAPHIC_ALGORITHM: ALGORITHM, PADDING_METHOD: PADDING } = tables;

export interface Held {
  readonly id: string;
  readonly attributes: TtlvItem[];
  readonly key: KeyObject | null;
  readonly secret: Buffer;
  state: number;
}

export const CURVES: Readonly<Record<number, { name: string; bits: number }>> = {
  [CURVE.P256]: { name: 'P-256', bits: 256 },
  [CURVE.P384]: { name: 'P-384', bits: 384 },
  [CURVE.P521]: { name: 'P-521', bits: 521 },
  [CURVE.SECP256K1]: { name: 'secp256k1', bits: 256 },
};

export function demandUsage({ attributes }: Held, bit: number): void {
  const usage = findNumber(attributes, TAG.CryptographicUsageMask) ?? 0;
  if ((usage & bit) === 0) refuse('PermissionDenied', `usage ${usage}`);
}

export interface Getting {
  readonly isRecent: boolean;
  /** Of 1.x; 4 from there on. */
  readonly minor: number;
  /** What becomes of the point of a public key; null: nothing. */
  readonly pointFault: ((point: Buffer) => Buffer) | null;
  /** How a wrapped key goes wrong: given in the clear, or by a key that was not asked for; null: it does not. */
  readonly wrapFault: 'clear' | 'other key' | null;
  /** The key of that unique identifier. */
  readonly find: (id: string) => Held;
}

/** Of 1.x in a structure that nobody reads. */
function pointOf(key: KeyObject, { isRecent, pointFault }: Getting): TtlvItem[] {
  if (!isRecent) return [];
  const { x = '', y = '' } = key.export({ format: 'jwk' });
  const coordinates = [x, y].map((each) => Buffer.from(each, 'base64url'));
  const point = Buffer.concat([Buffer.of(4), ...coordinates]);
  return [bytes(TAG.QString, pointFault === null ? point : pointFault(point))];
}

/** Keys of curves come as their point (as Cosmian KMS gives them); X.509 where that is asked for. */
export function getPublic(key: KeyObject, asked: number | null, getting: Getting): Payload {
  const isRsa = key.asymmetricKeyType === 'rsa';
  const given = isRsa ? FORMAT.PKCS1 : FORMAT.TransparentECPublicKey;
  const format = asked === FORMAT.X509 ? FORMAT.X509 : given;
  const type = format === FORMAT.PKCS1 ? 'pkcs1' : 'spki';
  const material =
    format === FORMAT.TransparentECPublicKey
      ? structure(TAG.KeyMaterial, ...pointOf(key, getting))
      : bytes(
          TAG.KeyMaterial,
          createPublicKey(key.export({ format: 'pem', type: 'spki' })).export({ format: 'der', type }),
        );
  const block = structure(
    TAG.KeyBlock,
    enumeration(TAG.KeyFormatType, format),
    structure(TAG.KeyValue, material),
  );
  return [structure(TAG.PublicKey, block)];
}

/** Before 1.4 a mask is not spoken of: it is that of PKCS #1's default, by SHA-1. */
function oaepHashOf(parameters: Payload, minor: number): string {
  const hash = hashName(findNumber(parameters, TAG.HashingAlgorithm));
  if (minor >= 4) checkMask(parameters, hash);
  else if (hash !== 'sha1') refuse('InvalidMessage', `a mask by SHA-1 and a label by ${hash}`);
  return hash;
}

/** By RSA-OAEP with a registered public key. A deactivated key is given out all the same: KMIP leaves that to the client. */
export function getWrapped(held: Held, specification: Payload, getting: Getting): Payload {
  const { find, wrapFault, minor } = getting;
  const order = [
    TAG.WrappingMethod,
    TAG.EncryptionKeyInformation,
    ...(minor > 0 ? [TAG.EncodingOption] : []),
  ];
  if (specification.map(({ tag }) => tag).join() !== order.join()) refuse('InvalidMessage', 'specification');
  const isAsked =
    findNumber(specification, TAG.WrappingMethod) === tables.WRAPPING_METHOD.Encrypt &&
    (minor === 0 || findNumber(specification, TAG.EncodingOption) === tables.ENCODING_OPTION.NoEncoding);
  if (!isAsked) refuse('InvalidMessage', 'method or encoding');
  const information = findStructure(specification, TAG.EncryptionKeyInformation);
  const by = find(message.findText(information, TAG.UniqueIdentifier) ?? '');
  demandUsage(by, USAGE.WrapKey);
  if (by.state !== tables.STATE.Active) refuse('WrongKeyLifecycleState', 'the wrapping key is not active');
  const parameters = findStructure(information, TAG.CryptographicParameters);
  const oaepHash = oaepHashOf(parameters, minor);
  const isOaep =
    findNumber(parameters, TAG.PaddingMethod) === PADDING.OAEP &&
    (minor < 4 || findNumber(parameters, TAG.CryptographicAlgorithm) === ALGORITHM.RSA);
  if (!isOaep || by.key === null) return refuse('InvalidMessage', 'no wrapping by RSA-OAEP');
  const how = { key: by.key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash };
  const inClear = structure(TAG.KeyValue, bytes(TAG.KeyMaterial, held.secret));
  // 1.0 wraps the Key Value as it is encoded (KMIP 1.0, 2.1.5).
  const wrapped = publicEncrypt(how, minor === 0 ? encodeTtlv(inClear) : held.secret);
  const block = structure(
    TAG.KeyBlock,
    enumeration(TAG.KeyFormatType, FORMAT.Raw),
    wrapFault === 'clear' ? inClear : bytes(TAG.KeyValue, wrapped),
    enumeration(TAG.CryptographicAlgorithm, findNumber(held.attributes, TAG.CryptographicAlgorithm) ?? 0),
    integer(TAG.CryptographicLength, held.secret.length * 8),
    structure(
      TAG.KeyWrappingData,
      enumeration(TAG.WrappingMethod, tables.WRAPPING_METHOD.Encrypt),
      structure(
        TAG.EncryptionKeyInformation,
        text(TAG.UniqueIdentifier, wrapFault === 'other key' ? held.id : by.id),
        structure(TAG.CryptographicParameters, ...parameters),
      ),
    ),
  );
  return [enumeration(TAG.ObjectType, OBJECT_TYPE.SymmetricKey), structure(TAG.SymmetricKey, block)];
}

const REGISTERED: Readonly<Record<number, { tag: number; formats: readonly number[] }>> = {
  [OBJECT_TYPE.SymmetricKey]: { tag: TAG.SymmetricKey, formats: [FORMAT.Raw] },
  [OBJECT_TYPE.PublicKey]: { tag: TAG.PublicKey, formats: [FORMAT.PKCS1, FORMAT.X509] },
  [OBJECT_TYPE.PrivateKey]: { tag: TAG.PrivateKey, formats: [FORMAT.PKCS8] },
};

/** The key of a Register, and the attributes that its block says. */
export function readRegistered(type: number, payload: Payload) {
  const row = REGISTERED[type] ?? refuse('InvalidMessage', `object type ${type}`);
  const block = findStructure(findStructure(payload, row.tag), TAG.KeyBlock);
  const order = [TAG.KeyFormatType, TAG.KeyValue, TAG.CryptographicAlgorithm, TAG.CryptographicLength];
  if (block.map(({ tag }) => tag).join() !== order.join()) refuse('InvalidMessage', 'key block');
  const format = findNumber(block, TAG.KeyFormatType) ?? 0;
  if (!row.formats.includes(format)) refuse('InvalidMessage', `format ${format}`);
  const material = findBytes(findStructure(block, TAG.KeyValue), TAG.KeyMaterial) ?? Buffer.alloc(0);
  const said = block.slice(2);
  if (type === OBJECT_TYPE.SymmetricKey) {
    if (material.length * 8 !== findNumber(block, TAG.CryptographicLength))
      refuse('InvalidMessage', 'length');
    return { said, key: null, secret: Buffer.from(material) };
  }
  const pkcs = format === FORMAT.PKCS1 ? 'pkcs1' : 'spki';
  const key =
    type === OBJECT_TYPE.PublicKey
      ? createPublicKey({ key: material, format: 'der', type: pkcs })
      : createPrivateKey({ key: material, format: 'der', type: 'pkcs8' });
  return { said, key, secret: Buffer.alloc(0) };
}
