/** docs/mechanisms.md is what the keeper says of its own table (UPDATE_DOCS=1 writes it). */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { SOURCES, sourceOf } from '../vectors/sources.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const PAGE = join(ROOT, 'docs/mechanisms.md');

interface Row {
  readonly type: number;
  readonly name: string;
  readonly flags: number;
  readonly min: number;
  readonly max: number;
  readonly standing: number;
  /** The version of OpenSSL that it needs beyond the least one; empty: none. */
  readonly openssl: string;
}

/** CKF_ bits of CK_MECHANISM_INFO (PKCS#11 3.1, table 8) that are operations. */
const OPERATIONS: Readonly<Record<string, number>> = {
  'message encrypt': 0x2,
  'message decrypt': 0x4,
  encrypt: 0x100,
  decrypt: 0x200,
  digest: 0x400,
  sign: 0x800,
  'sign recover': 0x1000,
  verify: 0x2000,
  'verify recover': 0x4000,
  generate: 0x8000,
  'generate pair': 0x10000,
  wrap: 0x20000,
  unwrap: 0x40000,
  derive: 0x80000,
  encapsulate: 0x10000000,
  decapsulate: 0x20000000,
};

const STANDINGS = ['approved', '', 'legacy'];

const HEAD = `# Mechanisms

What tokens offer, generated from the table that implements it (native-shim/wire/mechanisms.def). C_GetMechanismList and
C_GetMechanismInfo say the same. Key sizes are in the unit that PKCS#11 gives the mechanism: bits for RSA, curves, prime
fields, generic secrets and the HMACs and derivations that take those; bytes for AES, DES, BLAKE2b, PBKDF2, TLS, SP
800-108, keys that are a hash, and public keys of ML-KEM, ML-DSA and SLH-DSA.

A token with "legacy: true" in its configuration offers all of them, one with "fips: true" those that are approved, any
other all but those that are legacy. What needs a later OpenSSL than 3.0 is offered where the libcrypto of the keeper's
process has it: the keeper looks at its start, and is the same program with either. Debian 12 has 3.0.

The last column says whose answers a mechanism gives, through the module, or what stands beside it where nobody published any;
test/vectors/sources.ts has the test of each. CAVP and the larger part of Wycheproof are fetched by "npm test", from PyPI and Go's module
proxy (where those cannot be reached it says so; .ci/run demands them). What is post-quantum, ACVP with it, is part of "npm run test:interop":
it takes a later OpenSSL than Debian 12's, out of another project's package.

Bounds and forms:

- AES-GCM takes an initial value of 1 to 128 bytes (OpenSSL's bound) and at most 16 KiB of associated data; a message to
  decrypt with AES-GCM may have 64 MiB, since nothing of it is released before its tag is good.
- EdDSA takes a context and a prehash where OpenSSL is 3.2 or later; before, CK_EDDSA_PARAMS with either gets
  CKR_MECHANISM_PARAM_INVALID.
- Messages (C_EncryptMessage and its sisters) are those of AES-GCM, AES-CCM and ChaCha20-Poly1305; initial values may be
  made here, of at least 96 random bits; counters are refused.
- AES-OFB, CFB128, CFB8 and CFB1 take any number of bytes, and give as many; of CFB64 no OpenSSL knows. CFB1 takes bits by eight.
- A message of AES-CCM, CTS or XTS, or to wrap, has at most 64 KiB; of AES-CCM in parts everything comes with the last
  one. CTS is NIST's CS1. CKM_AES_KEY_WRAP_PAD and KWP are both RFC 5649.
- DES is offered as triple DES with one key. Triple DES takes keys of CKK_DES2 as well as of CKK_DES3, whatever their
  parity bits; it gives those that it makes odd parity. Under one key it should see far less than 32 GiB (SP 800-67).
- A derived key has at most 4096 bytes. PBKDF2 takes a password of 1 to 4096 bytes and as many iterations as make 10
  million runs of its PRF.
- The PRF of TLS 1.2 takes SHA-1, SHA-2 and SHA-3, and about 1000 bytes of label, randoms and context; that of TLS 1.0
  and 1.1 only the legacy mechanisms have (CKM_TLS_PRF is no hash for the others). CKM_TLS_MAC takes up to 512 bytes.
  Those of SSL 3.0 are legacy as well, without its keys for export; CKM_SSL3_MD5_MAC and CKM_SSL3_SHA1_MAC give 4 to 16 or 20
  bytes (the standard says 4 to 8; records have all of them).
- An extended master secret (RFC 7627) is one of TLS 1.2, by the numbers of PKCS#11 3.2 and by those of NSS; it wants a session hash.
- Of IKE there are SKEYSEED and prf+ of IKEv2 (RFC 7296), by HMACs; what only IKEv1 has (RFC 9395 ends it) is not there, and HOTP neither.
- SP 800-108 takes an HMAC or, of an AES key, CKM_AES_CMAC as PRF, at most 32 fields of 2 KiB in all and 15 keys beside
  the first.
- RSA keys have up to 8192 bits. How long a pair takes to make is chance: one of 4096 some seconds, one of 8192 perhaps
  more than a minute; after three minutes the search ends and CKR_FUNCTION_FAILED is what the caller gets.
- What CKM_ECDH_AES_KEY_WRAP makes begins with an uncompressed point, without the head of an OCTET STRING.
- The keyed forms of BLAKE2b take keys of 1 to 64 bytes. CKM_RSA_X9_31 takes hash and trailer (SHA-1: 33 CC) from its
  caller, as the standard says. CKM_AES_MAC and CKM_DES3_MAC are safe only where all messages have one length, and
  refuse empty ones.
- DSA and DH: primes of 1024 (DSA and X9.42 with a subprime of at least 160 bits) to 8192 bits. CKM_DSA_PARAMETER_GEN
  searches for 1024, 2048 or 3072 bits, CKM_X9_42_DH_PARAMETER_GEN for the latter two, CKM_DH_PKCS_PARAMETER_GEN gives
  the groups of RFC 7919, of 2048, 3072, 4096, 6144 or 8192 bits. Parameters are checked (1 < base < p - 1; the subprime
  is prime, divides p - 1 and is the base's order; public values lie in its subgroup); that p itself is prime is not. A
  derived secret has the length of the prime. Of X9.42's KDFs there is CKD_SHA1_KDF_CONCATENATE. Its hybrid and MQV
  derivations are not there.
- ML-KEM makes keys of 32 bytes, never of a part of that. ML-DSA and SLH-DSA sign at most 64 MiB, in one part or
  several; CKM_HASH_ML_DSA and CKM_HASH_SLH_DSA take a hash of SHA-2 or SHA-3 that the caller made, the others with a
  hash in their name make it. A signature of SLH-DSA takes up to some seconds and is waited for three minutes; one
  processor is busy with it. Private keys of ML-KEM and ML-DSA have CKA_SEED where it is known, and are imported by it, by CKA_VALUE, or
  by both, which then must agree.
- Curves are named: P-192 to P-521, secp256k1, brainpool P160r1 to P512r1 and P160t1 to P512t1 (those below 224 bits are
  for keys that there are: mechanisms name no such size, and fips: true refuses them); explicit parameters get
  CKR_DOMAIN_PARAMS_INVALID, other curves CKR_CURVE_NOT_SUPPORTED.

`;

