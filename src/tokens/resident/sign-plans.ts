/**
 * From a mechanism of signing with its parameter to what a resident key is asked. Refusals are those that the keeper gives for
 * a key of its own.
 */
import { SidekeyError } from '../../errors.ts';
import { LIMITS, OUTPUT } from '../../wire/tables.ts';
import type { Mechanism } from '../ports.ts';
import type { HashName, KeySpec, ResidentKey, SignAlgorithm } from '../resident-port.ts';
import { HASHES, hashOf, SIGN_MECHANISMS, type SignMechanism } from './mechanisms.ts';
import { AES_BLOCK, bytesOf, readParams, refuse, type Plan } from './plan.ts';
import { prepareEcdsa, preparePkcs1, type Prepared } from './signature-input.ts';

/** CKH_DETERMINISTIC_REQUIRED */
const DETERMINISTIC = 2;
/** FIPS 204, table 2. */
const ML_DSA_BYTES: Readonly<Partial<Record<KeySpec, number>>> = {
  ...{ 'ml-dsa-44': 2420, 'ml-dsa-65': 3309, 'ml-dsa-87': 4627 },
};

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
        throw new SidekeyError('key_function_not_permitted', 'the service does not verify signatures');
      return service.verify(key, algorithm, input, signature, saltBytes);
    },
  };
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

interface PssParameters {
  readonly hash: HashName;
  readonly saltBytes: number;
}

function readPss({ params }: Mechanism, wanted: HashName | null): PssParameters {
  const given = readParams(params, (reader) => [reader.number(), reader.number(), reader.number()] as const);
  const [mechanism, mgf, saltBytes] = given;
  const row = HASHES.find((each) => each.mechanism === mechanism && each.mgf === mgf);
  if (row === undefined || (wanted !== null && row.hash !== wanted))
    refuse('mechanism_param_invalid', 'hash and mask generation must use the hash of the mechanism');
  return { hash: row.hash, saltBytes };
}

function planPss(key: ResidentKey, row: SignMechanism, mechanism: Mechanism): Plan {
  const { hash, saltBytes } = readPss(mechanism, row.hash);
  const { bytes } = hashOf(hash);
  const whole = ofMessages(key, row);
  const algorithm = whole ?? withScheme(key, row).find((each) => each.hash === hash);
  if (algorithm === undefined) refuse('mechanism_param_invalid', `the key does not support PSS with ${hash}`);
  if (algorithm.anySalt !== true && saltBytes !== bytes)
    refuse('mechanism_param_invalid', `the service only supports a salt of ${bytes} bytes`);
  if (algorithm.neverUnsalted === true && saltBytes === 0)
    refuse('mechanism_param_invalid', 'the service does not support an empty salt');
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
    refuse('mechanism_param_invalid', 'the service does not support prehash and context');
}

/** ML-DSA's parameter: u8 hedge, bytes context. Services sign pure, hedged as they like. */
function checkMlDsa({ params }: Mechanism): void {
  if (params.length === 0) return;
  const [hedge, context] = readParams(
    params,
    (reader) => [reader.u8(), reader.bytes(LIMITS.paramsMax)] as const,
  );
  if (context.length > 0 || hedge === DETERMINISTIC)
    refuse('mechanism_param_invalid', 'the service does not support a context or deterministic signatures');
}

function codeBytes(row: SignMechanism): number {
  return row.scheme === 'hmac' && row.hash !== null ? hashOf(row.hash).bytes : AES_BLOCK;
}

/** Schemes of whole messages: eddsa, ml-dsa, hmac, aes-cmac. */
function planMessage(key: ResidentKey, row: SignMechanism, mechanism: Mechanism, whole: number): Plan {
  const algorithm = withScheme(key, row).find(({ hash }) => row.scheme === 'eddsa' || hash === row.hash);
  if (algorithm === undefined) refuse('mechanism_invalid', 'the key does not support this algorithm');
  const size = row.general === true ? readParams(mechanism.params, (reader) => reader.u32()) : whole;
  if (size < 1 || size > whole) refuse('mechanism_param_invalid', `a MAC cannot have ${size} bytes`);
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
  if (row === undefined || !canSign(key, row))
    refuse('mechanism_invalid', 'the key does not support this signature mechanism');
  if (!WITH_PARAMETERS.includes(row.scheme) && row.general !== true) demandNone(mechanism);
  return SIGN_PLANS[row.scheme](key, row, mechanism);
}

/** Whether planSign takes this mechanism with a fitting parameter. */
export function canSign(key: ResidentKey, row: SignMechanism): boolean {
  if (ofMessages(key, row) !== null) return true;
  const algorithms = withScheme(key, row);
  if (row.scheme === 'hmac') return algorithms.some(({ hash }) => hash === row.hash);
  if (row.scheme === 'rsa-pss' && row.hash !== null) return algorithms.some(({ hash }) => hash === row.hash);
  if (row.scheme === 'rsa-pkcs1' && row.hash !== null)
    return algorithms.some(({ hash }) => hash === null || hash === row.hash);
  return algorithms.length > 0;
}
