/** Resident keys of the token, in the process of the vendor's library. Every call finds its key by label and id anew: handles end with sessions. */
import pkcs11js from 'pkcs11js';
import { HsmFault, toHsmFault } from './return-codes.ts';
import type {
  HsmKeyList,
  HsmKeyRow,
  HsmPublicKey,
  KeyReference,
  NewHsmKey,
  ResidentRequest,
  WorkerMechanism,
} from './resident-request.ts';
import type { HsmToken } from './token.ts';
import type { WorkerOptions } from './worker-options.ts';
import { CKA, CKK, CKM, CKO } from '../../tokens/cryptoki.ts';

type Module = pkcs11js.PKCS11;
type Template = { type: number; value?: number | boolean | Buffer }[];

const CKD_NULL = 1;
const CKZ_DATA_SPECIFIED = 1;
const CODE_GENERAL_ERROR = 0x5;
const AT_ONCE = 64;
/** Output beyond the input: a tag, a block, a signature of RSA-4096. */
const ROOM = 1024;
const F4 = Buffer.of(1, 0, 1);
/** CKM_ of the hash and CKG_ of its MGF1: SHA-1, SHA-256, SHA-384, SHA-512. */
const OAEP_HASHES = [
  [0x220, 1],
  [0x250, 2],
  [0x260, 3],
  [0x270, 4],
] as const;

function find(module: Module, session: Buffer, template: Template, max: number): Buffer[] {
  const found: Buffer[] = [];
  module.C_FindObjectsInit(session, template);
  try {
    while (found.length < max) {
      const some = module.C_FindObjects(session, Math.min(AT_ONCE, max - found.length));
      found.push(...some);
      if (some.length === 0) break;
    }
  } finally {
    module.C_FindObjectsFinal(session);
  }
  return found;
}

function named({ objectClass, label, id }: KeyReference): Template {
  return [
    { type: CKA.CLASS, value: objectClass },
    { type: CKA.TOKEN, value: true },
    { type: CKA.LABEL, value: Buffer.from(label, 'utf8') },
    { type: CKA.ID, value: Buffer.from(id, 'hex') },
  ];
}

function findOne(module: Module, session: Buffer, key: KeyReference): Buffer {
  const found = find(module, session, named(key), 2);
  if (found.length > 1)
    throw new HsmFault(
      'refused',
      `several keys have the label "${key.label}" and the same ID: use another label or ID`,
    );
  if (!found[0]) throw new HsmFault('refused', `the key "${key.label}" does not exist`);
  return found[0];
}

function read(module: Module, session: Buffer, object: Buffer, types: readonly number[]): Buffer[] {
  const template = types.map((type) => ({ type }));
  return module
    .C_GetAttributeValue(session, object, template)
    .map(({ value }) => Buffer.from(value as Buffer));
}

function toNumber(value: Buffer | undefined): number {
  return value === undefined || value.length < 4 ? 0 : value.readUInt32LE(0);
}

/** A type of key that Sidekey does not know is left out, and so is one that the module does not describe. */
function describe(module: Module, session: Buffer, object: Buffer, objectClass: number): HsmKeyRow | null {
  try {
    const common = [CKA.LABEL, CKA.ID, CKA.KEY_TYPE, CKA.SIGN, CKA.DECRYPT];
    const [label, id, type, sign, decrypt] = read(module, session, object, common);
    const keyType = toNumber(type);
    const isSecret = objectClass === CKO.SECRET_KEY;
    const own = isSecret ? CKA.VALUE_LEN : keyType === CKK.RSA ? CKA.MODULUS : CKA.EC_PARAMS;
    const [detail = Buffer.alloc(0)] = read(module, session, object, [own]);
    const isCurve = !isSecret && keyType !== CKK.RSA;
    const [encrypt] = isSecret ? read(module, session, object, [CKA.ENCRYPT]) : [Buffer.of(0)];
    const [derive] = isCurve ? read(module, session, object, [CKA.DERIVE]) : [Buffer.of(0)];
    return {
      ...{ objectClass, keyType, label: label?.toString('utf8') ?? '', id: id?.toString('hex') ?? '' },
      sizeBits: isSecret ? 8 * toNumber(detail) : isCurve ? 0 : 8 * detail.length,
      curve: isCurve ? detail.toString('hex') : '',
      ...{ signs: sign?.[0] === 1, decrypts: decrypt?.[0] === 1, encrypts: encrypt?.[0] === 1 },
      agrees: derive?.[0] === 1,
    };
  } catch {
    return null;
  }
}

