/**
 * From a mechanism with its parameter to what a resident key is asked: which of the key's algorithms serves, what becomes of the
 * data before, and how much comes out. Refusals are those that the keeper gives for a key of its own.
 */
import { SidekeyError } from '../../errors.ts';
import { WireReader } from '../../wire/buffer.ts';
import { LIMITS, OUTPUT } from '../../wire/tables.ts';
import { CKM } from '../cryptoki.ts';
import type { Mechanism } from '../ports.ts';
import type {
  CipherAlgorithm,
  CipherParameters,
  HashName,
  KeySpec,
  ResidentKey,
  ResidentKeys,
  SignAlgorithm,
} from '../resident-port.ts';
import {
  AGREEMENT_MECHANISMS,
  CIPHER_MECHANISMS,
  HASHES,
  hashOf,
  SIGN_MECHANISMS,
  type SignMechanism,
} from './mechanisms.ts';

export interface Plan {
  /** The data are hashed as they come; null: they are gathered. */
  readonly hash: HashName | null;
  /** Most bytes that are gathered; more is data_len_range. */
  readonly maxBytes: number;
  /** As bind_check answers them (ARCHITECTURE.md). */
  readonly rule: number;
  readonly size: number;
  /** `data`: what was gathered, or the digest. */
  readonly run: (service: ResidentKeys, data: Buffer) => Promise<Buffer>;
  /** Of signing: whether the service takes this for the signature of the same data. */
  readonly verify?: (service: ResidentKeys, data: Buffer, signature: Buffer) => Promise<boolean>;
}

interface Prepared {
  readonly algorithm: SignAlgorithm;
  readonly input: Buffer;
}

/** `prepare`: what becomes of the data before the service sees them, and by which algorithm. */
function signing(
  key: ResidentKey,
  saltBytes: number,
  prepare: (data: Buffer) => Prepared,
): Required<Pick<Plan, 'run' | 'verify'>> {
  return {
    run: async (service, data) => {
      const { algorithm, input } = prepare(data);
      return service.sign(key, algorithm, input, saltBytes);
    },
    verify: async (service, data, signature) => {
      const { algorithm, input } = prepare(data);
      if (service.verify === undefined)
        throw new SidekeyError('key_function_not_permitted', 'the service checks no signatures');
      return service.verify(key, algorithm, input, signature, saltBytes);
    },
  };
}

const PKCS1_PADDING_BYTES = 11;
const AES_BLOCK = 16;
/** CKH_DETERMINISTIC_REQUIRED */
const DETERMINISTIC = 2;
/** FIPS 204, table 2. */
const ML_DSA_BYTES: Readonly<Partial<Record<KeySpec, number>>> = {
  ...{ 'ml-dsa-44': 2420, 'ml-dsa-65': 3309, 'ml-dsa-87': 4627 },
};

function bytesOf({ sizeBits }: ResidentKey): number {
  return Math.ceil(sizeBits / 8);
}

function refuse(
  code: 'mechanism_invalid' | 'mechanism_param_invalid' | 'data_len_range',
  why: string,
): never {
  throw new SidekeyError(code, why);
}

function readParams<T>(params: Buffer, read: (reader: WireReader) => T): T {
  const reader = new WireReader(params);
  const value = read(reader);
  reader.end();
  return value;
}

function demandNone({ params }: Mechanism): void {
  if (params.length > 0) refuse('mechanism_param_invalid', 'this mechanism takes no parameter');
}

function withScheme(key: ResidentKey, { scheme }: SignMechanism): SignAlgorithm[] {
  return key.signs.filter((algorithm) => algorithm.scheme === scheme && algorithm.takesMessage !== true);
}

/** Of a service that hashes by itself, for a mechanism that names the hash. */
function ofMessages(key: ResidentKey, { scheme, hash }: SignMechanism): SignAlgorithm | null {
  const first = key.signs.find((algorithm) => algorithm.scheme === scheme && algorithm.hash === hash);
  return first?.takesMessage === true ? first : null;
}