function render(rows: readonly Row[]): string {
  const lines = rows.map(({ type, name, flags, min, max, standing, openssl }) => {
    const needs = openssl === '' ? '' : `OpenSSL ${openssl}`;
    const operations = Object.keys(OPERATIONS).filter((operation) => flags & (OPERATIONS[operation] ?? 0));
    return `| ${name} | 0x${type.toString(16)} | ${operations.join(', ')} | ${max === 0 ? '' : `${min} to ${max}`} | ${STANDINGS[standing] ?? ''} | ${needs} | ${sourceOf(name)?.against ?? ''} |\n`;
  });
  return `${HEAD}| mechanism | number | operations | key size | standing | needs | held against |\n| --- | --- | --- | --- | --- | --- | --- |\n${lines.join('')}`;
}

t.test('docs/mechanisms.md is what the keeper implements', (t) => {
  const keeper = join(ROOT, 'native-shim/build/sidekey-keeper');
  const rows = JSON.parse(execFileSync(keeper, ['--mechanisms'], { encoding: 'utf8' })) as Row[];
  t.ok(rows.length > 40);
  if (process.env['UPDATE_DOCS']) writeFileSync(PAGE, render(rows));
  t.equal(readFileSync(PAGE, 'utf8'), render(rows));
  t.end();
});

t.test('every mechanism has something it is held against, by a test that is there', (t) => {
  const keeper = join(ROOT, 'native-shim/build/sidekey-keeper');
  const rows = JSON.parse(execFileSync(keeper, ['--mechanisms'], { encoding: 'utf8' })) as Row[];
  t.same(
    rows.filter(({ name }) => sourceOf(name) === undefined).map(({ name }) => name),
    [],
  );
  for (const source of SOURCES) {
    t.ok(existsSync(join(ROOT, source.test)), source.test);
    t.ok(
      rows.some(({ name }) => sourceOf(name) === source),
      `${source.mechanism} is the first for some mechanism`,
    );
  }
  t.end();
});
