/** Keys of given bytes in a token, and single operations with them: what every test of published vectors needs. */
import { createPrivateKey } from 'node:crypto';
import pkcs11js from 'pkcs11js';
import { codeOf, type Token } from '../e2e/token.ts';
import { bigNumber, hex, type Group } from './wycheproof.ts';

const {
  CKA_CLASS,
  CKA_DECRYPT,
  CKA_DERIVE,
  CKA_EC_PARAMS,
  CKA_EC_POINT,
  CKA_ENCRYPT,
  CKA_EXTRACTABLE,
  CKA_KEY_TYPE,
  CKA_MODULUS,
  CKA_PUBLIC_EXPONENT,
  CKA_SENSITIVE,
  CKA_SIGN,
  CKA_TOKEN,
  CKA_UNWRAP,
  CKA_VALUE,
  CKA_VERIFY,
  CKA_WRAP,
} = pkcs11js;
export const CKK_EC_EDWARDS = 0x40;
export const CKK_EC_MONTGOMERY = 0x41;

export const OID = {
  secp256r1: '06082a8648ce3d030107',
  secp384r1: '06052b81040022',
  secp521r1: '06052b81040023',
  secp224r1: '06052b81040021',
  secp256k1: '06052b8104000a',
  brainpoolP256r1: '06092b2403030208010107',
  brainpoolP384r1: '06092b240303020801010b',
  brainpoolP512r1: '06092b240303020801010d',
  brainpoolP224r1: '06092b2403030208010105',
  brainpoolP224t1: '06092b2403030208010106',
  brainpoolP256t1: '06092b2403030208010108',
  brainpoolP320r1: '06092b2403030208010109',
  brainpoolP320t1: '06092b240303020801010a',
  brainpoolP384t1: '06092b240303020801010c',
  brainpoolP512t1: '06092b240303020801010e',
  secp192r1: '06082a8648ce3d030101',
  brainpoolP192r1: '06092b2403030208010103',
  brainpoolP192t1: '06092b2403030208010104',
  brainpoolP160r1: '06092b2403030208010101',
  brainpoolP160t1: '06092b2403030208010102',
  edwards448: '06032b6571',
  curve448: '06032b656f',
  edwards25519: '06032b6570',
  curve25519: '06032b656e',
} as const;
export type Curve = keyof typeof OID;

export function secretKey({ p11, session }: Token, keyType: number, value: Buffer): pkcs11js.Handle {
  return p11.C_CreateObject(session, [
    { type: CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY },
    { type: CKA_KEY_TYPE, value: keyType },
    { type: CKA_TOKEN, value: false },
    { type: CKA_VALUE, value },
    ...[CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP].map((type) => ({
      type,
      value: true,
    })),
  ]);
}

export function octetString(bytes: Buffer): Buffer {
  const head = bytes.length < 128 ? [4, bytes.length] : [4, 0x81, bytes.length];
  return Buffer.concat([Buffer.from(head), bytes]);
}

export function ecPublicKey(
  { p11, session }: Token,
  keyType: number,
  curve: Curve,
  point: Buffer,
): pkcs11js.Handle {
  return p11.C_CreateObject(session, [
    { type: CKA_CLASS, value: pkcs11js.CKO_PUBLIC_KEY },
    { type: CKA_KEY_TYPE, value: keyType },
    { type: CKA_TOKEN, value: false },
    { type: CKA_VERIFY, value: true },
    { type: CKA_EC_PARAMS, value: Buffer.from(OID[curve], 'hex') },
    { type: CKA_EC_POINT, value: octetString(point) },
  ]);
}

export function ecPrivateKey(
  { p11, session }: Token,
  keyType: number,
  curve: Curve,
  value: Buffer,
): pkcs11js.Handle {
  return p11.C_CreateObject(session, [
    { type: CKA_CLASS, value: pkcs11js.CKO_PRIVATE_KEY },
    { type: CKA_KEY_TYPE, value: keyType },
    { type: CKA_TOKEN, value: false },
    { type: CKA_DERIVE, value: true },
    { type: CKA_EC_PARAMS, value: Buffer.from(OID[curve], 'hex') },
    { type: CKA_VALUE, value },
  ]);
}