function mostOf({ maxBytes }: SignAlgorithm): number {
  return Math.min(LIMITS.dataMax, maxBytes ?? LIMITS.dataMax);
}

/** The digest inside a DigestInfo, and its hash; null: it is none. */
function openDigestInfo(content: Buffer): { hash: HashName; digest: Buffer } | null {
  const row = HASHES.find(
    ({ prefix, bytes }) =>
      content.length === prefix.length + bytes && content.subarray(0, prefix.length).equals(prefix),
  );
  return row === undefined ? null : { hash: row.hash, digest: content.subarray(row.prefix.length) };
}

/** PKCS #1 1.5: by the hash's own algorithm, or by one that pads whatever it is given. */
function preparePkcs1(key: ResidentKey, algorithms: readonly SignAlgorithm[], content: Buffer): Prepared {
  if (content.length > bytesOf(key) - PKCS1_PADDING_BYTES)
    refuse('data_len_range', 'this is longer than the padding leaves room for');
  const raw = algorithms.find(({ hash }) => hash === null);
  if (raw !== undefined) return { algorithm: raw, input: content };
  const info = openDigestInfo(content);
  const algorithm = info === null ? undefined : algorithms.find(({ hash }) => hash === info.hash);
  if (info !== null && algorithm !== undefined) return { algorithm, input: info.digest };
  throw new SidekeyError('data_invalid', 'the service signs a DigestInfo of its own hashes only');
}

/**
 * A digest of another length is the same number to ECDSA when it is cut to the curve's bits from the left, or filled with
 * zeros there (FIPS 186-5, 6.4.1), so that a service's one hash serves for all.
 */
function fitDigest(digest: Buffer, bytes: number): Buffer {
  const cut = digest.subarray(0, bytes);
  return Buffer.concat([Buffer.alloc(bytes - cut.length), cut]);
}

function prepareEcdsa(key: ResidentKey, algorithms: readonly SignAlgorithm[], digest: Buffer): Prepared {
  if (digest.length === 0) refuse('data_len_range', 'a digest has a length');
  const whole = algorithms.find(({ hash }) => hash === null);
  if (whole !== undefined) return { algorithm: whole, input: digest };
  const algorithm = algorithms.find(
    (each) => each.hash !== null && hashOf(each.hash).bytes === digest.length,
  );
  if (algorithm !== undefined) return { algorithm, input: digest };
  const [first] = algorithms;
  const bytes = first?.hash == null ? 0 : hashOf(first.hash).bytes;
  // Cutting keeps the number only where the curve is no longer than the hash.
  if (first === undefined || (digest.length > bytes && bytes * 8 < key.sizeBits))
    refuse('data_len_range', 'the service signs no digest of this length');
  return { algorithm: first, input: fitDigest(digest, bytes) };
}

interface PssParameters {
  readonly hash: HashName;
  readonly saltBytes: number;
}

function readPss({ params }: Mechanism, wanted: HashName | null): PssParameters {
  const given = readParams(params, (reader) => [reader.number(), reader.number(), reader.number()] as const);
  const [mechanism, mgf, saltBytes] = given;
  const row = HASHES.find((each) => each.mechanism === mechanism && each.mgf === mgf);
  if (row === undefined || (wanted !== null && row.hash !== wanted))
    refuse('mechanism_param_invalid', 'hash and mask generation must be of one hash, and the mechanism’s');
  return { hash: row.hash, saltBytes };
}

