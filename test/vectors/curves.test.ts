/** Every named curve: a pair made, a signature that OpenSSL verifies without the token, a secret agreed both ways; refusals. */
import { createHash, createPublicKey, verify } from 'node:crypto';
import pkcs11js from 'pkcs11js';
import t from 'tap';
import { startInstance } from '../e2e/instance.ts';
import { codeOf, openToken, type Token } from '../e2e/token.ts';
import { OID, ecPublicKey, type Curve } from './keys.ts';

const CKR_ATTRIBUTE_VALUE_INVALID = 0x13;
const CKR_MECHANISM_PARAM_INVALID = 0x71;
const CKR_DOMAIN_PARAMS_INVALID = 0x130;
const CKR_CURVE_NOT_SUPPORTED = 0x140;
const CKM_ECDH1_COFACTOR_DERIVE = 0x1051;
const MESSAGE = Buffer.from('sidekey');

const PRIME: readonly Curve[] = [
  'secp224r1',
  'secp256r1',
  'secp384r1',
  'secp521r1',
  'secp256k1',
  'brainpoolP256r1',
  'brainpoolP384r1',
  'brainpoolP512r1',
  'brainpoolP224r1',
  'brainpoolP224t1',
  'brainpoolP256t1',
  'brainpoolP320r1',
  'brainpoolP320t1',
  'brainpoolP384t1',
  'brainpoolP512t1',
  'secp192r1',
  'brainpoolP192r1',
  'brainpoolP192t1',
  'brainpoolP160r1',
  'brainpoolP160t1',
];

function pair({ p11, session }: Token, mechanism: number, params: Buffer): pkcs11js.KeyPair {
  return p11.C_GenerateKeyPair(
    session,
    { mechanism },
    [{ type: pkcs11js.CKA_EC_PARAMS, value: params }],
    [{ type: pkcs11js.CKA_DERIVE, value: true }],
  );
}

function read({ p11, session }: Token, key: pkcs11js.Handle, type: number): Buffer {
  return Buffer.from(p11.C_GetAttributeValue(session, key, [{ type }])[0]?.value as Buffer);
}

function agree(
  token: Token,
  mechanism: number,
  key: pkcs11js.Handle,
  publicData: Buffer,
  kdf = 1,
  sharedData?: Buffer,
): Buffer {
  const parameter = { type: pkcs11js.CK_PARAMS_EC_DH, kdf, publicData, ...(sharedData && { sharedData }) };
  const derived = token.p11.C_DeriveKey(token.session, { mechanism, parameter }, key, [
    { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY },
    { type: pkcs11js.CKA_KEY_TYPE, value: pkcs11js.CKK_GENERIC_SECRET },
    { type: pkcs11js.CKA_SENSITIVE, value: false },
    { type: pkcs11js.CKA_EXTRACTABLE, value: true },
  ]);
  return read(token, derived, pkcs11js.CKA_VALUE);
}

/** CKD_..._KDF_SP800 */
const SP800: readonly [number, string][] = [
  [0x0e, 'sha1'],
  [0x0f, 'sha224'],
  [0x10, 'sha256'],
  [0x11, 'sha384'],
  [0x12, 'sha512'],
  [0x13, 'sha3-224'],
  [0x14, 'sha3-256'],
  [0x15, 'sha3-384'],
  [0x16, 'sha3-512'],
];

