/** `legacy: true` and `fips: true` of a token: what is listed, and what a key that is bound already may still not do. */
import { createPublicKey, verify } from 'node:crypto';
import pkcs11js from 'pkcs11js';
import t from 'tap';
import { startInstance } from './instance.ts';
import { codeOf, openToken, type Token } from './token.ts';

const CKR_MECHANISM_INVALID = 0x70;
const CKR_CURVE_NOT_SUPPORTED = 0x140;
const CKM_MD5_RSA_PKCS = 0x5;
const CKM_MD5 = 0x210;
const CKM_BLAKE2B_256 = 0x4011;
const MESSAGE = Buffer.from('sidekey');
const LEGACY = [
  ...[CKM_MD5_RSA_PKCS, pkcs11js.CKM_SHA1_RSA_PKCS, 0x0e, pkcs11js.CKM_DES3_CBC, CKM_MD5],
  ...[pkcs11js.CKM_DSA_SHA256, pkcs11js.CKM_DH_PKCS_DERIVE, 0x31, 0x378, 0x0b],
];

const withOption = (line: string) => ({
  edit: (yaml: string) => yaml.replace(/^( *)- label: .*$/m, `$&\n$1  ${line}`),
});

function rsaPair({ p11, session }: Token): pkcs11js.KeyPair {
  const size = [{ type: pkcs11js.CKA_MODULUS_BITS, value: 2048 }];
  return p11.C_GenerateKeyPair(session, { mechanism: pkcs11js.CKM_RSA_PKCS_KEY_PAIR_GEN }, size, []);
}

function sign({ p11, session }: Token, mechanism: number, key: pkcs11js.Handle): Buffer {
  p11.C_SignInit(session, { mechanism }, key);
  return Buffer.from(p11.C_Sign(session, MESSAGE, Buffer.alloc(512)));
}

function ecPair({ p11, session }: Token, curve: string): unknown {
  const params = [{ type: pkcs11js.CKA_EC_PARAMS, value: Buffer.from(curve, 'hex') }];
  return p11.C_GenerateKeyPair(session, { mechanism: pkcs11js.CKM_EC_KEY_PAIR_GEN }, params, []);
}

t.test('without an option, nothing legacy is offered or done', { timeout: 60_000 }, async (t) => {
  const token = openToken(t, await startInstance(t));
  const listed = token.p11.C_GetMechanismList(token.slot);
  for (const type of LEGACY) t.notOk(listed.includes(type));
  t.ok(listed.includes(pkcs11js.CKM_RSA_X_509));
  const { privateKey } = rsaPair(token);
  t.equal(
    codeOf(() => sign(token, pkcs11js.CKM_SHA1_RSA_PKCS, privateKey)),
    CKR_MECHANISM_INVALID,
    'unbound',
  );
  sign(token, pkcs11js.CKM_SHA256_RSA_PKCS, privateKey);
  t.equal(
    codeOf(() => sign(token, pkcs11js.CKM_SHA1_RSA_PKCS, privateKey)),
    CKR_MECHANISM_INVALID,
    'bound',
  );
  t.ok(ecPair(token, '06052b8104000a'), 'secp256k1');
  const digest = (mechanism: number) => codeOf(() => token.p11.C_DigestInit(token.session, { mechanism }));
  t.equal(digest(CKM_MD5), CKR_MECHANISM_INVALID, 'nor a digest, which has no key to be bound');
  t.equal(digest(CKM_BLAKE2B_256), 0);
});

t.test('legacy: true offers them all', { timeout: 60_000 }, async (t) => {
  const token = openToken(t, await startInstance(t, withOption('legacy: true')));
  const listed = token.p11.C_GetMechanismList(token.slot);
  for (const type of LEGACY) t.ok(listed.includes(type));
  const { publicKey, privateKey } = rsaPair(token);
  const info = token.p11.C_GetAttributeValue(token.session, publicKey, [{ type: 0x129 }])[0]?.value as Buffer;
  const key = createPublicKey({ key: info, format: 'der', type: 'spki' });
  t.ok(verify('md5', MESSAGE, key, sign(token, CKM_MD5_RSA_PKCS, privateKey)), 'MD5');
  t.ok(verify('sha1', MESSAGE, key, sign(token, pkcs11js.CKM_SHA1_RSA_PKCS, privateKey)), 'SHA-1');
});

t.test('fips: true leaves what is approved', { timeout: 60_000 }, async (t) => {
  const token = openToken(t, await startInstance(t, withOption('fips: true')));
  const listed = token.p11.C_GetMechanismList(token.slot);
  for (const type of [
    ...LEGACY,
    pkcs11js.CKM_ECDSA_SHA1,
    pkcs11js.CKM_RSA_X_509,
    pkcs11js.CKM_RSA_PKCS,
    0x1226,
    0x4021,
    0x364,
  ])
    t.notOk(listed.includes(type), `0x${type.toString(16)}`);
  for (const type of [pkcs11js.CKM_AES_GCM, pkcs11js.CKM_SHA256_RSA_PKCS, pkcs11js.CKM_ECDSA, 0x402a])
    t.ok(listed.includes(type), `0x${type.toString(16)}`);
  const { privateKey } = rsaPair(token);
  sign(token, pkcs11js.CKM_SHA256_RSA_PKCS, privateKey);
  t.equal(
    codeOf(() => sign(token, pkcs11js.CKM_RSA_X_509, privateKey)),
    CKR_MECHANISM_INVALID,
    'bound',
  );
  const { p11, session } = token;
  const chacha = codeOf(() => p11.C_GenerateKey(session, { mechanism: 0x1225 }, []));
  t.equal(chacha, CKR_MECHANISM_INVALID, 'no ChaCha20 key');
  const blake = codeOf(() => p11.C_DigestInit(session, { mechanism: CKM_BLAKE2B_256 }));
  t.equal(blake, CKR_MECHANISM_INVALID, 'no BLAKE2b');
  t.equal(
    codeOf(() => ecPair(token, '06052b8104000a')),
    CKR_CURVE_NOT_SUPPORTED,
    'secp256k1',
  );
  t.ok(ecPair(token, '06082a8648ce3d030107'), 'P-256');
});
