/**
 * What PyKMIP does not do of a KMIP server, as a script for FakeKmip: links, digests, salts, elliptic curves, decryption by RSA, AES without
 * padding, keys for HMAC, and state rules. Strict: fields in the specification's order and no others. Its cryptography is real.
 */
import { createHmac, generateKeyPairSync, randomBytes, randomUUID, type KeyObject } from 'node:crypto';
import {
  ATTRIBUTE_NAMES,
  decodeAttributes,
  encodeFilter,
  nameAttribute,
} from '../../src/providers/kmip/attributes.ts';
import * as message from '../../src/providers/kmip/message.ts';
import type { KmipVersion, Payload } from '../../src/providers/kmip/message.ts';
import * as tables from '../../src/providers/kmip/tables.ts';
import { decodeTtlv, encodeTtlv, type TtlvItem } from '../../src/providers/kmip/ttlv.ts';
import { aes, hashName, No, openWith, refuse } from './fake-kmip-ciphers.ts';
import { demandVersion, FIELDS, operationsOf } from './fake-kmip-fields.ts';
import {
  CURVES,
  demandUsage,
  getPublic,
  getWrapped,
  readRegistered,
  type Getting,
  type Held,
} from './fake-kmip-objects.ts';
import { signWith, verifyWith } from './fake-kmip-signs.ts';
import type { KmipScript } from './fake-kmip.ts';

const { bytes, enumeration, findBytes, findNumber, findStructure, findText, integer, structure, text } =
  message;
const { TAG, OLD_TAG, OPERATION, STATE, USAGE, OBJECT_TYPE, CRYPTOGRAPHIC_ALGORITHM: ALGORITHM } = tables;
const { LINK_TYPE: LINK } = tables;

function tagNamed(name: string): number | undefined {
  return Object.entries(ATTRIBUTE_NAMES).find(([each]) => each === name)?.[1];
}

function linkTo(type: number, id: string): TtlvItem {
  return structure(TAG.Link, enumeration(TAG.LinkType, type), text(TAG.LinkedObjectIdentifier, id));
}

function linkedTo({ attributes }: Held, type: number): string {
  const links = attributes.map((each) =>
    each.tag === TAG.Link && each.type === 'structure' ? each.value : [],
  );
  const link = links.find((parts) => findNumber(parts, TAG.LinkType) === type) ?? [];
  return findText(link, TAG.LinkedObjectIdentifier) ?? '';
}

export class FakeKmipKeys {
  readonly #version: KmipVersion;
  readonly #held = new Map<string, Held>();
  /** Why everything but the finding of a version is refused; null: nothing is. */
  trouble: keyof typeof tables.RESULT_REASON | null = null;

  /** What becomes of the point of a public key; null: nothing. */
  pointFault: ((point: Buffer) => Buffer) | null = null;
  /** What becomes of a signature by RSA; null: nothing. */
  signFault: ((key: KeyObject, digest: Buffer) => Buffer) | null = null;
  /** How a wrapped Get goes wrong; null: it does not. */
  wrapFault: Getting['wrapFault'] = null;
  /** Whether public keys are kept. */
  hidesPublic = false;
  /** Operations in the order in which they came. */
  readonly asked: number[] = [];
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
    socket.write(this.#answer(top, operation, findStructure(item, TAG.RequestPayload)));
  };