function planPss(key: ResidentKey, row: SignMechanism, mechanism: Mechanism): Plan {
  const { hash, saltBytes } = readPss(mechanism, row.hash);
  const { bytes } = hashOf(hash);
  const whole = ofMessages(key, row);
  const algorithm = whole ?? withScheme(key, row).find((each) => each.hash === hash);
  if (algorithm === undefined) refuse('mechanism_param_invalid', `the key signs with no PSS of ${hash}`);
  if (algorithm.anySalt !== true && saltBytes !== bytes)
    refuse('mechanism_param_invalid', `the service salts with ${bytes} bytes only`);
  if (algorithm.neverUnsalted === true && saltBytes === 0)
    refuse('mechanism_param_invalid', 'the service signs with a salt only');
  if (bytes + saltBytes + 2 > bytesOf(key)) refuse('mechanism_param_invalid', 'the salt is too long');
  return {
    hash: whole === null ? row.hash : null,
    maxBytes: whole === null ? bytes : mostOf(whole),
    rule: OUTPUT.fixed,
    size: bytesOf(key),
    ...signing(key, saltBytes, (data) => {
      if (whole === null && data.length !== bytes)
        refuse('data_len_range', `a digest of ${hash} has ${bytes} bytes`);
      return { algorithm, input: data };
    }),
  };
}

function planPrepared(
  key: ResidentKey,
  row: SignMechanism,
  size: number,
  prepare: (data: Buffer) => Prepared,
): Plan {
  const whole = ofMessages(key, row);
  if (whole !== null)
    return {
      ...{ hash: null, maxBytes: mostOf(whole), rule: OUTPUT.fixed, size },
      ...signing(key, 0, (data) => ({ algorithm: whole, input: data })),
    };
  return {
    hash: row.hash,
    maxBytes: LIMITS.componentMax,
    rule: OUTPUT.fixed,
    size,
    ...signing(key, 0, prepare),
  };
}

function planPkcs1(key: ResidentKey, row: SignMechanism): Plan {
  const algorithms = withScheme(key, row);
  return planPrepared(key, row, bytesOf(key), (data) => {
    const own = algorithms.find(({ hash }) => hash !== null && hash === row.hash);
    if (own !== undefined) return { algorithm: own, input: data };
    const content = row.hash === null ? data : Buffer.concat([hashOf(row.hash).prefix, data]);
    return preparePkcs1(key, algorithms, content);
  });
}

/** EdDSA's parameter: u8 present, u8 prehash, bytes context. Services sign pure Ed25519. */
function checkEddsa({ params }: Mechanism): void {
  if (params.length === 0) return;
  const [present, prehash, context] = readParams(
    params,
    (reader) => [reader.u8(), reader.u8(), reader.bytes(LIMITS.paramsMax)] as const,
  );
  if (present !== 0 && (prehash !== 0 || context.length > 0))
    refuse('mechanism_param_invalid', 'the service signs without prehash and context only');
}

/** ML-DSA's parameter: u8 hedge, bytes context. Services sign pure, hedged as they like. */
function checkMlDsa({ params }: Mechanism): void {
  if (params.length === 0) return;
  const [hedge, context] = readParams(
    params,
    (reader) => [reader.u8(), reader.bytes(LIMITS.paramsMax)] as const,
  );
  if (context.length > 0 || hedge === DETERMINISTIC)
    refuse(
      'mechanism_param_invalid',
      'the service signs without context, and says not whether deterministically',
    );
}

function codeBytes(row: SignMechanism): number {
  return row.scheme === 'hmac' && row.hash !== null ? hashOf(row.hash).bytes : AES_BLOCK;
}

/** Schemes of whole messages: eddsa, ml-dsa, hmac, aes-cmac. */
function planMessage(key: ResidentKey, row: SignMechanism, mechanism: Mechanism, whole: number): Plan {
  const algorithm = withScheme(key, row).find(({ hash }) => row.scheme === 'eddsa' || hash === row.hash);
  if (algorithm === undefined) refuse('mechanism_invalid', 'the key has no such algorithm');
  const size = row.general === true ? readParams(mechanism.params, (reader) => reader.u32()) : whole;
  if (size < 1 || size > whole) refuse('mechanism_param_invalid', `a code of ${size} bytes is not made`);
  return {
    hash: null,
    maxBytes: mostOf(algorithm),
    rule: OUTPUT.fixed,
    size,
    ...signing(key, 0, (data) => ({ algorithm, input: data })),
    run: async (service, data) => (await service.sign(key, algorithm, data, 0)).subarray(0, size),
  };
}

