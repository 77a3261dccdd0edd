/** Keys of a PKCS#11 token as resident keys: its mechanisms are what the domain's words come from. */
import { createPublicKey } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import type {
  CipherAlgorithm,
  CipherParameters,
  HashName,
  KeySpec,
  NewResidentKey,
  ResidentKey,
  ResidentKeys,
  SignAlgorithm,
} from '../../tokens/resident-port.ts';
import { CODE } from './frame.ts';
import type {
  HsmKeyList,
  HsmKeyRow,
  HsmPublicKey,
  KeyReference,
  NewHsmKey,
  ResidentRequest,
  WorkerMechanism,
} from './resident-request.ts';
import type { HsmSupervisor } from './supervisor.ts';

const [CKO_PRIVATE_KEY, CKO_SECRET_KEY] = [3, 4];
const [CKK_RSA, CKK_EC, CKK_GENERIC_SECRET, CKK_AES] = [0, 3, 0x10, 0x1f];
const CKM_ECDH1_DERIVE = 0x1050;
const UNCOMPRESSED = 4;
const ID_BYTES = 8;
/** Keys whose name begins with that of a new one. */
const LISTED_MAX = 10_000;

interface HsmSpec {
  readonly spec: KeySpec;
  readonly keyType: number;
  readonly mechanism: number;
  /** Of the modulus or the value; null: any. */
  readonly sizeBits: number | null;
  readonly curve?: string;
  readonly jwk?: string;
}

const rsa = (spec: KeySpec, sizeBits: number): HsmSpec => ({
  spec,
  keyType: CKK_RSA,
  mechanism: 0,
  sizeBits,
});
const aes = (spec: KeySpec, sizeBits: number): HsmSpec => ({
  ...{ spec, keyType: CKK_AES, mechanism: 0x1080, sizeBits },
});
const ec = (spec: KeySpec, sizeBits: number, curve: string, jwk: string): HsmSpec => ({
  ...{ spec, keyType: CKK_EC, mechanism: 0x1040, sizeBits, curve, jwk },
});

const SPECS: readonly HsmSpec[] = [
  rsa('rsa-2048', 2048),
  rsa('rsa-3072', 3072),
  rsa('rsa-4096', 4096),
  ec('ec-p256', 256, '06082a8648ce3d030107', 'P-256'),
  ec('ec-p384', 384, '06052b81040022', 'P-384'),
  ec('ec-p521', 521, '06052b81040023', 'P-521'),
  aes('aes-128', 128),
  aes('aes-192', 192),
  aes('aes-256', 256),
  { spec: 'generic', keyType: CKK_GENERIC_SECRET, mechanism: 0x350, sizeBits: null },
];

/** By CKM_: what the token must list for it. */
type HashRow = readonly [hash: HashName, mechanism: number, mgf: number, hmac: number, bytes: number];
const HASHES: readonly HashRow[] = [
  ['sha256', 0x250, 2, 0x251, 32],
  ['sha384', 0x260, 3, 0x261, 48],
  ['sha512', 0x270, 4, 0x271, 64],
  ['sha1', 0x220, 1, 0x221, 20],
];
const SIGN_MECHANISMS = { 'rsa-pkcs1': 0x01, 'rsa-pss': 0x0d, ecdsa: 0x1041, 'aes-cmac': 0x108a } as const;
const CIPHER_MECHANISMS: Readonly<Record<CipherAlgorithm['scheme'], number>> = {
  'rsa-pkcs1': 0x01,
  'rsa-oaep': 0x09,
  'aes-ecb': 0x1081,
  'aes-cbc': 0x1082,
  'aes-cbc-pad': 0x1085,
  'aes-gcm': 0x1087,
};

function hashRow(name: HashName | null): HashRow {
  const row = HASHES.find(([hash]) => hash === name);
  if (row === undefined) throw new TypeError(`hash ${name} has no row`);
  return row;
}

/** Each with the mechanism that it takes. */
const SIGNS: Readonly<Record<number, readonly (readonly [number, SignAlgorithm])[]>> = {
  [CKK_RSA]: [
    [SIGN_MECHANISMS['rsa-pkcs1'], { scheme: 'rsa-pkcs1', hash: null }],
    ...HASHES.map(
      ([hash]) => [SIGN_MECHANISMS['rsa-pss'], { scheme: 'rsa-pss', hash, anySalt: true }] as const,
    ),
  ],
  [CKK_EC]: [[SIGN_MECHANISMS.ecdsa, { scheme: 'ecdsa', hash: null }]],
  [CKK_AES]: [[SIGN_MECHANISMS['aes-cmac'], { scheme: 'aes-cmac', hash: null }]],
  [CKK_GENERIC_SECRET]: HASHES.map(([hash, , , hmac]) => [hmac, { scheme: 'hmac', hash }] as const),
};

