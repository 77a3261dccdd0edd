/**
 * Every mechanism that Wycheproof has vectors for, through the module with imported keys: what is valid must work, what is
 * invalid must be refused. CKR_ARGUMENTS_BAD and the like are refusals too.
 */
import { createPublicKey } from 'node:crypto';
import pkcs11js from 'pkcs11js';
import t from 'tap';
import { startInstance } from '../e2e/instance.ts';
import { codeOf, openToken, type Token } from '../e2e/token.ts';
import {
  CKK_EC_EDWARDS,
  CKK_EC_MONTGOMERY,
  type Curve,
  decrypts,
  derive,
  ecPrivateKey,
  ecPublicKey,
  encrypts,
  gives,
  rsaPrivateKey,
  rsaPublicKey,
  secretKey,
  signs,
  verifies,
} from './keys.ts';
import { bigNumber, hex, readGroups, vectorsPresent, type Group, type Vector } from './wycheproof.ts';

/** How one file is run: the key of a group or of a vector, and whether the vector held. */
interface Suite {
  readonly file: string;
  readonly groupKey?: (token: Token, group: Group) => pkcs11js.Handle;
  readonly vectorKey?: (token: Token, vector: Vector, group: Group) => pkcs11js.Handle;
  readonly holds: (token: Token, key: pkcs11js.Handle, vector: Vector, group: Group) => boolean;
}

const aesKey = (token: Token, vector: Vector): pkcs11js.Handle =>
  secretKey(token, pkcs11js.CKK_AES, hex(vector, 'key'));

function aesSuite(file: string, mechanism: (vector: Vector, group: Group) => pkcs11js.Mechanism): Suite {
  return {
    file,
    vectorKey: aesKey,
    holds: (token, key, vector, group) => {
      const m = mechanism(vector, group);
      const sealed = Buffer.concat([
        hex(vector, 'ct'),
        'tag' in vector ? hex(vector, 'tag') : Buffer.alloc(0),
      ]);
      const opened = decrypts(token, m, key, sealed, hex(vector, 'msg'));
      return vector.result === 'valid'
        ? opened && encrypts(token, m, key, hex(vector, 'msg'), sealed)
        : opened;
    },
  };
}

function macSuite(file: string, keyType: number, mechanism: number): Suite {
  return {
    file,
    vectorKey: (token, vector) => secretKey(token, keyType, hex(vector, 'key')),
    holds: (token, key, vector) => {
      const m = { mechanism };
      const tag = hex(vector, 'tag');
      const full = signs(token, m, key, hex(vector, 'msg'), tag);
      return (
        full &&
        (vector.result !== 'valid' ||
          tag.length < fullTag(mechanism) ||
          verifies(token, m, key, hex(vector, 'msg'), tag))
      );
    },
  };
}

/** Bytes of an untruncated tag: Wycheproof has truncated ones too, which these mechanisms do not verify. */
function fullTag(mechanism: number): number {
  const bytes: Record<number, number> = {
    [pkcs11js.CKM_AES_CMAC]: 16,
    [pkcs11js.CKM_SHA_1_HMAC]: 20,
    [pkcs11js.CKM_SHA224_HMAC]: 28,
    [pkcs11js.CKM_SHA256_HMAC]: 32,
    [pkcs11js.CKM_SHA384_HMAC]: 48,
    [pkcs11js.CKM_SHA512_HMAC]: 64,
    0x2b1: 32,
  };
  return bytes[mechanism] ?? 0;
}

function verifySuite(file: string, groupKey: Suite['groupKey'], mechanism: pkcs11js.Mechanism): Suite {
  return {
    file,
    ...(groupKey ? { groupKey } : {}),
    holds: (token, key, vector) => verifies(token, mechanism, key, hex(vector, 'msg'), hex(vector, 'sig')),
  };
}

function ecdsaSuite(curve: Curve, hash: string, mechanism: number): Suite {
  const key = (token: Token, group: Group): pkcs11js.Handle => {
    const { uncompressed } = group['publicKey'] as { uncompressed: string };
    return ecPublicKey(token, pkcs11js.CKK_EC, curve, Buffer.from(uncompressed, 'hex'));
  };
  return verifySuite(`ecdsa_${curve}_${hash}_p1363`, key, { mechanism });
}

function ecdhSuite(file: string, keyType: number, curve: Curve, pad: number): Suite {
  return {
    file,
    vectorKey: (token, vector) => {
      const number = bigNumber(vector, 'private');
      const value =
        keyType === pkcs11js.CKK_EC
          ? Buffer.concat([Buffer.alloc(Math.max(0, pad - number.length)), number])
          : hex(vector, 'private');
      return ecPrivateKey(token, keyType, curve, value);
    },
    holds: (token, key, vector) =>
      gives(hex(vector, 'shared'), () => derive(token, key, hex(vector, 'public'), pad)),
  };
}