t.test('every curve', { timeout: 60_000 }, async (t) => {
  const token = openToken(t, await startInstance(t));
  const { p11, session } = token;
  const spki = (key: pkcs11js.Handle): ReturnType<typeof createPublicKey> =>
    createPublicKey({ key: read(token, key, 0x129), format: 'der', type: 'spki' });

  for (const curve of PRIME) {
    const params = Buffer.from(OID[curve], 'hex');
    const [mine, yours] = [0, 1].map(() => pair(token, pkcs11js.CKM_EC_KEY_PAIR_GEN, params));
    if (!mine || !yours) throw new Error('no pair');
    t.same(read(token, mine.publicKey, pkcs11js.CKA_EC_PARAMS), params, curve);
    p11.C_SignInit(session, { mechanism: pkcs11js.CKM_ECDSA_SHA256 }, mine.privateKey);
    const signature = p11.C_Sign(session, MESSAGE, Buffer.alloc(256));
    const key = { key: spki(mine.publicKey), dsaEncoding: 'ieee-p1363' } as const;
    t.ok(verify('sha256', MESSAGE, key, signature), `${curve}: OpenSSL verifies`);
    const points = [mine, yours].map(({ publicKey }) => read(token, publicKey, pkcs11js.CKA_EC_POINT));
    const one = agree(token, pkcs11js.CKM_ECDH1_DERIVE, mine.privateKey, points[1] ?? MESSAGE);
    const two = agree(token, CKM_ECDH1_COFACTOR_DERIVE, yours.privateKey, points[0] ?? MESSAGE);
    t.same(one, two, `${curve}: both sides agree, and the cofactor is one`);
    const sha3 = [mine, yours].map(({ privateKey }, i) =>
      agree(token, pkcs11js.CKM_ECDH1_DERIVE, privateKey, points[1 - i] ?? MESSAGE, 0x0b),
    );
    t.same(sha3[0], sha3[1], 'CKD_SHA3_256_KDF');
    t.equal(sha3[0]?.length, 32);
    for (const [kdf, hash] of SP800)
      t.same(
        agree(token, pkcs11js.CKM_ECDH1_DERIVE, mine.privateKey, points[1] ?? MESSAGE, kdf, MESSAGE),
        createHash(hash)
          .update(Buffer.of(0, 0, 0, 1))
          .update(one)
          .update(MESSAGE)
          .digest(),
        `${curve}: SP 800-56A with ${hash}`,
      );
  }

  for (const curve of ['edwards25519', 'edwards448'] as const) {
    const { publicKey, privateKey } = pair(token, 0x1055, Buffer.from(OID[curve], 'hex'));
    p11.C_SignInit(session, { mechanism: 0x1057 }, privateKey);
    const signature = p11.C_Sign(session, MESSAGE, Buffer.alloc(256));
    t.ok(verify(null, MESSAGE, spki(publicKey), signature), `${curve}: OpenSSL verifies`);
  }
});

t.test('what is no named curve of ours is refused clearly', { timeout: 60_000 }, async (t) => {
  const token = openToken(t, await startInstance(t));
  const make = (params: string, mechanism: number = pkcs11js.CKM_EC_KEY_PAIR_GEN): number =>
    codeOf(() => pair(token, mechanism, Buffer.from(params, 'hex')));
  t.equal(make('3081e0020101302c06072a8648ce3d0101022100'), CKR_DOMAIN_PARAMS_INVALID, 'explicit parameters');
  t.equal(make('0500'), CKR_DOMAIN_PARAMS_INVALID, 'implicitCA');
  t.equal(make('06052b8104001a'), CKR_CURVE_NOT_SUPPORTED, 'a binary curve');
  t.equal(make('06052b81040008'), CKR_CURVE_NOT_SUPPORTED, 'secp160r1');
  t.equal(make(OID.curve448), CKR_CURVE_NOT_SUPPORTED, 'a curve of another type of key');
  t.equal(make(OID.secp256r1, 0x1055), CKR_CURVE_NOT_SUPPORTED);
  t.equal(
    codeOf(() => ecPublicKey(token, pkcs11js.CKK_EC, 'secp256k1', Buffer.alloc(65, 4))),
    CKR_ATTRIBUTE_VALUE_INVALID,
    'a point off the curve',
  );
  const { privateKey } = pair(token, pkcs11js.CKM_EC_KEY_PAIR_GEN, Buffer.from(OID.secp256k1, 'hex'));
  t.equal(
    codeOf(() => agree(token, pkcs11js.CKM_ECDH1_DERIVE, privateKey, Buffer.alloc(65, 4))),
    CKR_MECHANISM_PARAM_INVALID,
    "the other side's point off the curve",
  );
});