  #answer(request: TtlvItem, operation: number, payload: Payload): Buffer {
    const header = structure(
      TAG.ResponseHeader,
      message.encodeVersion(this.#version),
      integer(TAG.BatchCount, 1),
    );
    const item = [enumeration(TAG.Operation, operation)];
    try {
      demandVersion(this.#version, request, operation);
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
    this.asked.push(operation);
    if (this.trouble !== null) refuse(this.trouble, 'as ordered');
    const order = FIELDS[operation] ?? refuse('OperationNotSupported', `${operation}`);
    const places = payload.map(({ tag }) => order.indexOf(tag));
    if (places.includes(-1) || places.some((place, at) => place < (places[at - 1] ?? 0)))
      refuse('InvalidMessage', `fields ${payload.map(({ tag }) => tag.toString(16)).join()}`);
    if (operation === OPERATION.Query)
      return operationsOf(this.#version).map((each) => enumeration(TAG.Operation, each));
    if (operation === OPERATION.RNGRetrieve)
      return [bytes(TAG.Data, randomBytes(findNumber(payload, TAG.DataLength) ?? 0))];
    if (operation === OPERATION.Locate) return this.#locate(payload);
    if (operation === OPERATION.Create) return this.#create(payload);
    if (operation === OPERATION.CreateKeyPair) return this.#createPair(payload);
    if (operation === OPERATION.Register) return this.#register(payload);
    if (operation === OPERATION.RekeyKeyPair) return this.#rekeyPair(payload);
    const id = findText(payload, TAG.UniqueIdentifier) ?? '';
    const held = this.#find(id);
    if (operation === OPERATION.Rekey) return [text(TAG.UniqueIdentifier, this.#rekey(held))];
    return [text(TAG.UniqueIdentifier, id), ...this.#use(operation, held, payload)];
  }

  #use(operation: number, held: Held, payload: Payload): Payload {
    if (operation === OPERATION.GetAttributes) return this.#attributes(held, payload);
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
    const isRecent = this.#version.major >= 2;
    if (operation === OPERATION.Sign) return signWith(held, payload, isRecent, this.signFault);
    if (operation === OPERATION.SignatureVerify) return verifyWith(held, payload, isRecent);
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

  /** Those that were asked for, and no others. */
  #attributes(held: Held, payload: Payload): Payload {
    const isAsked = ({ tag }: TtlvItem): boolean =>
      payload.some(({ value }) => value === tag || (typeof value === 'string' && tagNamed(value) === tag));
    return encodeFilter(this.#version, this.#described(held).filter(isAsked));
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
    const held = { id: randomUUID(), attributes, key, secret, state: STATE.PreActive };
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
    const link = linkTo(LINK.PublicKeyLink, open.id);
    const kept = [...half(OLD_TAG.PrivateKeyTemplateAttribute, TAG.PrivateKeyAttributes), link];
    const secret = this.#hold(OBJECT_TYPE.PrivateKey, kept, privateKey, Buffer.alloc(0));
    return [text(TAG.PrivateKeyUniqueIdentifier, secret.id), text(TAG.PublicKeyUniqueIdentifier, open.id)];
  }

  #find(id: string): Held {
    return this.#held.get(id) ?? refuse('ObjectNotFound', id);
  }

  /** An AES key as an administrator makes one. */
  addActive(name: string): string {
    const attributes = [
      nameAttribute(name),
      enumeration(TAG.CryptographicAlgorithm, ALGORITHM.AES),
      integer(TAG.CryptographicLength, 256),
      integer(TAG.CryptographicUsageMask, USAGE.Encrypt | USAGE.Decrypt),
    ];
    const held = this.#hold(OBJECT_TYPE.SymmetricKey, attributes, null, randomBytes(32));
    held.state = STATE.Active;
    return held.id;
  }

  remove(id: string): void {
    this.#held.delete(id);
  }

  link(from: string, type: keyof typeof LINK, to: string): void {
    const { attributes } = this.#find(from);
    const isOther = (each: TtlvItem): boolean =>
      each.type !== 'structure' || findNumber(each.value, TAG.LinkType) !== LINK[type];
    attributes.splice(0, attributes.length, ...attributes.filter(isOther), linkTo(LINK[type], to));
  }

  unname(id: string): void {
    const { attributes } = this.#find(id);
    attributes.splice(0, attributes.length, ...attributes.filter(({ tag }) => tag !== TAG.Name));
  }

  /** The bytes of a symmetric key, for a test to look for. */
  secretOf(id: string): Buffer {
    return this.#find(id).secret;
  }

  /** Unique identifiers of what has a Name that begins so. */
  idsNamed(start: string): string[] {
    const isNamed = ({ attributes }: Held): boolean =>
      attributes.some(
        (each) =>
          each.tag === TAG.Name &&
          each.type === 'structure' &&
          findText(each.value, TAG.NameValue)?.startsWith(start) === true,
      );
    return [...this.#held.values()].filter(isNamed).map(({ id }) => id);
  }

  #get(held: Held, payload: Payload): Payload {
    const { pointFault, wrapFault } = this;
    const isRecent = this.#version.major >= 2;
    const { minor } = this.#version;
    const find = (id: string): Held => this.#find(id);
    const getting: Getting = { isRecent, minor: isRecent ? 4 : minor, pointFault, wrapFault, find };
    const specification = findStructure(payload, TAG.KeyWrappingSpecification);
    const type = findNumber(held.attributes, TAG.ObjectType);
    if (type === OBJECT_TYPE.SymmetricKey && specification.length > 0)
      return getWrapped(held, specification, getting);
    if (!held.key || type !== OBJECT_TYPE.PublicKey || this.hidesPublic)
      return refuse('PermissionDenied', 'what is secret stays here');
    const asked = findNumber(payload, TAG.KeyFormatType);
    this.formatsAsked.push(asked);
    return getPublic(held.key, asked, getting);
  }

  #register(payload: Payload): Payload {
    const given = this.#given(payload, OLD_TAG.TemplateAttribute, TAG.Attributes);
    const type = findNumber(payload, TAG.ObjectType) ?? 0;
    const { said, key, secret } = readRegistered(type, payload);
    if (findNumber(given, TAG.CryptographicUsageMask) === null) refuse('InvalidMessage', 'no usage mask');
    return [text(TAG.UniqueIdentifier, this.#hold(type, [...given, ...said], key, secret).id)];
  }

  /** The name goes to the replacement, and both tell of each other (KMIP 1.4, 4.4). Either stays what it was otherwise. */
  #replace(old: Held, key: KeyObject | null, secret: Buffer, links: readonly TtlvItem[]): string {
    const moved = old.attributes.filter(({ tag }) => tag === TAG.Name);
    for (const name of moved) old.attributes.splice(old.attributes.indexOf(name), 1);
    const dropped: number[] = [TAG.Name, TAG.Link, TAG.InitialDate, TAG.ObjectType];
    const same = old.attributes.filter(({ tag }) => !dropped.includes(tag));
    const type = findNumber(old.attributes, TAG.ObjectType) ?? 0;
    const made = this.#hold(
      type,
      [...moved, ...same, linkTo(LINK.ReplacedObjectLink, old.id), ...links],
      key,
      secret,
    );
    old.attributes.push(linkTo(LINK.ReplacementObjectLink, made.id));
    return made.id;
  }

  #rekey(old: Held): string {
    if (old.key !== null || old.state !== STATE.Active)
      refuse('WrongKeyLifecycleState', 'not to be replaced');
    return this.#replace(old, null, randomBytes(old.secret.length), []);
  }

  #rekeyPair(payload: Payload): Payload {
    const old = this.#find(findText(payload, TAG.PrivateKeyUniqueIdentifier) ?? '');
    const shown = this.#find(linkedTo(old, LINK.PublicKeyLink));
    const { asymmetricKeyType, asymmetricKeyDetails } = old.key ?? refuse('InvalidMessage', 'no private key');
    const { privateKey, publicKey } =
      asymmetricKeyType === 'rsa'
        ? generateKeyPairSync('rsa', { modulusLength: asymmetricKeyDetails?.modulusLength ?? 0 })
        : generateKeyPairSync('ec', { namedCurve: asymmetricKeyDetails?.namedCurve ?? '' });
    const open = this.#replace(shown, publicKey, Buffer.alloc(0), []);
    const secret = this.#replace(old, privateKey, Buffer.alloc(0), [linkTo(LINK.PublicKeyLink, open)]);
    return [text(TAG.PrivateKeyUniqueIdentifier, secret), text(TAG.PublicKeyUniqueIdentifier, open)];
  }

  #mac(held: Held, parameters: Payload, data: Buffer): Payload {
    demandUsage(held, USAGE.MACGenerate);
    if (findNumber(parameters, TAG.CryptographicAlgorithm) !== ALGORITHM.HMACSHA256)
      refuse('InvalidMessage', 'algorithm');
    return [bytes(TAG.MACData, createHmac('sha256', held.secret).update(data).digest())];
  }

  #crypt(operation: number, held: Held, parameters: Payload, payload: Payload): Payload {
    const isEncrypt = operation === OPERATION.Encrypt;
    demandUsage(held, isEncrypt ? USAGE.Encrypt : USAGE.Decrypt);
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
