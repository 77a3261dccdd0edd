/**
 * What each mechanism is held against: who published the answers, or, where nobody did, what stands beside it; and the test that does it.
 * docs/mechanisms.md shows it. Of the tests that are programs of Python the module's own trace says whether they used the mechanism
 * (mechanisms.test.ts holds the table whole, `usedBy` each run).
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { KEEPER } from '../e2e/instance.ts';

interface Source {
  readonly mechanism: RegExp;
  readonly against: string;
  /** From the root of the repository. */
  readonly test: string;
}

const VECTORS = 'test/vectors';
const INTEROP = 'test/interop';
const CAVP = `${VECTORS}/nist_cavp.py`;
const MORE = `${VECTORS}/wycheproof_more.py`;

/** The first that matches counts. */
export const SOURCES: readonly Source[] = [
  {
    mechanism: /^CKM_RSA_PKCS_KEY_PAIR_GEN$/,
    against: 'no answer: a pair is chance; OpenSSL verifies by it',
    test: `${VECTORS}/derivations.py`,
  },
  {
    mechanism: /^CKM_RSA_X9_31_KEY_PAIR_GEN$/,
    against: 'no answer: a pair is chance; OpenSSL verifies by it',
    test: `${VECTORS}/legacy.py`,
  },
  { mechanism: /^CKM_RSA_PKCS(_OAEP)?$/, against: 'Wycheproof', test: `${VECTORS}/wycheproof.test.ts` },
  { mechanism: /^CKM_RSA_X_509$/, against: "Python's arithmetic", test: `${VECTORS}/derivations.py` },
  {
    mechanism: /^CKM_RSA_AES_KEY_WRAP$/,
    against: 'its two halves, each published',
    test: `${VECTORS}/derivations.py`,
  },
  {
    mechanism: /^CKM_ECDH_AES_KEY_WRAP$/,
    against: 'its two halves, each published',
    test: `${VECTORS}/wraps.py`,
  },
  { mechanism: /^CKM_MD5_RSA_PKCS$/, against: "Python's arithmetic", test: `${VECTORS}/legacy.py` },
  { mechanism: /^CKM_SHA(1|224|256|384|512)_RSA_PKCS(_PSS)?$/, against: 'NIST CAVP; Wycheproof', test: CAVP },
  { mechanism: /^CKM_RSA_PKCS_PSS$|RSA_X9_31$/, against: 'NIST CAVP', test: CAVP },
  { mechanism: /^CKM_SHA3_\d+_RSA_PKCS$/, against: 'Wycheproof', test: MORE },
  { mechanism: /^CKM_SHA3_\d+_RSA_PKCS_PSS$/, against: 'OpenSSL', test: `${VECTORS}/hashes.test.ts` },
  {
    mechanism: /^CKM_EC_.*KEY_PAIR_GEN$/,
    against: 'no answer: a pair is chance; OpenSSL verifies by it',
    test: `${VECTORS}/curves.test.ts`,
  },
  { mechanism: /^CKM_ECDSA_SHA3_/, against: 'Wycheproof', test: MORE },
  { mechanism: /^CKM_ECDSA/, against: 'NIST CAVP; Wycheproof', test: CAVP },
  { mechanism: /^CKM_EDDSA$/, against: 'Wycheproof; RFC 8032', test: `${VECTORS}/wycheproof.test.ts` },
  { mechanism: /^CKM_ECDH1_DERIVE$/, against: 'NIST CAVP; Wycheproof', test: CAVP },
  {
    mechanism: /^CKM_ECDH1_COFACTOR_DERIVE$/,
    against: 'CKM_ECDH1_DERIVE: these curves have the cofactor 1',
    test: `${VECTORS}/curves.test.ts`,
  },
  {
    mechanism: /^CKM_(DSA|DH_PKCS|X9_42_DH)_(PARAMETER|KEY_PAIR)_GEN$/,
    against: 'no answer: chance; the numbers are checked',
    test: `${VECTORS}/prime_field.py`,
  },
  { mechanism: /^CKM_DSA_SHA3_/, against: "CKM_DSA of Python's hash", test: `${VECTORS}/prime_field.py` },
  { mechanism: /^CKM_DSA/, against: 'NIST CAVP; RFC 6979', test: CAVP },
  { mechanism: /^CKM_(DH_PKCS|X9_42_DH)_DERIVE$/, against: 'RFC 5114', test: `${VECTORS}/prime_field.py` },
  {
    mechanism: /^CKM_AES_(ECB|CBC|GCM|CMAC|KEY_WRAP|KEY_WRAP_KWP)$/,
    against: 'NIST CAVP or SP 800-38',
    test: CAVP,
  },
  { mechanism: /^CKM_AES_CTR$/, against: 'RFC 3686', test: CAVP },
  { mechanism: /^CKM_AES_(CBC|KEY_WRAP)_PAD$/, against: 'Wycheproof', test: `${VECTORS}/wycheproof.test.ts` },
  {
    mechanism: /^CKM_(AES_(CCM|GMAC|XTS)|CHACHA20_POLY1305)$/,
    against: 'Wycheproof',
    test: `${VECTORS}/ciphers.py`,
  },
  { mechanism: /^CKM_AES_CTS$/, against: 'RFC 3962', test: `${VECTORS}/ciphers.py` },
  {
    mechanism: /^CKM_AES_KEY_WRAP_PKCS7$/,
    against: 'RFC 3394 of padded data',
    test: `${VECTORS}/ciphers.py`,
  },
  {
    mechanism: /^CKM_AES_(ECB|CBC)_ENCRYPT_DATA$/,
    against: 'FIPS 197; SP 800-38A',
    test: `${VECTORS}/ciphers.py`,
  },
  { mechanism: /^CKM_AES_CMAC_GENERAL$/, against: 'RFC 4493', test: `${VECTORS}/hashes.test.ts` },
  {
    mechanism: /^CKM_AES_MAC(_GENERAL)?$/,
    against: 'SP 800-38A: the last block of CBC',
    test: `${VECTORS}/macs.py`,
  },
  { mechanism: /^CKM_AES_KEY_GEN$/, against: 'no answer: a key is chance', test: `${VECTORS}/objects.py` },
  {
    mechanism: /^CKM_(AES_XTS|CHACHA20)_KEY_GEN$/,
    against: 'no answer: a key is chance',
    test: `${VECTORS}/ciphers.py`,
  },
  {
    mechanism: /^CKM_DES3?2?_KEY_GEN$/,
    against: 'no answer: a key is chance; its parity is checked',
    test: `${VECTORS}/des.py`,
  },
  { mechanism: /^CKM_DES3_(ECB|CBC)$/, against: 'NIST CAVP; SP 800-67', test: CAVP },
  { mechanism: /^CKM_DES3_MAC/, against: 'FIPS 113', test: `${VECTORS}/legacy.py` },
  { mechanism: /^CKM_DES3_CMAC/, against: 'SP 800-38B', test: `${VECTORS}/des.py` },
  { mechanism: /^CKM_DES_(ECB|CBC)$/, against: 'FIPS 81', test: `${VECTORS}/des.py` },
  {
    mechanism: /^CKM_DES3?_(CBC_PAD|(ECB|CBC)_ENCRYPT_DATA)$/,
    against: 'the cipher itself, which is published',
    test: `${VECTORS}/des.py`,
  },
  { mechanism: /^CKM_(CHACHA20|POLY1305)$/, against: 'RFC 8439', test: `${VECTORS}/ciphers.py` },
  {
    mechanism: /^CKM_(POLY1305|GENERIC_SECRET|SHA\w*)_KEY_GEN$/,
    against: 'no answer: a key is chance',
    test: `${VECTORS}/walk.py`,
  },
  {
    mechanism: /^CKM_HKDF_KEY_GEN$/,
    against: 'no answer: a key is chance',
    test: `${VECTORS}/derivations.py`,
  },
  { mechanism: /^CKM_HKDF_DERIVE$/, against: 'RFC 5869; Wycheproof', test: MORE },
  { mechanism: /^CKM_IKE/, against: 'NIST ACVP', test: `${VECTORS}/ike.py` },
  { mechanism: /^CKM_HKDF_DATA$/, against: 'RFC 5869', test: `${VECTORS}/secrets.py` },
  { mechanism: /^CKM_PKCS5_PBKD2$/, against: 'RFC 6070, RFC 7914; Wycheproof', test: MORE },
  {
    mechanism: /^CKM_CONCATENATE_BASE_AND_KEY$/,
    against: "the standard's definition",
    test: `${VECTORS}/secrets.py`,
  },
  {
    mechanism: /^CKM_(CONCATENATE|XOR)_/,
    against: "the standard's definition",
    test: `${VECTORS}/derivations.py`,
  },
  { mechanism: /^CKM_EXTRACT_KEY_FROM_KEY$/, against: "the standard's example", test: `${VECTORS}/macs.py` },
  { mechanism: /^CKM_SP800_108_/, against: 'NIST CAVP', test: `${VECTORS}/kbkdf.py` },
  { mechanism: /^CKM_SSL3_/, against: "Python's hashes; the JDK", test: `${VECTORS}/legacy.py` },
  {
    mechanism: /^CKM_TLS_PRE_MASTER_KEY_GEN$/,
    against: 'no answer: a key is chance',
    test: `${VECTORS}/tls.py`,
  },
  {
    mechanism: /^CKM_TLS_(MASTER|KEY_AND|PRF)/,
    against: 'NIST CAVP (SP 800-135)',
    test: `${VECTORS}/legacy.py`,
  },
  {
    mechanism: /^CKM_(NSS_TLS|TLS12)_EXTENDED/,
    against: 'NIST ACVP (RFC 7627)',
    test: `${VECTORS}/tls.py`,
  },
  {
    mechanism: /^CKM_TLS12_(MASTER|KEY_AND|KEY_SAFE)/,
    against: 'NIST CAVP (SP 800-135)',
    test: `${VECTORS}/tls.py`,
  },
  { mechanism: /^CKM_TLS/, against: "Python's hmac", test: `${VECTORS}/tls.py` },
  { mechanism: /^CKM_MD5_KEY_DERIVATION$/, against: 'RFC 1321', test: `${VECTORS}/legacy.py` },
  {
    mechanism: /^CKM_(SHA|SHAKE).*_KEY_DERIVATION$/,
    against: 'FIPS 180-4; FIPS 202',
    test: `${VECTORS}/secrets.py`,
  },
  { mechanism: /^CKM_BLAKE2B_512_KEY_DERIVE$/, against: 'RFC 7693', test: `${VECTORS}/secrets.py` },
  { mechanism: /^CKM_BLAKE2B_512$/, against: 'RFC 7693', test: CAVP },
  { mechanism: /^CKM_BLAKE2B_512_HMAC$/, against: "BLAKE2's authors", test: `${VECTORS}/macs.py` },
  { mechanism: /^CKM_BLAKE2B_/, against: "Python's blake2b", test: `${VECTORS}/macs.py` },
  { mechanism: /^CKM_MD5_HMAC_GENERAL$/, against: 'RFC 2202', test: `${VECTORS}/legacy.py` },
  {
    mechanism: /^CKM_(MD5|SHA_1|SHA(224|256|384|512))(_HMAC)?$/,
    against: 'NIST CAVP; RFC 1321, 2202, 4231',
    test: CAVP,
  },
  { mechanism: /^CKM_SHA(3_\d+|512_\d+)$/, against: 'NIST CAVP', test: CAVP },
  { mechanism: /_HMAC(_GENERAL)?$/, against: 'Wycheproof', test: MORE },
  {
    mechanism: /^CKM_(ML_KEM|ML_DSA|SLH_DSA)_KEY_PAIR_GEN$/,
    against: 'no answer: a pair is chance; keys by their seeds are NIST ACVP',
    test: `${INTEROP}/pq_keys.py`,
  },
  { mechanism: /^CKM_ML_KEM$|^CKM_(HASH_)?SLH_DSA/, against: 'NIST ACVP', test: `${INTEROP}/pq_acvp.py` },
  { mechanism: /^CKM_ML_DSA$/, against: "its authors' answers; Wycheproof", test: `${INTEROP}/pq_kat.py` },
  {
    mechanism: /^CKM_HASH_ML_DSA/,
    against: 'the other way to hash; @noble/post-quantum for two hashes',
    test: `${INTEROP}/pq_sign.py`,
  },
];

