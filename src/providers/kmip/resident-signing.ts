/**
 * Signatures of keys that stay in a KMIP server, and whether they are what was asked for: with the public key on this host, or, where the server does not
 * give it out, by the server itself (Signature Verify).
 */
import { constants, createPublicKey, publicDecrypt, verify, type KeyObject } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import type { ResidentKey, SignAlgorithm } from '../../tokens/resident-port.ts';
import { decodeDer, encodeDer, scalarBytes } from '../../wire/ecdsa-signature.ts';
import type { KmipCaller, KmipClient } from './client.ts';
import { KmipResultError } from './fault.ts';
import { describeKey } from './key-operations.ts';
import { mac, sign, verifySignature } from './resident-operations.ts';
import { RESULT_REASON, STATE } from './tables.ts';

const VERIFIERS_MAX = 1000;

/** Answers to a Signature Verify whose cause may be the signature. */
const MAY_BE_DATA: readonly number[] = [
  RESULT_REASON.CryptographicFailure,
  RESULT_REASON.GeneralFailure,
  RESULT_REASON.InternalServerError,
  RESULT_REASON.CodecError,
];

export interface SigningOptions {
  readonly provider: string;
  readonly client: KmipClient;
  /** SubjectPublicKeyInfo. */
  readonly publicKey: (key: ResidentKey) => Promise<Buffer>;
  readonly publicKeyId: (by: KmipCaller, key: ResidentKey) => Promise<string>;
}

/** What is signed, and how. */
interface Signed {
  readonly algorithm: SignAlgorithm;
  readonly input: Buffer;
  readonly saltBytes: number;
}

export class KmipSigning {
  readonly #options: SigningOptions;
  /** By the key's id: what its signatures are checked with. */
  readonly #verifiers = new Map<string, KeyObject>();

  constructor(options: SigningOptions) {
    this.#options = options;
  }

  #refuse(key: string, what: string): never {
    throw new SidekeyError('provider_refused', `provider "${this.#options.provider}" (key ${key}): ${what}`);
  }

  forget(id: string): void {
    this.#verifiers.delete(id);
  }

  async sign(key: ResidentKey, algorithm: SignAlgorithm, input: Buffer, saltBytes: number): Promise<Buffer> {
    const by = this.#options.client.begin();
    if (algorithm.scheme === 'hmac' || algorithm.scheme === 'aes-cmac')
      return mac(by, key.id, algorithm, input);
    const signature = await sign(by, key.id, algorithm, input, saltBytes);
    if (algorithm.scheme === 'ecdsa') return this.#rawEcdsa(key, signature);
    await this.#check(key, { algorithm, input, saltBytes }, signature);
    return signature;
  }

  /** By the server. KMIP does not say how a signature on a curve looks: it is shown in both forms. */
  async verify(
    key: ResidentKey,
    algorithm: SignAlgorithm,
    input: Buffer,
    signature: Buffer,
    saltBytes: number,
  ): Promise<boolean> {
    const isPairOfNumbers = signature.length === 2 * scalarBytes(key.sizeBits);
    if (algorithm.scheme === 'ecdsa' && !isPairOfNumbers) return false;
    const by = this.#options.client.begin();
    const id = await this.#options.publicKeyId(by, key);
    const forms = algorithm.scheme === 'ecdsa' ? [encodeDer(signature), signature] : [signature];
    for (const form of forms) {
      const verifying = verifySignature(by, id, algorithm, input, form, saltBytes);
      if (await verifying.catch((error: unknown) => this.#unlessBad(by, id, error))) return true;
    }
    return false;
  }

  /** Servers say of a form that they do not know, and of numbers that are none of the curve's, that they failed. */
  async #unlessBad(by: KmipCaller, id: string, error: unknown): Promise<false> {
    const cause: unknown = error instanceof SidekeyError ? error.cause : null;
    const isAboutData = cause instanceof KmipResultError && MAY_BE_DATA.includes(cause.reason);
    if (!isAboutData || (await describeKey(by, id)).state !== STATE.Active) throw error;
    return false;
  }

  /** KMIP does not say how: servers give DER, or r and s side by side. */
  #rawEcdsa(key: ResidentKey, signature: Buffer): Buffer {
    const raw = decodeDer(signature, key.sizeBits);
    if (raw !== null) return raw;
    if (signature.length === 2 * scalarBytes(key.sizeBits)) return signature;
    return this.#refuse(key.id, 'the server returned a malformed ECDSA signature');
  }

  /** null: the server keeps the public key. */
  async #verifier(key: ResidentKey): Promise<KeyObject | null> {
    const known = this.#verifiers.get(key.id);
    if (known !== undefined) return known;
    const info = await this.#options.publicKey(key).catch((error: unknown) => {
      if (error instanceof SidekeyError && error.code === 'provider_refused') return null;
      throw error;
    });
    if (info === null) return null;
    const object = createPublicKey({ key: info, format: 'der', type: 'spki' });
    if (this.#verifiers.size >= VERIFIERS_MAX) this.#verifiers.clear();
    this.#verifiers.set(key.id, object);
    return object;
  }

  /** Servers ignore what they do not know of the parameters (PyKMIP always salts with the most that there is room for). */
  async #check(key: ResidentKey, signed: Signed, signature: Buffer): Promise<void> {
    const { algorithm, input, saltBytes } = signed;
    const object = await this.#verifier(key);
    const isAsAsked =
      object === null
        ? await this.verify(key, algorithm, input, signature, saltBytes)
        : isSignature(object, signed, signature);
    if (!isAsAsked) this.#refuse(key.id, `the server did not sign with ${algorithm.scheme} as requested`);
  }
}

function isSignature(key: KeyObject, { algorithm, input, saltBytes }: Signed, signature: Buffer): boolean {
  const { scheme, hash, takesMessage } = algorithm;
  if (takesMessage !== true) return scheme !== 'rsa-pkcs1' || isPadded(key, input, signature);
  const options =
    scheme === 'rsa-pss'
      ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: saltBytes }
      : { padding: constants.RSA_PKCS1_PADDING };
  return verify(hash, input, { key, ...options }, signature);
}

/** Of a digest: the padding is PKCS #1's, and the digest at its end. */
function isPadded(key: KeyObject, digest: Buffer, signature: Buffer): boolean {
  try {
    const how = { key, padding: constants.RSA_PKCS1_PADDING };
    return publicDecrypt(how, signature).subarray(-digest.length).equals(digest);
  } catch {
    return false;
  }
}
