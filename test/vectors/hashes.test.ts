/** SHA-3 and the truncated SHA-512: digests of FIPS 180-4 and FIPS 202's examples, codes and signatures against OpenSSL's own. */
import { createHmac, createPublicKey, verify, constants } from 'node:crypto';
import pkcs11js from 'pkcs11js';
import t from 'tap';
import { startInstance } from '../e2e/instance.ts';
import { codeOf, openToken, type Token } from '../e2e/token.ts';
import { secretKey, signs, verifies } from './keys.ts';

const CKR_MECHANISM_PARAM_INVALID = 0x71;
const CKR_MECHANISM_INVALID = 0x70;
const CKR_KEY_TYPE_INCONSISTENT = 0x63;
const ABC = Buffer.from('abc');

interface Hash {
  readonly name: string;
  readonly digest: number;
  readonly hmac: number;
  readonly keyType: number;
  readonly keyGen: number;
  readonly abc: string;
}

const HASHES: readonly Hash[] = [
  {
    name: 'sha512-224',
    digest: 0x48,
    hmac: 0x49,
    keyType: 0x43,
    keyGen: 0x4008,
    abc: '4634270f707b6a54daae7530460842e20e37ed265ceee9a43e8924aa',
  },
  {
    name: 'sha512-256',
    digest: 0x4c,
    hmac: 0x4d,
    keyType: 0x44,
    keyGen: 0x4009,
    abc: '53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23',
  },
  {
    name: 'sha3-224',
    digest: 0x2b5,
    hmac: 0x2b6,
    keyType: 0x36,
    keyGen: 0x2b8,
    abc: 'e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf',
  },
  {
    name: 'sha3-256',
    digest: 0x2b0,
    hmac: 0x2b1,
    keyType: 0x37,
    keyGen: 0x2b3,
    abc: '3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532',
  },
  {
    name: 'sha3-384',
    digest: 0x2c0,
    hmac: 0x2c1,
    keyType: 0x38,
    keyGen: 0x2c3,
    abc: 'ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25',
  },
  {
    name: 'sha3-512',
    digest: 0x2d0,
    hmac: 0x2d1,
    keyType: 0x39,
    keyGen: 0x2d3,
    abc: 'b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0',
  },
];

