/* Between the files that make keys: key.c asks by its table, key_rsa.c, key_ec.c, key_ffc.c and key_pq.c know their kind. */
#ifndef SIDEKEY_KEEPER_KEY_KINDS_H
#define SIDEKEY_KEEPER_KEY_KINDS_H

#include <openssl/bn.h>

#include "key.h"

int kp_rsa_import(uint64_t type, bool private, const struct wire_template *t, EVP_PKEY **out);
int kp_rsa_generate(uint64_t type, const struct wire_template *t, EVP_PKEY **out);
/* Whether a key that is made so keeps the conditions of CKM_RSA_X9_31_KEY_PAIR_GEN. */
int kp_rsa_suits_x931(const struct wire_template *t);
/* Writes the components; returns how many, or -1. */
int kp_rsa_write(const EVP_PKEY *pkey, bool private, struct wire_writer *w);

/* EC, Edwards and Montgomery keys; the type chooses which curves are allowed. */
int kp_ec_import(uint64_t type, bool private, const struct wire_template *t, EVP_PKEY **out);
int kp_ec_generate(uint64_t type, const struct wire_template *t, EVP_PKEY **out);
int kp_ec_write(const EVP_PKEY *pkey, bool private, struct wire_writer *w);

/* DSA, DH and X9.42 DH. */
int kp_ffc_import(uint64_t type, bool private, const struct wire_template *t, EVP_PKEY **out);
int kp_ffc_generate(uint64_t type, const struct wire_template *t, EVP_PKEY **out);
int kp_ffc_write(const EVP_PKEY *pkey, bool private, struct wire_writer *w);
uint64_t kp_ffc_type_of(const EVP_PKEY *pkey);

/* ML-KEM, ML-DSA and SLH-DSA, where OpenSSL has them (key_pq.h). */
int kp_pq_import(uint64_t type, bool private, const struct wire_template *t, EVP_PKEY **out);
int kp_pq_generate(uint64_t type, const struct wire_template *t, EVP_PKEY **out);
int kp_pq_write(const EVP_PKEY *pkey, bool private, struct wire_writer *w);
uint64_t kp_pq_type_of(const EVP_PKEY *pkey);

/* The components of any of them, as kp_rsa_write does. */
int kp_kind_write(uint64_t type, const EVP_PKEY *pkey, bool private, struct wire_writer *w);

/* A search for primes that OpenSSL does with `ctx`: it ends when nobody waits for it any more. `search` lives as long. */
struct kp_search {
    uint64_t deadline;
};
void kp_search_begin(struct kp_search *search, EVP_PKEY_CTX *ctx);
/* The status of a search that found nothing. */
int kp_search_failed(const struct kp_search *search);

/* What CKK_ an EVP_PKEY is, or CKK_NONE. */
uint64_t kp_key_type_of(const EVP_PKEY *pkey);

#endif