/** Modules refuse keys for HMAC that are shorter than the hash (SoftHSM: CKR_KEY_SIZE_RANGE). */
function isLongEnough({ scheme, hash }: SignAlgorithm, sizeBits: number): boolean {
  return scheme !== 'hmac' || sizeBits >= 8 * hashRow(hash)[4];
}

function signsOf({ keyType, signs, sizeBits }: HsmKeyRow, { mechanisms }: HsmKeyList): SignAlgorithm[] {
  if (!signs) return [];
  return (SIGNS[keyType] ?? [])
    .filter(([mechanism, row]) => mechanisms.includes(mechanism) && isLongEnough(row, sizeBits))
    .map(([, algorithm]) => algorithm);
}

function ciphersOf(row: HsmKeyRow, { mechanisms, oaepHashes }: HsmKeyList): CipherAlgorithm[] {
  const { keyType, decrypts, encrypts } = row;
  if (!decrypts) return [];
  const has = (scheme: CipherAlgorithm['scheme']) => mechanisms.includes(CIPHER_MECHANISMS[scheme]);
  if (keyType === CKK_RSA) {
    const oaep = HASHES.filter(([, mechanism]) => has('rsa-oaep') && oaepHashes.includes(mechanism));
    return [
      ...oaep.map(([hash]): CipherAlgorithm => ({ scheme: 'rsa-oaep', hash, encrypts: false })),
      ...(has('rsa-pkcs1') ? [{ scheme: 'rsa-pkcs1', hash: null, encrypts: false } as const] : []),
    ];
  }
  if (keyType !== CKK_AES) return [];
  const schemes = ['aes-gcm', 'aes-cbc', 'aes-cbc-pad', 'aes-ecb'] as const;
  return schemes.filter(has).map((scheme) => ({ scheme, hash: null, encrypts }));
}

function specOf({ keyType, sizeBits, curve }: HsmKeyRow): HsmSpec | null {
  const fits = (row: HsmSpec): boolean =>
    row.curve === undefined ? row.sizeBits === null || row.sizeBits === sizeBits : row.curve === curve;
  return SPECS.find((row) => row.keyType === keyType && fits(row)) ?? null;
}

function toKey(row: HsmKeyRow, list: HsmKeyList): ResidentKey | null {
  const spec = specOf(row);
  const [signs, ciphers] = [signsOf(row, list), ciphersOf(row, list)];
  const agrees = row.agrees && row.keyType === CKK_EC && list.mechanisms.includes(CKM_ECDH1_DERIVE);
  if (spec === null || (signs.length === 0 && ciphers.length === 0 && !agrees)) return null;
  const { objectClass, label, id } = row;
  return {
    id: JSON.stringify([objectClass, id, label]),
    ...{ name: label, version: null, isPrimary: true, spec: spec.spec, createdAt: null },
    ...{ sizeBits: spec.sizeBits ?? row.sizeBits, signs, ciphers },
    ckaId: id === '' ? null : Buffer.from(id, 'hex'),
    ...(agrees ? { agrees: true } : {}),
  };
}

function referenceOf({ id }: ResidentKey): KeyReference {
  const [objectClass, cka, label] = JSON.parse(id) as [number, string, string];
  return { objectClass, label, id: cka };
}

/** Keys that one label and id do not tell apart are of no use: all of them are left out. */
function withoutDoubles(keys: readonly ResidentKey[]): ResidentKey[] {
  const counts = new Map<string, number>();
  for (const { id } of keys) counts.set(id, (counts.get(id) ?? 0) + 1);
  return keys.filter(({ id }) => counts.get(id) === 1);
}

function signMechanism({ scheme, hash }: SignAlgorithm, saltBytes: number): WorkerMechanism {
  if (scheme === 'hmac') return { type: hashRow(hash)[3] };
  if (scheme === 'eddsa' || scheme === 'ml-dsa')
    throw new TypeError(`no key of an HSM is listed with ${scheme}`);
  const type = SIGN_MECHANISMS[scheme];
  if (scheme !== 'rsa-pss') return { type };
  const [, mechanism, mgf] = hashRow(hash);
  return { type, pss: { hash: mechanism, mgf, saltBytes } };
}

function cipherMechanism({ scheme, hash }: CipherAlgorithm, parameters: CipherParameters): WorkerMechanism {
  const type = CIPHER_MECHANISMS[scheme];
  const [iv, aad] = [parameters.iv.toString('hex'), parameters.aad.toString('hex')];
  if (scheme === 'aes-gcm') return { type, gcm: { iv, aad, tagBits: parameters.tagBits } };
  if (scheme !== 'rsa-oaep') return iv === '' ? { type } : { type, iv };
  const [, mechanism, mgf] = hashRow(hash);
  return { type, oaep: { hash: mechanism, mgf, label: parameters.label.toString('hex') } };
}

function base64url(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64url');
}

