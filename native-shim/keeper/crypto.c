#include "crypto.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "aead.h"
#include "arena.h"
#include "cryptoki.h"
#include "frame.h"
#include "key_pq.h"

enum { SIZES = 3 };

/* By mode and length of the key in bytes. */
static struct {
    const char *mode;
    size_t bytes[SIZES];
    const char *name[SIZES];
    EVP_CIPHER *cipher[SIZES];
} ciphers[] = {
    {"ECB", {16, 24, 32}, {"AES-128-ECB", "AES-192-ECB", "AES-256-ECB"}, {NULL}},
    {"CBC", {16, 24, 32}, {"AES-128-CBC", "AES-192-CBC", "AES-256-CBC"}, {NULL}},
    {"CTR", {16, 24, 32}, {"AES-128-CTR", "AES-192-CTR", "AES-256-CTR"}, {NULL}},
    {"OFB", {16, 24, 32}, {"AES-128-OFB", "AES-192-OFB", "AES-256-OFB"}, {NULL}},
    {"CFB128", {16, 24, 32}, {"AES-128-CFB", "AES-192-CFB", "AES-256-CFB"}, {NULL}},
    {"CFB8", {16, 24, 32}, {"AES-128-CFB8", "AES-192-CFB8", "AES-256-CFB8"}, {NULL}},
    {"CFB1", {16, 24, 32}, {"AES-128-CFB1", "AES-192-CFB1", "AES-256-CFB1"}, {NULL}},
    {"GCM", {16, 24, 32}, {"AES-128-GCM", "AES-192-GCM", "AES-256-GCM"}, {NULL}},
    {"CCM", {16, 24, 32}, {"AES-128-CCM", "AES-192-CCM", "AES-256-CCM"}, {NULL}},
    {"CTS", {16, 24, 32}, {"AES-128-CBC-CTS", "AES-192-CBC-CTS", "AES-256-CBC-CTS"}, {NULL}},
    {"WRAP", {16, 24, 32}, {"AES-128-WRAP", "AES-192-WRAP", "AES-256-WRAP"}, {NULL}},
    {"WRAP-PAD", {16, 24, 32}, {"AES-128-WRAP-PAD", "AES-192-WRAP-PAD", "AES-256-WRAP-PAD"}, {NULL}},
    {"DES-ECB", {8}, {"DES-EDE3-ECB"}, {NULL}},
    {"DES-CBC", {8}, {"DES-EDE3-CBC"}, {NULL}},
    {"DES3-ECB", {16, 24}, {"DES-EDE-ECB", "DES-EDE3-ECB"}, {NULL}},
    {"DES3-CBC", {16, 24}, {"DES-EDE-CBC", "DES-EDE3-CBC"}, {NULL}},
    {"XTS", {32, 64}, {"AES-128-XTS", "AES-256-XTS"}, {NULL}},
    {"CHACHA20", {32}, {"ChaCha20"}, {NULL}},
    {"CHACHA20-POLY1305", {32}, {"ChaCha20-Poly1305"}, {NULL}},
};

#define NONE (~0UL) /* PKCS#11 has no such use of it */