function ulong(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function digest({ p11, session }: Token, mechanism: number, data: Buffer): string {
  p11.C_DigestInit(session, { mechanism });
  return p11.C_Digest(session, data, Buffer.alloc(64)).toString('hex');
}

function generate({ p11, session }: Token, mechanism: number): pkcs11js.Handle {
  return p11.C_GenerateKey(session, { mechanism }, [
    { type: pkcs11js.CKA_TOKEN, value: false },
    { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
  ]);
}

t.test('hashes beyond SHA-2', { timeout: 60_000 }, async (t) => {
  const token = openToken(t, await startInstance(t));
  const { p11, session } = token;
  const secret = Buffer.alloc(40, 7);

  for (const { name, digest: mechanism, hmac, keyType, keyGen, abc } of HASHES) {
    t.equal(digest(token, mechanism, ABC), abc, `${name} of abc`);
    const full = createHmac(name, secret).update(ABC).digest();
    const key = secretKey(token, keyType, secret);
    t.ok(signs(token, { mechanism: hmac }, key, ABC, full), `HMAC of ${name}`);
    const general = { mechanism: hmac + 1, parameter: ulong(10) };
    t.ok(signs(token, general, key, ABC, full.subarray(0, 10)), `ten bytes of the HMAC of ${name}`);
    t.ok(verifies(token, general, key, ABC, full.subarray(0, 10)));
    t.notOk(verifies(token, general, key, ABC, full.subarray(0, 9)), 'a shorter code is no code');
    for (const length of [0, full.length + 1, 2 ** 33])
      t.equal(
        codeOf(() => p11.C_SignInit(session, { mechanism: hmac + 1, parameter: ulong(length) }, key)),
        CKR_MECHANISM_PARAM_INVALID,
        `a code of ${length} bytes is refused`,
      );
    const made = generate(token, keyGen);
    t.equal(
      codeOf(() => p11.C_SignInit(session, { mechanism: pkcs11js.CKM_SHA256_HMAC }, made)),
      CKR_KEY_TYPE_INCONSISTENT,
      'a key of one HMAC is for no other',
    );
    p11.C_SignInit(session, { mechanism: hmac }, made);
    t.equal(p11.C_Sign(session, ABC, Buffer.alloc(64)).length, full.length, `a key made for ${name}`);
  }

  const aes = secretKey(token, pkcs11js.CKK_AES, Buffer.from('2b7e151628aed2a6abf7158809cf4f3c', 'hex'));
  const message = Buffer.from('6bc1bee22e409f96e93d7e117393172a', 'hex');
  const cmac = Buffer.from('070a16b46b4d4144f79bdd9dd04a287c', 'hex'); // RFC 4493, example 2
  const short = { mechanism: 0x108b, parameter: ulong(4) };
  t.ok(signs(token, short, aes, message, cmac.subarray(0, 4)), 'AES_CMAC_GENERAL');
  t.ok(verifies(token, short, aes, message, cmac.subarray(0, 4)));
  t.equal(
    codeOf(() => p11.C_SignInit(session, { mechanism: 0x108b, parameter: ulong(17) }, aes)),
    CKR_MECHANISM_PARAM_INVALID,
  );
  t.equal(
    codeOf(() => p11.C_DigestInit(session, { mechanism: 0x2b4 })),
    CKR_MECHANISM_INVALID,
  );
});

t.test('RSA and ECDSA with SHA-3 verify without the token', { timeout: 60_000 }, async (t) => {
  const { p11, session } = openToken(t, await startInstance(t));
  const rsa = p11.C_GenerateKeyPair(
    session,
    { mechanism: pkcs11js.CKM_RSA_PKCS_KEY_PAIR_GEN },
    [{ type: pkcs11js.CKA_MODULUS_BITS, value: 2048 }],
    [],
  );
  const ec = p11.C_GenerateKeyPair(
    session,
    { mechanism: pkcs11js.CKM_EC_KEY_PAIR_GEN },
    [{ type: pkcs11js.CKA_EC_PARAMS, value: Buffer.from('06082a8648ce3d030107', 'hex') }],
    [],
  );
  const open = (handle: pkcs11js.Handle): ReturnType<typeof createPublicKey> =>
    createPublicKey({
      key: p11.C_GetAttributeValue(session, handle, [{ type: 0x129 }])[0]?.value as Buffer,
      format: 'der',
      type: 'spki',
    });
  const rsaKey = open(rsa.publicKey);
  const ecKey = open(ec.publicKey);
  const sign = (mechanism: pkcs11js.Mechanism, key: pkcs11js.Handle): Buffer => {
    p11.C_SignInit(session, mechanism, key);
    return Buffer.from(p11.C_Sign(session, ABC, Buffer.alloc(512)));
  };
  const ROWS = [
    { name: 'sha3-224', hash: 0x2b5, mgf: 6, pkcs: 0x66, pss: 0x67, ecdsa: 0x1047, bytes: 28 },
    { name: 'sha3-256', hash: 0x2b0, mgf: 7, pkcs: 0x60, pss: 0x63, ecdsa: 0x1048, bytes: 32 },
    { name: 'sha3-384', hash: 0x2c0, mgf: 8, pkcs: 0x61, pss: 0x64, ecdsa: 0x1049, bytes: 48 },
    { name: 'sha3-512', hash: 0x2d0, mgf: 9, pkcs: 0x62, pss: 0x65, ecdsa: 0x104a, bytes: 64 },
  ];
  for (const { name, hash, mgf, pkcs, pss, ecdsa, bytes } of ROWS) {
    t.ok(verify(name, ABC, rsaKey, sign({ mechanism: pkcs }, rsa.privateKey)), `PKCS with ${name}`);
    const parameter = { type: pkcs11js.CK_PARAMS_RSA_PSS, hashAlg: hash, mgf, saltLen: bytes };
    const padded = { key: rsaKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: bytes };
    t.ok(verify(name, ABC, padded, sign({ mechanism: pss, parameter }, rsa.privateKey)), `PSS with ${name}`);
    const fixed = { key: ecKey, dsaEncoding: 'ieee-p1363' } as const;
    t.ok(verify(name, ABC, fixed, sign({ mechanism: ecdsa }, ec.privateKey)), `ECDSA with ${name}`);
    const oaep = { type: pkcs11js.CK_PARAMS_RSA_OAEP, hashAlg: hash, mgf, source: 1 };
    p11.C_EncryptInit(session, { mechanism: pkcs11js.CKM_RSA_PKCS_OAEP, parameter: oaep }, rsa.publicKey);
    const sealed = Buffer.from(p11.C_Encrypt(session, ABC, Buffer.alloc(512)));
    p11.C_DecryptInit(session, { mechanism: pkcs11js.CKM_RSA_PKCS_OAEP, parameter: oaep }, rsa.privateKey);
    t.same(p11.C_Decrypt(session, sealed, Buffer.alloc(512)), ABC, `OAEP with ${name}`);
  }
});