function toParameter({ pss, oaep, gcm, iv }: WorkerMechanism): pkcs11js.IParams | Buffer | null {
  if (pss)
    return {
      type: pkcs11js.CK_PARAMS_RSA_PSS,
      ...{ hashAlg: pss.hash, mgf: pss.mgf, saltLen: pss.saltBytes },
    } as pkcs11js.RsaPSS;
  if (oaep)
    return {
      ...{ type: pkcs11js.CK_PARAMS_RSA_OAEP, hashAlg: oaep.hash, mgf: oaep.mgf, source: CKZ_DATA_SPECIFIED },
      ...(oaep.label === '' ? {} : { sourceData: Buffer.from(oaep.label, 'hex') }),
    } as pkcs11js.RsaOAEP;
  if (gcm) {
    const [nonce, aad] = [Buffer.from(gcm.iv, 'hex'), Buffer.from(gcm.aad, 'hex')];
    const bits = { ivBits: nonce.length * 8, tagBits: gcm.tagBits };
    return { type: pkcs11js.CK_PARAMS_GCM, iv: nonce, aad, ...bits } as pkcs11js.IParams;
  }
  return iv === undefined ? null : Buffer.from(iv, 'hex');
}

function toMechanism(wanted: WorkerMechanism): pkcs11js.Mechanism {
  const parameter = toParameter(wanted);
  return parameter === null ? { mechanism: wanted.type } : { mechanism: wanted.type, parameter };
}

export class ResidentToken {
  readonly #token: HsmToken;
  readonly #kek: WorkerOptions['key'];
  #oaepHashes: readonly number[] | null = null;

  constructor(token: HsmToken, kek: WorkerOptions['key']) {
    this.#token = token;
    this.#kek = kek;
  }

  /** JSON, or the bytes that came out. Rejects with an HsmFault. The caller wipes data and result. */
  async answer(request: ResidentRequest, data: Buffer): Promise<Buffer> {
    if (request.what === 'sign') return this.#sign(request.key, request.mechanism, data);
    if (request.what === 'encrypt') return this.#encrypt(request.key, request.mechanism, data);
    if (request.what === 'decrypt') return this.#decrypt(request.key, request.mechanism, data);
    if (request.what === 'random') return this.#random(request.bytes);
    if (request.what === 'agree')
      return this.#agree(request.key, Buffer.from(request.point, 'hex'), request.bytes);
    return Buffer.from(JSON.stringify((await this.#manage(request)) ?? null), 'utf8');
  }

  #manage(request: Exclude<ResidentRequest, { what: 'random' }>): Promise<unknown> {
    if (request.what === 'list') return this.#list(request.prefix, request.max);
    if (request.what === 'public') return this.#public(request.key);
    if (request.what === 'create') return this.#create(request.key);
    return this.#token.perform(async (module, session) => this.#destroy(module, session, request.key));
  }

  #list(prefix: string, max: number): Promise<HsmKeyList> {
    return this.#token.perform(async (module, session) => {
      const keys: HsmKeyRow[] = [];
      for (const objectClass of [CKO.PRIVATE_KEY, CKO.SECRET_KEY]) {
        const template = [
          { type: CKA.CLASS, value: objectClass },
          { type: CKA.TOKEN, value: true },
        ];
        for (const object of find(module, session, template, Infinity)) {
          const row = describe(module, session, object, objectClass);
          if (row?.label.startsWith(prefix) && !this.#isKek(row)) keys.push(row);
        }
      }
      if (keys.length > max)
        throw new HsmFault('refused', `more than ${max} keys: a narrower prefix is needed`);
      const opener = keys.find(({ keyType, decrypts }) => keyType === CKK.RSA && decrypts);
      if (opener) this.#oaepHashes ??= this.#probeOaep(module, opener);
      return { keys, mechanisms: this.#token.mechanisms(), oaepHashes: this.#oaepHashes ?? [] };
    });
  }

  #isKek({ objectClass, keyType, label, id }: HsmKeyRow): boolean {
    const { label: kekLabel, id: kekId } = this.#kek;
    if (objectClass !== CKO.SECRET_KEY || keyType !== CKK.AES) return false;
    return (kekLabel === null || kekLabel === label) && (kekId === null || kekId.toLowerCase() === id);
  }