/* PKCS#11 names one hash in five ways: `kdf` is X9.63's, `sp800` that of SP 800-56A. */
static struct {
    const char *name;
    uint64_t mechanism, mgf, kdf, sp800;
    EVP_MD *md;
} digests[] = {
    {"MD5", NONE, NONE, NONE, NONE, NULL},
    {"MD5-SHA1", NONE, NONE, NONE, NONE, NULL},
    {"SHA1", CKM_SHA_1, CKG_MGF1_SHA1, 2, CKD_SHA1_KDF_SP800, NULL},
    {"SHA2-224", CKM_SHA224, CKG_MGF1_SHA224, 5, CKD_SHA224_KDF_SP800, NULL},
    {"SHA2-256", CKM_SHA256, CKG_MGF1_SHA256, 6, CKD_SHA256_KDF_SP800, NULL},
    {"SHA2-384", CKM_SHA384, CKG_MGF1_SHA384, 7, CKD_SHA384_KDF_SP800, NULL},
    {"SHA2-512", CKM_SHA512, CKG_MGF1_SHA512, 8, CKD_SHA512_KDF_SP800, NULL},
    {"SHA2-512/224", CKM_SHA512_224, NONE, NONE, NONE, NULL},
    {"SHA2-512/256", CKM_SHA512_256, NONE, NONE, NONE, NULL},
    {"SHA3-224", CKM_SHA3_224, CKG_MGF1_SHA3_224, CKD_SHA3_224_KDF, CKD_SHA3_224_KDF_SP800, NULL},
    {"SHA3-256", CKM_SHA3_256, CKG_MGF1_SHA3_256, CKD_SHA3_256_KDF, CKD_SHA3_256_KDF_SP800, NULL},
    {"SHA3-384", CKM_SHA3_384, CKG_MGF1_SHA3_384, CKD_SHA3_384_KDF, CKD_SHA3_384_KDF_SP800, NULL},
    {"SHA3-512", CKM_SHA3_512, CKG_MGF1_SHA3_512, CKD_SHA3_512_KDF, CKD_SHA3_512_KDF_SP800, NULL},
    {"SHAKE-128", NONE, NONE, NONE, NONE, NULL},
    {"SHAKE-256", NONE, NONE, NONE, NONE, NULL},
    {"BLAKE2B-512", NONE, NONE, NONE, NONE, NULL},
};

enum { CIPHERS = sizeof(ciphers) / sizeof(ciphers[0]), DIGESTS = sizeof(digests) / sizeof(digests[0]) };

static EVP_MAC *hmac, *cmac, *poly1305, *blake2b;
static EVP_KDF *x963, *one_step, *hkdf, *tls;

static _Thread_local bool was_short;

static void *arena_malloc(size_t size, const char *file, int line)
{
    void *block = size ? kp_alloc(size) : NULL;

    (void)file, (void)line;
    was_short |= size && !block;
    return block;
}

static void arena_free(void *block, const char *file, int line)
{
    (void)file, (void)line;
    kp_free(block);
}

static void *arena_realloc(void *old, size_t size, const char *file, int line)
{
    void *block = size ? kp_realloc(old, size) : NULL;

    was_short |= size && !block;
    if (!size)
        arena_free(old, file, line);
    return block;
}

static bool fetch_all(void)
{
    bool ok = true;

    for (size_t i = 0; i < CIPHERS; i++)
        for (size_t j = 0; j < SIZES && ciphers[i].name[j]; j++)
            ok &= (ciphers[i].cipher[j] = EVP_CIPHER_fetch(NULL, ciphers[i].name[j], NULL)) != NULL;
    for (size_t i = 0; i < DIGESTS; i++)
        ok &= (digests[i].md = EVP_MD_fetch(NULL, digests[i].name, NULL)) != NULL;
    ok &= (hmac = EVP_MAC_fetch(NULL, "HMAC", NULL)) != NULL;
    ok &= (cmac = EVP_MAC_fetch(NULL, "CMAC", NULL)) != NULL;
    ok &= (poly1305 = EVP_MAC_fetch(NULL, "POLY1305", NULL)) != NULL;
    ok &= (blake2b = EVP_MAC_fetch(NULL, "BLAKE2BMAC", NULL)) != NULL;
    ok &= (hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL)) != NULL;
    ok &= (tls = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL)) != NULL;
    ok &= (x963 = EVP_KDF_fetch(NULL, "X963KDF", NULL)) != NULL;
    ok &= (one_step = EVP_KDF_fetch(NULL, "SSKDF", NULL)) != NULL;
    for (size_t j = 0; j < SIZES; j++)
        ok &= kp_aead_open(kp_cipher_name("GCM", 16 + 8 * j), kp_cipher("GCM", 16 + 8 * j));
    ok &= kp_aead_open(kp_cipher_name("CHACHA20-POLY1305", 32), kp_cipher("CHACHA20-POLY1305", 32));
    return ok;
}