/** SubjectPublicKeyInfo. CKA_EC_POINT is a DER OCTET STRING around an uncompressed point; some modules leave the wrapping away. */
function toInfo(shown: HsmPublicKey): Buffer {
  const jwk =
    'modulus' in shown
      ? { kty: 'RSA', n: base64url(shown.modulus), e: base64url(shown.exponent) }
      : curveJwk(shown.curve, Buffer.from(shown.point, 'hex'));
  return createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'der', type: 'spki' });
}

function curveJwk(curve: string, point: Buffer): Record<string, string> {
  const row = SPECS.find((each) => each.curve === curve);
  const half = Math.ceil((row?.sizeBits ?? 0) / 8);
  const raw = point.subarray(-2 * half);
  const [x, y] = [raw.subarray(0, half), raw.subarray(half)];
  return { kty: 'EC', crv: row?.jwk ?? '', x: x.toString('base64url'), y: y.toString('base64url') };
}

export interface HsmResidentOptions {
  readonly provider: string;
  readonly hsm: HsmSupervisor;
  readonly random: (bytes: number) => Buffer;
}

export function createHsmResidentKeys({ provider, hsm, random }: HsmResidentOptions): ResidentKeys {
  const ask = (request: ResidentRequest, data: Buffer = Buffer.alloc(0)): Promise<Buffer> => {
    const fields = [Buffer.from(JSON.stringify(request), 'utf8'), data];
    return hsm.use(hsm.deadline(), ({ worker }, ms) => worker.ask(CODE.resident, fields, ms));
  };
  const list = async (prefix: string, max: number): Promise<ResidentKey[]> => {
    const found = JSON.parse((await ask({ what: 'list', prefix, max })).toString('utf8')) as HsmKeyList;
    return withoutDoubles(found.keys.map((row) => toKey(row, found)).filter((key) => key !== null));
  };
  const toNew = ({ name, spec, sizeBits, uses, ckaId }: NewResidentKey): NewHsmKey => {
    const row = SPECS.find((each) => each.spec === spec);
    if (row === undefined)
      throw new SidekeyError('provider_refused', `provider "${provider}" makes no ${spec}`);
    const { keyType, mechanism, curve } = row;
    return {
      ...{ label: name, keyType, mechanism, isPair: keyType === CKK_RSA || keyType === CKK_EC },
      id: (ckaId.length > 0 ? ckaId : random(ID_BYTES)).toString('hex'),
      ...(curve === undefined
        ? { modulusBits: row.sizeBits ?? 0, valueBytes: (row.sizeBits ?? sizeBits) / 8 }
        : { curve }),
      ...{ signs: uses.includes('sign'), decrypts: uses.includes('decrypt'), agrees: uses.includes('agree') },
    };
  };
  return {
    creates: SPECS.map(({ spec }) => spec),
    keepsIds: true,
    list,
    publicKey: async (key) => {
      const answer = await ask({ what: 'public', key: referenceOf(key) });
      return toInfo(JSON.parse(answer.toString('utf8')) as HsmPublicKey);
    },
    async create(wanted) {
      const key = toNew(wanted);
      await ask({ what: 'create', key });
      const objectClass = key.isPair ? CKO_PRIVATE_KEY : CKO_SECRET_KEY;
      const id = JSON.stringify([objectClass, key.id, key.label]);
      const made = (await list(key.label, LISTED_MAX)).find((each) => each.id === id);
      if (made !== undefined) return made;
      throw new SidekeyError(
        'provider_refused',
        `provider "${provider}": the token made a key "${key.label}" that it cannot use`,
      );
    },
    async destroy(key) {
      await ask({ what: 'destroy', key: referenceOf(key) });
      return 'destroyed';
    },
    sign: (key, algorithm, input, saltBytes) =>
      ask({ what: 'sign', key: referenceOf(key), mechanism: signMechanism(algorithm, saltBytes) }, input),
    agree: (key, other) => {
      const { x = '', y = '' } = createPublicKey({ key: other, format: 'der', type: 'spki' }).export({
        format: 'jwk',
      });
      const bytes = Math.ceil(key.sizeBits / 8);
      const point = Buffer.concat([
        Buffer.of(UNCOMPRESSED),
        Buffer.from(x, 'base64url'),
        Buffer.from(y, 'base64url'),
      ]);
      return ask({ what: 'agree', key: referenceOf(key), point: point.toString('hex'), bytes });
    },
    encrypt: (key, algorithm, parameters, plaintext) =>
      ask(
        { what: 'encrypt', key: referenceOf(key), mechanism: cipherMechanism(algorithm, parameters) },
        plaintext,
      ),
    decrypt: (key, algorithm, parameters, ciphertext) =>
      ask(
        { what: 'decrypt', key: referenceOf(key), mechanism: cipherMechanism(algorithm, parameters) },
        ciphertext,
      ),
  };
}
