/*
 * AES-GCM and ChaCha20-Poly1305 of OpenSSL's provider, called by its own table of functions (provider-cipher(7)) instead of by EVP:
 * of a short message the way through EVP, which asks the provider for its lengths by name each time, is a third of all that is done
 * for it. Where aead_vaes.h is faster, AES-GCM is made by that instead. A context is set up once for a key and a direction, and begun
 * anew for each message. Not for two threads at once.
 */
#ifndef SIDEKEY_KEEPER_AEAD_H
#define SIDEKEY_KEEPER_AEAD_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

struct kp_aead;

/* Finds the functions behind one of OpenSSL's names. Before the filter; false: they are not there. */
bool kp_aead_open(const char *name, const EVP_CIPHER *cipher);

/* Whether ipsec-mb performs AES-GCM. */
bool kp_aead_is_fast(void);

/* NULL: out of memory, or no such cipher. */
struct kp_aead *kp_aead_new(const char *name, struct wire_bytes key, bool encrypts);
void kp_aead_free(struct kp_aead *a);

/* All false when the cipher failed, or took no such initial value or so much data. */
bool kp_aead_begin(struct kp_aead *a, struct wire_bytes iv, struct wire_bytes aad);
bool kp_aead_update(struct kp_aead *a, struct wire_bytes in, uint8_t *out);
bool kp_aead_seal(struct kp_aead *a, uint8_t *tag, size_t length);   /* ends an encryption: its tag */
bool kp_aead_check(struct kp_aead *a, uint8_t *tag, size_t length); /* ends a decryption: whether that is its tag */

#endif