  /** No attribute says with which hashes a module takes OAEP: it is asked to begin, in a session of its own that ends at once. */
  #probeOaep(module: Module, key: KeyReference): number[] {
    return OAEP_HASHES.filter(([hash, mgf]) =>
      this.#token.inOwnSession((session) => {
        const oaep = { hash, mgf, label: '' };
        try {
          const object = findOne(module, session, key);
          module.C_DecryptInit(session, toMechanism({ type: CKM.RSA_PKCS_OAEP, oaep }), object);
          return true;
        } catch {
          return false;
        }
      }),
    ).map(([hash]) => hash);
  }

  #public(key: KeyReference): Promise<HsmPublicKey> {
    return this.#token.perform(async (module, session) => {
      const object = findOne(module, session, { ...key, objectClass: CKO.PUBLIC_KEY });
      const [type] = read(module, session, object, [CKA.KEY_TYPE]);
      const isRsa = toNumber(type) === CKK.RSA;
      const types = isRsa ? [CKA.MODULUS, CKA.PUBLIC_EXPONENT] : [CKA.EC_PARAMS, CKA.EC_POINT];
      const [first = '', second = ''] = read(module, session, object, types).map((v) => v.toString('hex'));
      return isRsa ? { modulus: first, exponent: second } : { curve: first, point: second };
    });
  }

  #create(key: NewHsmKey): Promise<null> {
    return this.#token.perform(async (module, session) => {
      for (const objectClass of [CKO.PRIVATE_KEY, CKO.SECRET_KEY]) {
        const template = named({ ...key, objectClass }).filter(({ type }) => type !== CKA.ID);
        if (find(module, session, template, 1).length > 0)
          throw new HsmFault('refused', `a key "${key.label}" already exists`);
      }
      await generate(module, session, key);
      return null;
    });
  }

  #destroy(module: Module, session: Buffer, key: KeyReference): null {
    module.C_DestroyObject(session, findOne(module, session, key));
    if (key.objectClass === CKO.PRIVATE_KEY)
      for (const shown of find(module, session, named({ ...key, objectClass: CKO.PUBLIC_KEY }), 2))
        module.C_DestroyObject(session, shown);
    return null;
  }

  #random(bytes: number): Promise<Buffer> {
    return this.#token.perform(async (module, session) =>
      Buffer.from(module.C_GenerateRandom(session, Buffer.alloc(bytes))),
    );
  }

  #sign(key: KeyReference, mechanism: WorkerMechanism, data: Buffer): Promise<Buffer> {
    return this.#token.perform(async (module, session) => {
      module.C_SignInit(session, toMechanism(mechanism), findOne(module, session, key));
      return Buffer.from(await module.C_SignAsync(session, data, Buffer.alloc(ROOM)));
    });
  }

  /** As a session object that may be read, and is destroyed once it was: a module that forbids that refuses, and nothing is left. */
  #agree(key: KeyReference, publicData: Buffer, bytes: number): Promise<Buffer> {
    return this.#token.perform(async (module, session) => {
      const parameter = { type: pkcs11js.CK_PARAMS_EC_DH, kdf: CKD_NULL, publicData } as pkcs11js.ECDH1;
      const template: Template = [
        { type: CKA.CLASS, value: CKO.SECRET_KEY },
        { type: CKA.KEY_TYPE, value: CKK.GENERIC_SECRET },
        { type: CKA.VALUE_LEN, value: bytes },
        { type: CKA.TOKEN, value: false },
        { type: CKA.SENSITIVE, value: false },
        { type: CKA.EXTRACTABLE, value: true },
      ];
      const base = findOne(module, session, key);
      const secret = module.C_DeriveKey(session, { mechanism: CKM.ECDH1_DERIVE, parameter }, base, template);
      try {
        const [{ value } = {}] = module.C_GetAttributeValue(session, secret, [{ type: CKA.VALUE }]);
        return value as Buffer;
      } finally {
        module.C_DestroyObject(session, secret);
      }
    });
  }

  #encrypt(key: KeyReference, mechanism: WorkerMechanism, data: Buffer): Promise<Buffer> {
    return this.#token.perform(async (module, session) => {
      module.C_EncryptInit(session, toMechanism(mechanism), findOne(module, session, key));
      return Buffer.from(await module.C_EncryptAsync(session, data, Buffer.alloc(data.length + ROOM)));
    });
  }

  /** As for a KEK's blob: modules have no code of their own for what does not open, so that the token is looked at. */
  async #decrypt(key: KeyReference, mechanism: WorkerMechanism, data: Buffer): Promise<Buffer> {
    let begun = false;
    try {
      return await this.#token.perform(async (module, session) => {
        begun = false;
        module.C_DecryptInit(session, toMechanism(mechanism), findOne(module, session, key));
        begun = true;
        const room = Buffer.alloc(data.length + ROOM);
        try {
          return Buffer.from(await module.C_DecryptAsync(session, data, room));
        } finally {
          room.fill(0);
        }
      });
    } catch (error) {
      const fault = toHsmFault(error);
      if (!begun || (fault.meaning !== 'data' && fault.code !== CODE_GENERAL_ERROR)) throw fault;
      if (fault.meaning !== 'data') this.#token.health();
      throw new HsmFault('data', `key "${key.label}" could not decrypt the ciphertext (${fault.message})`);
    }
  }
}