function pss(file: string, mechanism: number, hash: number, mgf: number, saltLen: number): Suite {
  const parameter: pkcs11js.RsaPSS = { type: pkcs11js.CK_PARAMS_RSA_PSS, hashAlg: hash, mgf, saltLen };
  return verifySuite(file, rsaPublicKey, { mechanism, parameter });
}

function oaep(file: string, hashAlg: number, mgf: number): Suite {
  return {
    file,
    groupKey: rsaPrivateKey,
    holds: (token, key, vector) => {
      const sourceData = hex(vector, 'label');
      const source = { source: 1, ...(sourceData.length > 0 ? { sourceData } : {}) };
      const parameter = { type: pkcs11js.CK_PARAMS_RSA_OAEP, hashAlg, mgf, ...source };
      return decrypts(
        token,
        { mechanism: pkcs11js.CKM_RSA_PKCS_OAEP, parameter },
        key,
        hex(vector, 'ct'),
        hex(vector, 'msg'),
      );
    },
  };
}

const SUITES: readonly Suite[] = [
  aesSuite('aes_gcm', (vector, group) => {
    const aad = hex(vector, 'aad');
    const iv = hex(vector, 'iv');
    const parameter = {
      type: pkcs11js.CK_PARAMS_AES_GCM_v240,
      iv,
      ivBits: iv.length * 8,
      tagBits: Number(group['tagSize']),
    };
    return {
      mechanism: pkcs11js.CKM_AES_GCM,
      parameter: { ...parameter, ...(aad.length > 0 ? { aad } : {}) },
    };
  }),
  aesSuite('aes_cbc_pkcs5', (vector) => ({
    mechanism: pkcs11js.CKM_AES_CBC_PAD,
    parameter: hex(vector, 'iv'),
  })),
  aesSuite('aes_wrap', () => ({ mechanism: pkcs11js.CKM_AES_KEY_WRAP })),
  aesSuite('aes_kwp', () => ({ mechanism: pkcs11js.CKM_AES_KEY_WRAP_PAD })),
  aesSuite('aes_kwp', () => ({ mechanism: 0x210b })),
  macSuite('aes_cmac', pkcs11js.CKK_AES, pkcs11js.CKM_AES_CMAC),
  macSuite('hmac_sha1', pkcs11js.CKK_GENERIC_SECRET, pkcs11js.CKM_SHA_1_HMAC),
  macSuite('hmac_sha224', pkcs11js.CKK_GENERIC_SECRET, pkcs11js.CKM_SHA224_HMAC),
  macSuite('hmac_sha256', pkcs11js.CKK_GENERIC_SECRET, pkcs11js.CKM_SHA256_HMAC),
  macSuite('hmac_sha384', pkcs11js.CKK_GENERIC_SECRET, pkcs11js.CKM_SHA384_HMAC),
  macSuite('hmac_sha512', pkcs11js.CKK_GENERIC_SECRET, pkcs11js.CKM_SHA512_HMAC),
  macSuite('hmac_sha3_256', pkcs11js.CKK_GENERIC_SECRET, 0x2b1),
  ecdsaSuite('secp256r1', 'sha256', pkcs11js.CKM_ECDSA_SHA256),
  ecdsaSuite('secp384r1', 'sha384', pkcs11js.CKM_ECDSA_SHA384),
  ecdsaSuite('secp521r1', 'sha512', pkcs11js.CKM_ECDSA_SHA512),
  ecdsaSuite('secp224r1', 'sha256', pkcs11js.CKM_ECDSA_SHA256),
  ecdsaSuite('secp256k1', 'sha256', pkcs11js.CKM_ECDSA_SHA256),
  ecdsaSuite('brainpoolP256r1', 'sha256', pkcs11js.CKM_ECDSA_SHA256),
  verifySuite('ed25519', edPublicKey('edwards25519'), { mechanism: 0x1057 }),
  verifySuite('ed448', edPublicKey('edwards448'), { mechanism: 0x1057 }),
  verifySuite('rsa_signature_2048_sha256', rsaPublicKey, { mechanism: pkcs11js.CKM_SHA256_RSA_PKCS }),
  verifySuite('rsa_signature_2048_sha512', rsaPublicKey, { mechanism: pkcs11js.CKM_SHA512_RSA_PKCS }),
  verifySuite('rsa_signature_3072_sha256', rsaPublicKey, { mechanism: pkcs11js.CKM_SHA256_RSA_PKCS }),
  verifySuite('rsa_signature_4096_sha512', rsaPublicKey, { mechanism: pkcs11js.CKM_SHA512_RSA_PKCS }),
  verifySuite('rsa_signature_2048_sha3_256', rsaPublicKey, { mechanism: 0x60 }),
  pss(
    'rsa_pss_3072_sha256_mgf1_32',
    pkcs11js.CKM_SHA256_RSA_PKCS_PSS,
    pkcs11js.CKM_SHA256,
    pkcs11js.CKG_MGF1_SHA256,
    32,
  ),
  pss(
    'rsa_pss_2048_sha256_mgf1_0',
    pkcs11js.CKM_SHA256_RSA_PKCS_PSS,
    pkcs11js.CKM_SHA256,
    pkcs11js.CKG_MGF1_SHA256,
    0,
  ),
  pss(
    'rsa_pss_2048_sha256_mgf1_32',
    pkcs11js.CKM_SHA256_RSA_PKCS_PSS,
    pkcs11js.CKM_SHA256,
    pkcs11js.CKG_MGF1_SHA256,
    32,
  ),
  pss(
    'rsa_pss_4096_sha512_mgf1_64',
    pkcs11js.CKM_SHA512_RSA_PKCS_PSS,
    pkcs11js.CKM_SHA512,
    pkcs11js.CKG_MGF1_SHA512,
    64,
  ),
  oaep('rsa_oaep_2048_sha1_mgf1sha1', pkcs11js.CKM_SHA_1, pkcs11js.CKG_MGF1_SHA1),
  oaep('rsa_oaep_2048_sha256_mgf1sha256', pkcs11js.CKM_SHA256, pkcs11js.CKG_MGF1_SHA256),
  oaep('rsa_oaep_3072_sha512_mgf1sha512', pkcs11js.CKM_SHA512, pkcs11js.CKG_MGF1_SHA512),
  {
    file: 'rsa_pkcs1_2048',
    groupKey: rsaPrivateKey,
    holds: (token, key, vector) =>
      decrypts(token, { mechanism: pkcs11js.CKM_RSA_PKCS }, key, hex(vector, 'ct'), hex(vector, 'msg')),
  },
  ecdhSuite('ecdh_secp256r1_ecpoint', pkcs11js.CKK_EC, 'secp256r1', 32),
  ecdhSuite('ecdh_secp384r1_ecpoint', pkcs11js.CKK_EC, 'secp384r1', 48),
  ecdhSuite('ecdh_secp521r1_ecpoint', pkcs11js.CKK_EC, 'secp521r1', 66),
  ecdhSuite('x25519', CKK_EC_MONTGOMERY, 'curve25519', 32),
  ecdhSuite('x448', CKK_EC_MONTGOMERY, 'curve448', 56),
];

