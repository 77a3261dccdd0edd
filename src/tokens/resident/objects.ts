/** A key of a key service as PKCS#11 objects: a private and a public key, or a secret key. */
import { createHash } from 'node:crypto';
import { RESIDENT_FROM } from '../../wire/tables.ts';
import { defaultValue, encodeBool, encodeUlong } from '../objects/attribute-value.ts';
import { rowsOf } from '../objects/attributes.ts';
import { CKA, CKK, CKO } from '../cryptoki.ts';
import type { ResidentKey } from '../resident-port.ts';
import type { TokenRow } from '../store-port.ts';
import { FIRST_PUBLIC_HANDLE, kindOfClass, type TokenObject } from '../objects/token-object.ts';
import { mechanismsOf } from './allowed-mechanisms.ts';
import { publicComponentsOf } from './public-key.ts';
import { isPair, rowOf, type SpecRow } from './specs.ts';

const ID_BYTES = 8;
const HANDLE_BYTES = 6;

export interface ObjectOptions {
  /** Precedes every name at the service, and is not part of the label. */
  readonly prefix: string;
  /** CKA_DESTROYABLE of the object that holds the key. */
  readonly destroy: boolean;
}

type Value = boolean | number | Buffer | string;

function encode(value: Value): Buffer {
  if (typeof value === 'boolean') return encodeBool(value);
  if (typeof value === 'number') return encodeUlong(value);
  return Buffer.from(value);
}

function digestOf(...parts: readonly string[]): Buffer {
  return createHash('sha256').update(JSON.stringify(parts)).digest();
}

/** The same after every restart: programs keep handles, and none are stored. */
function handleOf(token: TokenRow, key: ResidentKey, objectClass: number, isKept: boolean): number {
  const isPublic = objectClass === CKO.PUBLIC_KEY;
  const first = isPublic && !isKept ? FIRST_PUBLIC_HANDLE : RESIDENT_FROM;
  const kind = isPublic && isKept ? 'public handle' : 'handle';
  return first + digestOf(kind, token.serial, key.id).readUIntBE(0, HANDLE_BYTES);
}

function labelOf({ name, version, isPrimary }: ResidentKey, { prefix }: ObjectOptions): string {
  const label = name.slice(prefix.length);
  return isPrimary || version === null ? label : `${label}:${version}`;
}

function shared(
  key: ResidentKey,
  row: SpecRow,
  objectClass: number,
  options: ObjectOptions,
): [number, Value][] {
  const id = key.ckaId ?? digestOf('id', key.id).subarray(0, ID_BYTES);
  return [
    [CKA.CLASS, objectClass],
    [CKA.KEY_TYPE, row.keyType],
    [CKA.TOKEN, true],
    [CKA.MODIFIABLE, false],
    [CKA.COPYABLE, false],
    [CKA.LABEL, labelOf(key, options)],
    [CKA.ID, id],
    [CKA.UNIQUE_ID, digestOf('unique', key.id, String(objectClass)).toString('hex', 0, 16)],
    [CKA.LOCAL, true],
    [CKA.KEY_GEN_MECHANISM, row.generatedBy],
    [CKA.ALLOWED_MECHANISMS, Buffer.concat(mechanismsOf(key).map(encodeUlong))],
    [CKA.SIGN_RECOVER, false],
    [CKA.VERIFY_RECOVER, false],
  ];
}

/** The attributes of the object that holds the key: it can do what the service does, and cannot leave. */
function hidden(key: ResidentKey, { destroy }: ObjectOptions): [number, Value][] {
  return [
    [CKA.PRIVATE, true],
    [CKA.DESTROYABLE, destroy],
    [CKA.SENSITIVE, true],
    [CKA.ALWAYS_SENSITIVE, true],
    [CKA.EXTRACTABLE, false],
    [CKA.NEVER_EXTRACTABLE, true],
    [CKA.SIGN, key.signs.length > 0],
    [CKA.DECRYPT, key.ciphers.length > 0],
    [CKA.UNWRAP, key.ciphers.length > 0],
    [CKA.DERIVE, key.agrees === true],
  ];
}

/**
 * A public object mirrors its private one, and goes away with it. `isKept`: the service does not reveal the
 * public key, and verifies itself.
 */
function open(key: ResidentKey, isKept: boolean): [number, Value][] {
  const encrypts = key.ciphers.length > 0 && !isKept;
  return [
    [CKA.PRIVATE, false],
    [CKA.DESTROYABLE, false],
    [CKA.VERIFY, key.signs.length > 0],
    [CKA.ENCRYPT, encrypts],
    [CKA.WRAP, encrypts],
    [CKA.DERIVE, false],
  ];
}

function build(
  token: TokenRow,
  key: ResidentKey,
  row: SpecRow,
  objectClass: number,
  given: readonly [number, Value][],
  isKept = false,
): TokenObject {
  const kind = kindOfClass(objectClass) ?? 'data';
  const values = new Map(given.map(([type, value]) => [type, encode(value)]));
  const attributes = new Map<number, Buffer>();
  for (const entry of rowsOf(kind, row.keyType)) {
    const value = values.get(entry.type) ?? defaultValue(entry);
    if (entry.material !== true && value !== null) attributes.set(entry.type, value);
  }
  const uniqueId = values.get(CKA.UNIQUE_ID)?.toString() ?? '';
  const rest = { blob: null, createdAt: key.createdAt ?? 0, session: null, resident: key };
  const handle = handleOf(token, key, objectClass, isKept);
  return { handle, tokenId: token.id, uniqueId, attributes, ...rest };
}

/**
 * `info`: SubjectPublicKeyInfo of a pair; null: not a pair, or the service does not reveal it.
 * provider_refused if it does not fit the key's spec.
 */
export function objectsOf(
  token: TokenRow,
  key: ResidentKey,
  info: Buffer | null,
  options: ObjectOptions,
): TokenObject[] {
  const row = rowOf(key.spec);
  const base = (objectClass: number): [number, Value][] => shared(key, row, objectClass, options);
  if (!isPair(row)) {
    const uses: [number, Value][] = [
      [CKA.VALUE_LEN, key.sizeBits / 8],
      [CKA.VERIFY, key.signs.length > 0],
      [CKA.ENCRYPT, key.ciphers.some(({ encrypts }) => encrypts)],
      [CKA.WRAP, key.ciphers.some(({ encrypts }) => encrypts)],
    ];
    const given = [...base(CKO.SECRET_KEY), ...hidden(key, options), ...uses];
    return [build(token, key, row, CKO.SECRET_KEY, given)];
  }
  const isKept = info === null;
  const components = isKept ? [] : publicComponentsOf(row, info);
  const known = components.map(({ type, value }): [number, Value] => [type, value]);
  const size: [number, Value][] = row.keyType === CKK.RSA ? [[CKA.MODULUS_BITS, key.sizeBits]] : [];
  const shown: [number, Value][] = [
    ...known,
    ...size,
    ...(isKept ? [] : [[CKA.PUBLIC_KEY_INFO, info] as [number, Value]]),
  ];
  const publicGiven = [...base(CKO.PUBLIC_KEY), ...open(key, isKept), ...shown];
  return [
    build(token, key, row, CKO.PUBLIC_KEY, publicGiven, isKept),
    build(token, key, row, CKO.PRIVATE_KEY, [...base(CKO.PRIVATE_KEY), ...hidden(key, options), ...shown]),
  ];
}
