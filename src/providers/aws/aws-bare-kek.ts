/** Encrypt and Decrypt of AWS KMS without an encryption context, as Tink's AWS integration asks for data keys of envelopes. */
import { SidekeyError } from '../../errors.ts';
import type { BareKek } from '../../tokens/ports.ts';
import { encodeBase64 } from '../http/base64-bytes.ts';
import { jsonWithSecret, parseJson, takeSecret, textAt } from '../http/json-secret.ts';
import { isNamed } from './aws-client.ts';
import type { AwsAnswer, RequestOf } from './aws-regions.ts';

/** A call of the KEK, in whichever region answers. */
export type CallKek = (operation: string, request: RequestOf) => Promise<AwsAnswer>;

const ALGORITHM = { EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' } as const;

export function awsBareKek(call: CallKek): BareKek {
  return {
    async encrypt(plaintext) {
      const base64 = encodeBase64(plaintext, 'standard');
      const bodies: Buffer[] = [];
      const request: RequestOf = (fields) => {
        const body = jsonWithSecret({ ...fields, ...ALGORITHM }, 'Plaintext', base64);
        bodies.push(body);
        return body;
      };
      try {
        const { what, body } = await call('Encrypt', request);
        const ciphertext = Buffer.from(textAt(parseJson(body), 'CiphertextBlob'), 'base64');
        if (ciphertext.length > 0) return ciphertext;
        throw new SidekeyError('provider_unreachable', `${what}: the response has no ciphertext`);
      } finally {
        for (const secret of [plaintext, base64, ...bodies]) secret.fill(0);
      }
    },
    async decrypt(ciphertext) {
      try {
        const { what, body } = await call('Decrypt', (fields) => ({
          ...fields,
          ...ALGORITHM,
          CiphertextBlob: ciphertext.toString('base64'),
        }));
        const plaintext = takeSecret(body, ['Plaintext']);
        body.fill(0);
        if (plaintext !== null) return plaintext;
        throw new SidekeyError('provider_unreachable', `${what}: the response has no plaintext`);
      } catch (error) {
        if (['InvalidCiphertextException', 'IncorrectKeyException'].some((name) => isNamed(error, name)))
          throw new SidekeyError(
            'encrypted_data_invalid',
            'the data key of this message was not wrapped by this KEK',
            { cause: error },
          );
        throw error;
      }
    },
  };
}