function sharedTemplate({ label, id }: NewHsmKey): Template {
  return [
    { type: CKA.TOKEN, value: true },
    { type: CKA.LABEL, value: Buffer.from(label, 'utf8') },
    { type: CKA.ID, value: Buffer.from(id, 'hex') },
  ];
}

/** Of a private or secret key. */
function protectedTemplate(key: NewHsmKey): Template {
  return [
    ...sharedTemplate(key),
    { type: CKA.PRIVATE, value: true },
    { type: CKA.SENSITIVE, value: true },
    { type: CKA.EXTRACTABLE, value: false },
    { type: CKA.SIGN, value: key.signs },
    { type: CKA.DECRYPT, value: key.decrypts },
    ...(key.agrees ? [{ type: CKA.DERIVE, value: true }] : []),
  ];
}

function secretTemplate(key: NewHsmKey): Template {
  return [
    ...protectedTemplate(key),
    { type: CKA.CLASS, value: CKO.SECRET_KEY },
    { type: CKA.KEY_TYPE, value: key.keyType },
    { type: CKA.VALUE_LEN, value: key.valueBytes ?? 0 },
    { type: CKA.ENCRYPT, value: key.decrypts },
    { type: CKA.VERIFY, value: key.signs },
  ];
}

function publicTemplate(key: NewHsmKey): Template {
  const parameters: Template =
    key.curve === undefined
      ? [
          { type: CKA.MODULUS_BITS, value: key.modulusBits ?? 0 },
          { type: CKA.PUBLIC_EXPONENT, value: F4 },
        ]
      : [{ type: CKA.EC_PARAMS, value: Buffer.from(key.curve, 'hex') }];
  return [
    ...sharedTemplate(key),
    ...parameters,
    { type: CKA.VERIFY, value: key.signs },
    { type: CKA.ENCRYPT, value: key.decrypts },
  ];
}

async function generate(module: Module, session: Buffer, key: NewHsmKey): Promise<void> {
  const mechanism = { mechanism: key.mechanism };
  if (key.isPair)
    await module.C_GenerateKeyPairAsync(session, mechanism, publicTemplate(key), protectedTemplate(key));
  else await module.C_GenerateKeyAsync(session, mechanism, secretTemplate(key));
}