const SIGN_PLANS: Readonly<
  Record<SignMechanism['scheme'], (key: ResidentKey, row: SignMechanism, mechanism: Mechanism) => Plan>
> = {
  'rsa-pkcs1': planPkcs1,
  'rsa-pss': planPss,
  ecdsa: (key, row) =>
    planPrepared(key, row, 2 * bytesOf(key), (data) => prepareEcdsa(key, withScheme(key, row), data)),
  eddsa: (key, row, mechanism) => {
    checkEddsa(mechanism);
    return planMessage(key, row, { ...mechanism, params: Buffer.alloc(0) }, 64);
  },
  'ml-dsa': (key, row, mechanism) => {
    checkMlDsa(mechanism);
    return planMessage(key, row, { ...mechanism, params: Buffer.alloc(0) }, ML_DSA_BYTES[key.spec] ?? 0);
  },
  hmac: (key, row, mechanism) => planMessage(key, row, mechanism, codeBytes(row)),
  'aes-cmac': (key, row, mechanism) => planMessage(key, row, mechanism, codeBytes(row)),
};

const WITH_PARAMETERS: readonly SignMechanism['scheme'][] = ['rsa-pss', 'eddsa', 'ml-dsa'];

/** Signing with a private key, or the code of a secret key. */
export function planSign(key: ResidentKey, mechanism: Mechanism): Plan {
  const row = SIGN_MECHANISMS.find(({ type }) => type === mechanism.type);
  if (row === undefined || !canSign(key, row)) refuse('mechanism_invalid', 'the key does not sign so');
  if (!WITH_PARAMETERS.includes(row.scheme) && row.general !== true) demandNone(mechanism);
  return SIGN_PLANS[row.scheme](key, row, mechanism);
}

const NO_PARAMETERS: CipherParameters = {
  iv: Buffer.alloc(0),
  aad: Buffer.alloc(0),
  tagBits: 0,
  label: Buffer.alloc(0),
};

interface CipherChoice {
  readonly algorithm: CipherAlgorithm;
  readonly parameters: CipherParameters;
}

function chooseOaep(algorithms: readonly CipherAlgorithm[], { params }: Mechanism): CipherChoice {
  const [hash, mgf, label] = readParams(
    params,
    (reader) => [reader.number(), reader.number(), Buffer.from(reader.bytes(LIMITS.paramsMax))] as const,
  );
  const row = HASHES.find((each) => each.mechanism === hash && each.mgf === mgf);
  const algorithm = algorithms.find((each) => row !== undefined && each.hash === row.hash);
  if (algorithm === undefined)
    refuse('mechanism_param_invalid', 'the key opens no OAEP of this hash and mask');
  if (label.length > 0 && algorithm.takesLabel !== true)
    refuse('mechanism_param_invalid', 'the service takes no label');
  return { algorithm, parameters: { ...NO_PARAMETERS, label } };
}

function chooseGcm(algorithm: CipherAlgorithm, { params }: Mechanism): CipherChoice {
  const parameters = readParams(params, (reader) => ({
    ...NO_PARAMETERS,
    iv: Buffer.from(reader.bytes(LIMITS.paramsMax)),
    aad: Buffer.from(reader.bytes(LIMITS.paramsMax)),
    tagBits: reader.u32(),
  }));
  return { algorithm, parameters };
}

function chooseCipher(key: ResidentKey, mechanism: Mechanism, encrypts: boolean): CipherChoice {
  const scheme = CIPHER_MECHANISMS.find(({ type }) => type === mechanism.type)?.scheme;
  const algorithms = key.ciphers.filter((each) => each.scheme === scheme && (each.encrypts || !encrypts));
  const [algorithm] = algorithms;
  if (algorithm === undefined) refuse('mechanism_invalid', 'the key has no such algorithm');
  if (scheme === 'rsa-oaep') return chooseOaep(algorithms, mechanism);
  if (scheme === 'aes-gcm') return chooseGcm(algorithm, mechanism);
  const ivBytes = scheme === 'aes-cbc' || scheme === 'aes-cbc-pad' ? AES_BLOCK : 0;
  if (mechanism.params.length !== ivBytes) refuse('mechanism_param_invalid', `the IV has ${ivBytes} bytes`);
  return { algorithm, parameters: { ...NO_PARAMETERS, iv: Buffer.from(mechanism.params) } };
}

