/* Between the files that make keys: key.c asks, key_rsa.c and key_ec.c know their kind. */
#ifndef SIDEKEY_KEEPER_KEY_KINDS_H
#define SIDEKEY_KEEPER_KEY_KINDS_H

#include <openssl/bn.h>

#include "key.h"

int kp_rsa_import(bool private, const struct wire_template *t, EVP_PKEY **out);
int kp_rsa_generate(const struct wire_template *t, EVP_PKEY **out);
/* Writes the components; returns how many, or -1. */
int kp_rsa_write(const EVP_PKEY *pkey, bool private, struct wire_writer *w);

/* EC, Edwards and Montgomery keys; the type chooses which curves are allowed. */
int kp_ec_import(uint64_t type, bool private, const struct wire_template *t, EVP_PKEY **out);
int kp_ec_generate(uint64_t type, const struct wire_template *t, EVP_PKEY **out);
int kp_ec_write(const EVP_PKEY *pkey, bool private, struct wire_writer *w);

/* What CKK_ an EVP_PKEY is, or CKK_NONE. */
uint64_t kp_key_type_of(const EVP_PKEY *pkey);

#endif
