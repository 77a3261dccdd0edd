/**
 * Maps an encryption mechanism and its parameter to requests to a resident key. Refuses the same things as
 * the keeper does for its own keys.
 */
import { SidekeyError } from '../../errors.ts';
import { LIMITS, OUTPUT } from '../../wire/tables.ts';
import type { Mechanism } from '../ports.ts';
import type { CipherAlgorithm, CipherParameters, ResidentKey } from '../resident-port.ts';
import { CIPHER_MECHANISMS, HASHES } from './mechanisms.ts';
import { AES_BLOCK, bytesOf, readParams, refuse, type Plan } from './plan.ts';

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
    refuse('mechanism_param_invalid', 'the key does not support OAEP with this hash and mask');
  if (label.length > 0 && algorithm.takesLabel !== true)
    refuse('mechanism_param_invalid', 'the service does not support a label');
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
  if (algorithm === undefined) refuse('mechanism_invalid', 'the key does not support this algorithm');
  if (scheme === 'rsa-oaep') return chooseOaep(algorithms, mechanism);
  if (scheme === 'aes-gcm') return chooseGcm(algorithm, mechanism);
  const ivBytes = scheme === 'aes-cbc' || scheme === 'aes-cbc-pad' ? AES_BLOCK : 0;
  if (mechanism.params.length !== ivBytes)
    refuse('mechanism_param_invalid', `the IV must have ${ivBytes} bytes`);
  return { algorithm, parameters: { ...NO_PARAMETERS, iv: Buffer.from(mechanism.params) } };
}

function checkBlocks(scheme: CipherAlgorithm['scheme'], encrypts: boolean, bytes: number): void {
  const isWhole = bytes % AES_BLOCK === 0 && (encrypts || scheme !== 'aes-cbc-pad' || bytes > 0);
  const isFree = scheme === 'aes-gcm' || (encrypts && scheme === 'aes-cbc-pad');
  if (!isFree && !isWhole)
    throw new SidekeyError(
      encrypts ? 'data_len_range' : 'encrypted_data_len_range',
      'not a multiple of the block size',
    );
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