function checkBlocks(scheme: CipherAlgorithm['scheme'], encrypts: boolean, bytes: number): void {
  const isWhole = bytes % AES_BLOCK === 0 && (encrypts || scheme !== 'aes-cbc-pad' || bytes > 0);
  const isFree = scheme === 'aes-gcm' || (encrypts && scheme === 'aes-cbc-pad');
  if (!isFree && !isWhole)
    throw new SidekeyError(encrypts ? 'data_len_range' : 'encrypted_data_len_range', 'no whole blocks');
}

function outputOf(
  { scheme }: CipherAlgorithm,
  { tagBits }: CipherParameters,
  encrypts: boolean,
): readonly [rule: number, size: number] {
  if (scheme === 'aes-cbc-pad' && encrypts) return [OUTPUT.padded, AES_BLOCK];
  if (scheme === 'aes-gcm' && encrypts) return [OUTPUT.input, Math.ceil(tagBits / 8)];
  return scheme === 'aes-gcm' || scheme === 'aes-cbc-pad' ? [OUTPUT.unpadded, 0] : [OUTPUT.input, 0];
}

/** Decryption with a private key, or either direction with a secret key. */
export function planCipher(key: ResidentKey, mechanism: Mechanism, encrypts: boolean): Plan {
  const { algorithm, parameters } = chooseCipher(key, mechanism, encrypts);
  const maxBytes = Math.min(LIMITS.dataMax, algorithm.maxBytes ?? LIMITS.dataMax);
  if (algorithm.scheme.startsWith('rsa')) {
    const size = bytesOf(key);
    return {
      ...{ hash: null, maxBytes: size, rule: OUTPUT.atMost, size },
      run: (service, data) => {
        if (data.length !== size)
          throw new SidekeyError('encrypted_data_len_range', `a ciphertext of this key has ${size} bytes`);
        return service.decrypt(key, algorithm, parameters, data);
      },
    };
  }
  const [rule, size] = outputOf(algorithm, parameters, encrypts);
  return {
    ...{ hash: null, maxBytes, rule, size },
    run: (service, data) => {
      checkBlocks(algorithm.scheme, encrypts, data.length);
      return encrypts
        ? service.encrypt(key, algorithm, parameters, data)
        : service.decrypt(key, algorithm, parameters, data);
    },
  };
}

function canSign(key: ResidentKey, row: SignMechanism): boolean {
  if (ofMessages(key, row) !== null) return true;
  const algorithms = withScheme(key, row);
  if (row.scheme === 'hmac') return algorithms.some(({ hash }) => hash === row.hash);
  if (row.scheme === 'rsa-pss' && row.hash !== null) return algorithms.some(({ hash }) => hash === row.hash);
  if (row.scheme === 'rsa-pkcs1' && row.hash !== null)
    return algorithms.some(({ hash }) => hash === null || hash === row.hash);
  return algorithms.length > 0;
}

/** CKA_ALLOWED_MECHANISMS of a key: what planSign and planCipher would take with a fitting parameter. */
export function mechanismsOf(key: ResidentKey): number[] {
  const signs = SIGN_MECHANISMS.filter((row) => canSign(key, row)).map(({ type }) => type);
  const ciphers = CIPHER_MECHANISMS.filter(({ scheme }) =>
    key.ciphers.some((each) => each.scheme === scheme),
  );
  const oaep = key.ciphers.some(({ scheme }) => scheme === 'rsa-oaep') ? [CKM.RSA_AES_KEY_WRAP] : [];
  const agreements = key.agrees === true ? AGREEMENT_MECHANISMS : [];
  const all = [...signs, ...ciphers.map(({ type }) => type), ...oaep, ...agreements];
  return [...new Set(all)].sort((a, b) => a - b);
}
