/**
 * What PyKMIP does not do of a KMIP server, as a script for FakeKmip: links, digests, salts, elliptic curves, decryption by RSA, AES without
 * padding, keys for HMAC, and state rules. Strict: fields in the specification's order and no others. Its cryptography is real.
 */
import {
  createHash,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import { decodeAttributes, encodeFilter } from '../../src/providers/kmip/attributes.ts';
import * as message from '../../src/providers/kmip/message.ts';
import type { KmipVersion, Payload } from '../../src/providers/kmip/message.ts';
import * as tables from '../../src/providers/kmip/tables.ts';
import { decodeTtlv, encodeTtlv, type TtlvItem } from '../../src/providers/kmip/ttlv.ts';
import { decodeDer } from '../../src/wire/ecdsa-signature.ts';
import { aes, checkMask, hashName, No, openWith, refuse } from './fake-kmip-ciphers.ts';
import type { KmipScript } from './fake-kmip.ts';
import { signDigest } from './sign-digest.ts';

const { bytes, enumeration, findBytes, findNumber, findStructure, findText, integer, structure, text } =
  message;
const { TAG, OLD_TAG, OPERATION, STATE, USAGE, OBJECT_TYPE, CRYPTOGRAPHIC_ALGORITHM: ALGORITHM } = tables;
const { PADDING_METHOD: PADDING } = tables;
const { RECOMMENDED_CURVE: CURVE, KEY_FORMAT_TYPE: FORMAT } = tables;

const CRYPT = [
  TAG.UniqueIdentifier,
  TAG.CryptographicParameters,
  TAG.Data,
  TAG.IVCounterNonce,
  TAG.AuthenticatedEncryptionAdditionalData,
  TAG.AuthenticatedEncryptionTag,
];
/** Every field that an operation may have here, in order. */
const FIELDS: Readonly<Record<number, readonly number[]>> = {
  [OPERATION.Query]: [TAG.QueryFunction],
  [OPERATION.Locate]: [TAG.MaximumItems, TAG.Attribute, TAG.Attributes],
  [OPERATION.GetAttributes]: [TAG.UniqueIdentifier, TAG.AttributeName, TAG.AttributeReference],
  [OPERATION.Create]: [TAG.ObjectType, OLD_TAG.TemplateAttribute, TAG.Attributes],
  [OPERATION.CreateKeyPair]: [
    OLD_TAG.CommonTemplateAttribute,
    TAG.CommonAttributes,
    OLD_TAG.PrivateKeyTemplateAttribute,
    TAG.PrivateKeyAttributes,
    OLD_TAG.PublicKeyTemplateAttribute,
    TAG.PublicKeyAttributes,
  ],
  [OPERATION.Activate]: [TAG.UniqueIdentifier],
  [OPERATION.Revoke]: [TAG.UniqueIdentifier, TAG.RevocationReason],
  [OPERATION.Destroy]: [TAG.UniqueIdentifier],
  [OPERATION.Get]: [TAG.UniqueIdentifier, TAG.KeyFormatType],
  [OPERATION.Sign]: [TAG.UniqueIdentifier, TAG.CryptographicParameters, TAG.Data, TAG.DigestedData],
  [OPERATION.MAC]: [TAG.UniqueIdentifier, TAG.CryptographicParameters, TAG.Data],
  [OPERATION.RNGRetrieve]: [TAG.DataLength],
  [OPERATION.Encrypt]: CRYPT,
  [OPERATION.Decrypt]: CRYPT,
};
const CURVES: Readonly<Record<number, { name: string; bits: number }>> = {
  [CURVE.P256]: { name: 'P-256', bits: 256 },
  [CURVE.P384]: { name: 'P-384', bits: 384 },
  [CURVE.P521]: { name: 'P-521', bits: 521 },
  [CURVE.SECP256K1]: { name: 'secp256k1', bits: 256 },
};

interface Held {
  readonly id: string;
  readonly attributes: TtlvItem[];
  readonly key: KeyObject | null;
  readonly secret: Buffer;
  state: number;
}

export class FakeKmipKeys {
  readonly #version: KmipVersion;
  readonly #held = new Map<string, Held>();
  #next = 1;
  /** Why everything but the finding of a version is refused; null: nothing is. */
  trouble: keyof typeof tables.RESULT_REASON | null = null;

  /** What becomes of the point of a public key; null: nothing. */
  pointFault: ((point: Buffer) => Buffer) | null = null;
  /** What becomes of a signature by RSA; null: nothing. */
  signFault: ((key: KeyObject, digest: Buffer) => Buffer) | null = null;
  /** Formats that were asked for by Get, in order; null: none. */
  readonly formatsAsked: (number | null)[] = [];

  constructor(version: KmipVersion) {
    this.#version = version;
  }

  get size(): number {
    return this.#held.size;
  }

  setState(id: string, state: keyof typeof STATE): void {
    const held = this.#held.get(id);
    if (held) held.state = STATE[state];
  }

  readonly script: KmipScript = (socket, request) => {
    const top = decodeTtlv(request);
    const all = top.type === 'structure' ? top.value : [];
    const item = findStructure(all, TAG.BatchItem);
    const operation = findNumber(item, TAG.Operation) ?? 0;
    socket.write(this.#answer(operation, findStructure(item, TAG.RequestPayload)));
  };

  #answer(operation: number, payload: Payload): Buffer {
    const header = structure(
      TAG.ResponseHeader,
      message.encodeVersion(this.#version),
      integer(TAG.BatchCount, 1),
    );
    const item = [enumeration(TAG.Operation, operation)];
    try {
      const answer = structure(TAG.ResponsePayload, ...this.#do(operation, payload));
      item.push(enumeration(TAG.ResultStatus, 0), answer);
    } catch (error) {
      if (!(error instanceof No)) throw error;
      item.push(enumeration(TAG.ResultStatus, 1), enumeration(TAG.ResultReason, error.reason));
      item.push(text(TAG.ResultMessage, error.message));
    }
    return encodeTtlv(structure(TAG.ResponseMessage, header, structure(TAG.BatchItem, ...item)));
  }

  #do(operation: number, payload: Payload): Payload {
    if (operation === OPERATION.DiscoverVersions) return [message.encodeVersion(this.#version)];
    if (this.trouble !== null) refuse(this.trouble, 'as ordered');
    const order = FIELDS[operation] ?? refuse('OperationNotSupported', `${operation}`);
    const places = payload.map(({ tag }) => order.indexOf(tag));
    if (places.includes(-1) || places.some((place, at) => place < (places[at - 1] ?? 0)))
      refuse('InvalidMessage', `fields ${payload.map(({ tag }) => tag.toString(16)).join()}`);
    if (operation === OPERATION.Query)
      return Object.keys(FIELDS).map((each) => enumeration(TAG.Operation, Number(each)));
    if (operation === OPERATION.RNGRetrieve)
      return [bytes(TAG.Data, randomBytes(findNumber(payload, TAG.DataLength) ?? 0))];
    if (operation === OPERATION.Locate) return this.#locate(payload);
    if (operation === OPERATION.Create) return this.#create(payload);
    if (operation === OPERATION.CreateKeyPair) return this.#createPair(payload);
    const id = findText(payload, TAG.UniqueIdentifier) ?? '';
    const held = this.#held.get(id) ?? refuse('ObjectNotFound', id);
    return [text(TAG.UniqueIdentifier, id), ...this.#use(operation, held, payload)];
  }

  #use(operation: number, held: Held, payload: Payload): Payload {
    if (operation === OPERATION.GetAttributes) return this.#attributes(held);
    if (operation === OPERATION.Get) return this.#get(held, payload);
    if (operation === OPERATION.Activate) {
      if (held.state !== STATE.PreActive) refuse('WrongKeyLifecycleState', 'not pre-active');
      held.state = STATE.Active;
      return [];
    }
    if (operation === OPERATION.Revoke) {
      held.state = STATE.Deactivated;
      return [];
    }
    if (operation === OPERATION.Destroy) {
      if (held.state === STATE.Active) refuse('WrongKeyLifecycleState', 'active');
      this.#held.delete(held.id);
      return [];
    }
    if (held.state !== STATE.Active) refuse('WrongKeyLifecycleState', 'not active');
    const data = findBytes(payload, TAG.Data);
    const parameters = findStructure(payload, TAG.CryptographicParameters);
    if (operation === OPERATION.Sign)
      return this.#sign(held, parameters, data, findBytes(payload, TAG.DigestedData));
    const isHmac = operation === OPERATION.MAC && findNumber(parameters, TAG.BlockCipherMode) === null;
    if (isHmac) hashName(findNumber(parameters, TAG.HashingAlgorithm));
    if (operation === OPERATION.MAC) return this.#mac(held, parameters, data ?? Buffer.alloc(0));
    return this.#crypt(operation, held, parameters, payload);
  }

  #locate(payload: Payload): Payload {
    const wanted = decodeAttributes(payload);
    const hits = [...this.#held.values()].filter((held) =>
      wanted.every((attribute) =>
        this.#described(held).some((each) => encodeTtlv(each).equals(encodeTtlv(attribute))),
      ),
    );
    const max = findNumber(payload, TAG.MaximumItems) ?? hits.length;
    return hits.slice(0, max).map(({ id }) => text(TAG.UniqueIdentifier, id));
  }

  #described({ attributes, state }: Held): TtlvItem[] {
    return [...attributes, enumeration(TAG.State, state)];
  }

  #attributes(held: Held): Payload {
    return encodeFilter(this.#version, this.#described(held));
  }

  #hold(type: number, given: readonly TtlvItem[], key: KeyObject | null, secret: Buffer): Held {
    const taken = given.filter(({ tag }) => tag === TAG.Name).map((name) => encodeTtlv(name));
    for (const other of this.#held.values())
      if (other.attributes.some((each) => taken.some((name) => encodeTtlv(each).equals(name))))
        refuse('PermissionDenied', 'the name is taken');
    const now: TtlvItem = {
      tag: TAG.InitialDate,
      type: 'dateTime',
      value: BigInt(Math.floor(Date.now() / 1000)),
    };
    const attributes = [enumeration(TAG.ObjectType, type), ...given, now];
    const held = { id: `id-${this.#next++}`, attributes, key, secret, state: STATE.PreActive };
    this.#held.set(held.id, held);
    return held;
  }

  /** Of a template (1.x) or a structure of attributes (2.x). */
  #given(payload: Payload, old: number, recent: number): TtlvItem[] {
    const isRecent = this.#version.major >= 2;
    const parts = findStructure(payload, isRecent ? recent : old);
    return isRecent ? [...parts] : decodeAttributes(parts);
  }

  #create(payload: Payload): Payload {
    const given = this.#given(payload, OLD_TAG.TemplateAttribute, TAG.Attributes);
    const bits = findNumber(given, TAG.CryptographicLength) ?? 0;
    const algorithm = findNumber(given, TAG.CryptographicAlgorithm);
    const isAes = algorithm === ALGORITHM.AES && [128, 192, 256].includes(bits);
    if (!isAes && !(algorithm === ALGORITHM.HMACSHA256 && bits % 8 === 0 && bits > 0))
      refuse('InvalidMessage', `algorithm ${algorithm} of ${bits}`);
    const held = this.#hold(OBJECT_TYPE.SymmetricKey, given, null, randomBytes(bits / 8));
    return [enumeration(TAG.ObjectType, OBJECT_TYPE.SymmetricKey), text(TAG.UniqueIdentifier, held.id)];
  }

  #createPair(payload: Payload): Payload {
    const common = this.#given(payload, OLD_TAG.CommonTemplateAttribute, TAG.CommonAttributes);
    const bits = findNumber(common, TAG.CryptographicLength) ?? 0;
    const domain = findStructure(common, TAG.CryptographicDomainParameters);
    const curve = CURVES[findNumber(domain, TAG.RecommendedCurve) ?? 0];
    const isRsa = findNumber(common, TAG.CryptographicAlgorithm) === ALGORITHM.RSA;
    if (isRsa ? bits < 2048 : curve?.bits !== bits) refuse('InvalidMessage', `${bits} bits`);
    const { privateKey, publicKey } = isRsa
      ? generateKeyPairSync('rsa', { modulusLength: bits })
      : generateKeyPairSync('ec', { namedCurve: curve?.name ?? '' });
    const half = (old: number, recent: number) => [...common, ...this.#given(payload, old, recent)];
    const shown = half(OLD_TAG.PublicKeyTemplateAttribute, TAG.PublicKeyAttributes);
    const open = this.#hold(OBJECT_TYPE.PublicKey, shown, publicKey, Buffer.alloc(0));
    const link = structure(
      TAG.Link,
      enumeration(TAG.LinkType, tables.LINK_TYPE.PublicKeyLink),
      text(TAG.LinkedObjectIdentifier, open.id),
    );
    const kept = [...half(OLD_TAG.PrivateKeyTemplateAttribute, TAG.PrivateKeyAttributes), link];
    const secret = this.#hold(OBJECT_TYPE.PrivateKey, kept, privateKey, Buffer.alloc(0));
    return [text(TAG.PrivateKeyUniqueIdentifier, secret.id), text(TAG.PublicKeyUniqueIdentifier, open.id)];
  }

  /** Keys of curves come as their point (as Cosmian KMS gives them), of 1.x in a structure that nobody reads; X.509 where that is asked for. */
  #get({ key, attributes }: Held, payload: Payload): Payload {
    const isPublic = findNumber(attributes, TAG.ObjectType) === OBJECT_TYPE.PublicKey;
    if (!key || !isPublic) return refuse('PermissionDenied', 'what is secret stays here');
    const asked = findNumber(payload, TAG.KeyFormatType);
    this.formatsAsked.push(asked);
    const isX509 = asked === FORMAT.X509;
    const isRsa = key.asymmetricKeyType === 'rsa';
    const format = isX509 ? FORMAT.X509 : isRsa ? FORMAT.PKCS1 : FORMAT.TransparentECPublicKey;
    const type = format === FORMAT.PKCS1 ? 'pkcs1' : 'spki';
    const material =
      format === FORMAT.TransparentECPublicKey
        ? structure(TAG.KeyMaterial, ...this.#point(key))
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

  #point(key: KeyObject): TtlvItem[] {
    if (this.#version.major < 2) return [];
    const { x = '', y = '' } = key.export({ format: 'jwk' });
    const coordinates = [x, y].map((each) => Buffer.from(each, 'base64url'));
    const point = Buffer.concat([Buffer.of(4), ...coordinates]);
    return [bytes(TAG.QString, this.pointFault === null ? point : this.pointFault(point))];
  }

  #demand({ attributes }: Held, bit: number): void {
    const usage = findNumber(attributes, TAG.CryptographicUsageMask) ?? 0;
    if ((usage & bit) === 0) refuse('PermissionDenied', `usage ${usage}`);
  }

  #sign(held: Held, parameters: Payload, data: Buffer | null, given: Buffer | null): Payload {
    this.#demand(held, USAGE.Sign);
    const hash = hashName(findNumber(parameters, TAG.HashingAlgorithm));
    const isNamed = findNumber(parameters, TAG.DigitalSignatureAlgorithm) !== null;
    if (findNumber(parameters, TAG.PaddingMethod) === PADDING.PKCS1v15 && !isNamed)
      refuse('InvalidMessage', 'as Cosmian KMS: signed by PSS unless the algorithm is named');
    if ((data === null) === (given === null)) refuse('InvalidMessage', 'data or digest');
    const digest =
      given ??
      createHash(hash)
        .update(data ?? '')
        .digest();
    if (digest.length !== createHash(hash).digest().length) refuse('InvalidMessage', 'digest');
    const { key } = held;
    if (!key) return refuse('PermissionDenied', 'no private key');
    const domain = findStructure(held.attributes, TAG.CryptographicDomainParameters);
    const curve = CURVES[findNumber(domain, TAG.RecommendedCurve) ?? 0];
    if (curve) {
      const der = signDigest(key, { scheme: 'ecdsa', hash }, digest);
      // Both forms are found among servers.
      const form = this.#version.major >= 2 ? decodeDer(der, curve.bits) : der;
      return [bytes(TAG.SignatureData, form ?? der)];
    }
    if (this.signFault !== null) return [bytes(TAG.SignatureData, this.signFault(key, digest))];
    const padding = findNumber(parameters, TAG.PaddingMethod);
    const saltBytes = findNumber(parameters, TAG.SaltLength);
    if (padding === PADDING.PKCS1v15)
      return [bytes(TAG.SignatureData, signDigest(key, { scheme: 'rsa-pkcs1', hash }, digest))];
    if (padding !== PADDING.PSS || saltBytes === null) return refuse('InvalidMessage', 'padding or salt');
    checkMask(parameters, hash);
    return [bytes(TAG.SignatureData, signDigest(key, { scheme: 'rsa-pss', hash, saltBytes }, digest))];
  }

  #mac(held: Held, parameters: Payload, data: Buffer): Payload {
    this.#demand(held, USAGE.MACGenerate);
    if (findNumber(parameters, TAG.CryptographicAlgorithm) !== ALGORITHM.HMACSHA256)
      refuse('InvalidMessage', 'algorithm');
    return [bytes(TAG.MACData, createHmac('sha256', held.secret).update(data).digest())];
  }

  #crypt(operation: number, held: Held, parameters: Payload, payload: Payload): Payload {
    const isEncrypt = operation === OPERATION.Encrypt;
    this.#demand(held, isEncrypt ? USAGE.Encrypt : USAGE.Decrypt);
    try {
      return held.key
        ? openWith(held.key, parameters, payload)
        : aes(isEncrypt, held.secret, parameters, payload);
    } catch (error) {
      if (error instanceof No) throw error;
      return refuse('CryptographicFailure', 'it does not open');
    }
  }
}