int kp_crypto_open(void)
{
    uint64_t options = OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_ADD_ALL_CIPHERS |
                       OPENSSL_INIT_ADD_ALL_DIGESTS;

    if (CRYPTO_set_mem_functions(arena_malloc, arena_realloc, arena_free) != 1)
        return -1;
    if (OPENSSL_init_crypto(options, NULL) != 1)
        return -1;
    kp_pq_open();
    ERR_clear_error(); /* of what this OpenSSL does not have */
    return fetch_all() ? 0 : -1;
}

static bool find_cipher(const char *mode, size_t key_bytes, size_t *row, size_t *size)
{
    for (*row = 0; *row < CIPHERS; ++*row)
        for (*size = 0; *size < SIZES; ++*size)
            if (key_bytes && ciphers[*row].bytes[*size] == key_bytes && strcmp(ciphers[*row].mode, mode) == 0)
                return true;
    return false;
}

const EVP_CIPHER *kp_cipher(const char *mode, size_t key_bytes)
{
    size_t row, size;

    return find_cipher(mode, key_bytes, &row, &size) ? ciphers[row].cipher[size] : NULL;
}

const char *kp_cipher_name(const char *mode, size_t key_bytes)
{
    size_t row, size;

    return find_cipher(mode, key_bytes, &row, &size) ? ciphers[row].name[size] : NULL;
}

const EVP_MD *kp_md(const char *name)
{
    for (size_t i = 0; i < DIGESTS && name; i++)
        if (strcmp(digests[i].name, name) == 0)
            return digests[i].md;
    return NULL;
}

const EVP_MD *kp_md_of_mechanism(uint64_t mechanism)
{
    for (size_t i = 0; i < DIGESTS; i++)
        if (mechanism != NONE && digests[i].mechanism == mechanism)
            return digests[i].md;
    return NULL;
}

const EVP_MD *kp_md_of_mgf(uint64_t mgf)
{
    for (size_t i = 0; i < DIGESTS; i++)
        if (mgf != NONE && digests[i].mgf == mgf)
            return digests[i].md;
    return NULL;
}

const EVP_MD *kp_md_of_kdf(uint64_t kdf)
{
    for (size_t i = 0; i < DIGESTS; i++)
        if (kdf != NONE && (digests[i].kdf == kdf || digests[i].sp800 == kdf))
            return digests[i].md;
    return NULL;
}

EVP_KDF *kp_kdf_of(uint64_t kdf)
{
    for (size_t i = 0; i < DIGESTS; i++)
        if (kdf != NONE && digests[i].sp800 == kdf)
            return one_step;
    return x963;
}

EVP_MAC *kp_mac_hmac(void) { return hmac; }
EVP_MAC *kp_mac_cmac(void) { return cmac; }
EVP_MAC *kp_mac_poly1305(void) { return poly1305; }
EVP_MAC *kp_mac_blake2b(void) { return blake2b; }
EVP_KDF *kp_kdf_hkdf(void) { return hkdf; }
EVP_KDF *kp_kdf_tls(void) { return tls; }

void kp_crypto_try(void) { was_short = false; }

int kp_crypto_failed(int status)
{
    ERR_clear_error();
    return was_short ? STATUS_memory : status;
}

void kp_random(void *bytes, size_t length)
{
    for (size_t at = 0; at < length;) {
        ssize_t got = getrandom((char *)bytes + at, length - at, 0);

        if (got < 0 && errno != EINTR)
            abort();
        at += got > 0 ? (size_t)got : 0;
    }
}

bool kp_reseed(void)
{
    unsigned char fresh[32];
    EVP_RAND_CTX *rand = RAND_get0_private(NULL);
    bool ok;

    kp_random(fresh, sizeof(fresh));
    ok = rand && EVP_RAND_reseed(rand, 0, NULL, 0, fresh, sizeof(fresh)) == 1;
    OPENSSL_cleanse(fresh, sizeof(fresh));
    return ok;
}