/** What the keeper says of its own table. */
export function keeperMechanisms(): string[] {
  const rows = JSON.parse(execFileSync(KEEPER, ['--mechanisms'], { encoding: 'utf8' })) as { name: string }[];
  return rows.map(({ name }) => name);
}

const KNOWN = join(import.meta.dirname, 'known');

/** The mechanisms whose answers are a file of known/, which known.py runs: nothing else has to name them. */
const known = readdirSync(KNOWN).map((file) => {
  const entry = JSON.parse(readFileSync(join(KNOWN, file), 'utf8')) as { mechanism: string; against: string };
  return { mechanism: entry.mechanism, against: entry.against, test: `${VECTORS}/known.py` };
});

export function sourceOf(mechanism: string): Pick<Source, 'against' | 'test'> | undefined {
  const answers = known.find((entry) => entry.mechanism === mechanism);
  return answers ?? SOURCES.find((source) => source.mechanism.test(mechanism));
}

/** The mechanisms of these that the table gives to this test, and that a trace of the module does not show in use: none, if it tells the truth. */
export function unusedBy(test: string, trace: string, mechanisms: readonly string[]): string[] {
  const used = new Set<string>();
  for (const [, name] of readFileSync(trace, 'utf8').matchAll(/ mechanism=(\w+) .*CKR_OK$/gm))
    used.add(name ?? '');
  return mechanisms.filter((name) => sourceOf(name)?.test === test && !used.has(name));
}