function edPublicKey(curve: Curve): (token: Token, group: Group) => pkcs11js.Handle {
  return (token, group) => {
    const der = { key: hex(group, 'publicKeyDer'), format: 'der', type: 'spki' } as const;
    const { x } = createPublicKey(der).export({ format: 'jwk' });
    return ecPublicKey(token, CKK_EC_EDWARDS, curve, Buffer.from(x ?? '', 'base64url'));
  };
}

/** Vectors that came out otherwise than their result says; `counts` shows that the run was not empty. */
function run(token: Token, suite: Suite): { wrong: string[]; valid: number; invalid: number } {
  const counts = { wrong: [] as string[], valid: 0, invalid: 0 };
  for (const group of readGroups(suite.file)) {
    const shared = suite.groupKey?.(token, group);
    for (const vector of group.tests) {
      if (vector.result === 'acceptable' || isBeyondBounds(suite.file, vector)) continue;
      counts[vector.result]++;
      const held = holds(token, suite, shared, vector, group);
      if (held !== (vector.result === 'valid'))
        counts.wrong.push(`${vector.tcId} ${vector.result}: ${vector.comment}`);
    }
    if (shared) token.p11.C_DestroyObject(token.session, shared);
  }
  return counts;
}

/** OpenSSL 3 takes an initial value of AES-GCM of at most 128 bytes; longer ones are refused (docs/mechanisms.md). */
function isBeyondBounds(file: string, vector: Vector): boolean {
  return file === 'aes_gcm' && hex(vector, 'iv').length > 128;
}

function holds(
  token: Token,
  suite: Suite,
  shared: pkcs11js.Handle | undefined,
  vector: Vector,
  group: Group,
): boolean {
  if (shared) return suite.holds(token, shared, vector, group);
  let key: pkcs11js.Handle | null = null;
  const importKey = suite.vectorKey;
  if (!importKey || codeOf(() => (key = importKey(token, vector, group))) !== 0 || key === null) return false;
  const held = suite.holds(token, key, vector, group);
  token.p11.C_DestroyObject(token.session, key);
  return held;
}

if (!vectorsPresent) {
  t.comment('../shared/vectors is absent: Wycheproof is not run here (.ci/run demands it)');
  t.pass('nothing to run');
} else {
  t.test('Wycheproof through the module', { timeout: 300_000 }, async (t) => {
    const token = openToken(t, await startInstance(t));
    for (const suite of SUITES) {
      const { wrong, valid, invalid } = run(token, suite);
      t.same(wrong, [], `${suite.file}: ${valid} valid, ${invalid} invalid`);
      t.ok(valid > 0, `${suite.file} has valid vectors`);
    }
  });
}