export function rsaPublicKey({ p11, session }: Token, group: Group): pkcs11js.Handle {
  const { modulus, publicExponent } = group['publicKey'] as { modulus: string; publicExponent: string };
  return p11.C_CreateObject(session, [
    { type: CKA_CLASS, value: pkcs11js.CKO_PUBLIC_KEY },
    { type: CKA_KEY_TYPE, value: pkcs11js.CKK_RSA },
    { type: CKA_TOKEN, value: false },
    { type: CKA_VERIFY, value: true },
    { type: CKA_MODULUS, value: bigNumber({ modulus }, 'modulus') },
    { type: CKA_PUBLIC_EXPONENT, value: bigNumber({ publicExponent }, 'publicExponent') },
  ]);
}

export function rsaPrivateKey({ p11, session }: Token, group: Group): pkcs11js.Handle {
  const jwk = createPrivateKey({ key: hex(group, 'privateKeyPkcs8'), format: 'der', type: 'pkcs8' }).export({
    format: 'jwk',
  });
  const number = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'base64url');
  return p11.C_CreateObject(session, [
    { type: CKA_CLASS, value: pkcs11js.CKO_PRIVATE_KEY },
    { type: CKA_KEY_TYPE, value: pkcs11js.CKK_RSA },
    { type: CKA_TOKEN, value: false },
    { type: CKA_DECRYPT, value: true },
    { type: CKA_MODULUS, value: number(jwk.n) },
    { type: CKA_PUBLIC_EXPONENT, value: number(jwk.e) },
    { type: pkcs11js.CKA_PRIVATE_EXPONENT, value: number(jwk.d) },
    { type: pkcs11js.CKA_PRIME_1, value: number(jwk.p) },
    { type: pkcs11js.CKA_PRIME_2, value: number(jwk.q) },
    { type: pkcs11js.CKA_EXPONENT_1, value: number(jwk.dp) },
    { type: pkcs11js.CKA_EXPONENT_2, value: number(jwk.dq) },
    { type: pkcs11js.CKA_COEFFICIENT, value: number(jwk.qi) },
  ]);
}

/** True when the call worked and gave these bytes. */
export function gives(expected: Buffer, call: () => Buffer): boolean {
  let output: Buffer | null = null;
  return codeOf(() => (output = call())) === 0 && output !== null && expected.equals(output);
}

export function encrypts(
  token: Token,
  m: pkcs11js.Mechanism,
  key: pkcs11js.Handle,
  msg: Buffer,
  sealed: Buffer,
): boolean {
  return gives(sealed, () => {
    token.p11.C_EncryptInit(token.session, m, key);
    return token.p11.C_Encrypt(token.session, msg, Buffer.alloc(sealed.length + 64));
  });
}

export function decrypts(
  token: Token,
  m: pkcs11js.Mechanism,
  key: pkcs11js.Handle,
  sealed: Buffer,
  msg: Buffer,
): boolean {
  return gives(msg, () => {
    token.p11.C_DecryptInit(token.session, m, key);
    return token.p11.C_Decrypt(token.session, sealed, Buffer.alloc(sealed.length + 64));
  });
}

export function signs(
  token: Token,
  m: pkcs11js.Mechanism,
  key: pkcs11js.Handle,
  msg: Buffer,
  tag: Buffer,
): boolean {
  return gives(tag, () => {
    token.p11.C_SignInit(token.session, m, key);
    return token.p11.C_Sign(token.session, msg, Buffer.alloc(512)).subarray(0, tag.length);
  });
}

export function verifies(
  token: Token,
  m: pkcs11js.Mechanism,
  key: pkcs11js.Handle,
  msg: Buffer,
  signature: Buffer,
): boolean {
  return (
    codeOf(() => {
      token.p11.C_VerifyInit(token.session, m, key);
      token.p11.C_Verify(token.session, msg, signature);
    }) === 0
  );
}

export function derive(
  { p11, session }: Token,
  key: pkcs11js.Handle,
  publicData: Buffer,
  length: number,
): Buffer {
  const parameter = { type: pkcs11js.CK_PARAMS_EC_DH, kdf: pkcs11js.CKD_NULL, publicData };
  const derived = p11.C_DeriveKey(session, { mechanism: pkcs11js.CKM_ECDH1_DERIVE, parameter }, key, [
    { type: CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY },
    { type: CKA_KEY_TYPE, value: pkcs11js.CKK_GENERIC_SECRET },
    { type: pkcs11js.CKA_VALUE_LEN, value: length },
    { type: CKA_TOKEN, value: false },
    { type: CKA_SENSITIVE, value: false },
    { type: CKA_EXTRACTABLE, value: true },
  ]);
  const value = p11.C_GetAttributeValue(session, derived, [{ type: CKA_VALUE }])[0]?.value as Buffer;
  p11.C_DestroyObject(session, derived);
  return value;
}
