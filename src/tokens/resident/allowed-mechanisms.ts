/** CKA_ALLOWED_MECHANISMS of resident keys. */
import { CKM } from '../cryptoki.ts';
import type { ResidentKey } from '../resident-port.ts';
import { AGREEMENT_MECHANISMS, CIPHER_MECHANISMS, SIGN_MECHANISMS } from './mechanisms.ts';
import { canSign } from './sign-plans.ts';

/** The mechanisms that planSign and planCipher accept, given a suitable parameter. */
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
