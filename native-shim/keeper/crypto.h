/*
 * OpenSSL as the keeper uses it: all its memory in the arena, no configuration file, every algorithm fetched at start so
 * that nothing is opened after the seccomp filter is in place.
 */
#ifndef SIDEKEY_KEEPER_CRYPTO_H
#define SIDEKEY_KEEPER_CRYPTO_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The arena must be open, and no other OpenSSL call made before. 0, or -1. Once per process. */
int kp_crypto_open(void);

/* "GCM" and 16, 24 or 32 give AES-128/192/256-GCM; NULL for anything else. Shared, never freed. */
const EVP_CIPHER *kp_cipher(const char *mode, size_t key_bytes);
const char *kp_cipher_name(const char *mode, size_t key_bytes);

/* By OpenSSL's name as mechanisms.def has it; by CKM_ of a digest; by CKG_ of a mask generation; by CKD_ of a KDF. NULL
 * when unknown. */
const EVP_MD *kp_md(const char *name);
const EVP_MD *kp_md_of_mechanism(uint64_t mechanism);
const EVP_MD *kp_md_of_mgf(uint64_t mgf);
const EVP_MD *kp_md_of_kdf(uint64_t kdf);

/* By CKD_: the one step of SP 800-56A, which counts before the secret, else X9.63's, which counts after it. */
EVP_KDF *kp_kdf_of(uint64_t kdf);

EVP_MAC *kp_mac_hmac(void);
EVP_MAC *kp_mac_cmac(void);
EVP_MAC *kp_mac_poly1305(void);
EVP_MAC *kp_mac_blake2b(void);
EVP_KDF *kp_kdf_hkdf(void);
EVP_KDF *kp_kdf_tls(void);

/* What OpenSSL failed of in this thread since kp_crypto_try: `status`, or STATUS_memory when there was none left (which OpenSSL itself
 * does not always say). Clears its queue of errors. */
void kp_crypto_try(void);
int kp_crypto_failed(int status);

/* Fresh bytes from the kernel, never from a generator in this process: a restored snapshot must not repeat them. */
void kp_random(void *bytes, size_t length);

/* Mixes fresh kernel randomness into OpenSSL's generator of this thread, before a key is made with it. */
bool kp_reseed(void);

#endif
