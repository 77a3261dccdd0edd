/*
 * A key in a cell: its components as a template (ARCHITECTURE.md) in the arena, and for an asymmetric key an EVP_PKEY as well.
 * It never changes once made, is shared by reference count, and is wiped with the last reference. Functions return a wire_status:
 * with STATUS_ok the caller gets one reference in the out-parameter, with any other status nothing. Any thread may call,
 * without kp_lock: several of these take milliseconds to minutes.
 */
#ifndef SIDEKEY_KEEPER_KEY_H
#define SIDEKEY_KEEPER_KEY_H

#include <openssl/evp.h>
#include <stdatomic.h>

#include "context.h"
#include "frame.h"
#include "template.h"

struct kp_key {
    atomic_uint refs;
    uint32_t object_class; /* CKO_ */
    uint64_t type;         /* CKK_ */
    uint32_t bits;
    EVP_PKEY *pkey;           /* NULL for a secret key */
    struct kp_contexts contexts;
    struct wire_bytes secret; /* CKA_VALUE of a secret key: a view into components */
    size_t length;
    uint8_t components[]; /* a template */
};

/* Makes a key of components that came from outside. Checks them, and computes the parts that may be missing. */
int kp_key_import(uint32_t object_class, uint64_t type, const struct wire_template *components, struct kp_key **out);

/* A secret key of these bytes: the length must suit the type. */
int kp_key_secret(uint64_t type, const void *bytes, size_t length, struct kp_key **out);

/* The same of bytes that were made or derived here: those of DES first get their parity. */
int kp_key_fresh(uint64_t type, uint8_t *bytes, size_t length, struct kp_key **out);

/* The bytes that OpenSSL's cipher needs for a secret key. For DES, which OpenSSL only has in its legacy provider, this is the key
 * three times, as a key of triple DES. The bytes lie in the key or in `room`, which the caller wipes. */
enum { KP_CIPHER_KEY_ROOM = 24 };
const uint8_t *kp_key_for_cipher(const struct kp_key *key, uint8_t room[KP_CIPHER_KEY_ROOM]);

/* Takes over the EVP_PKEY, also if it fails. */
int kp_key_from_pkey(uint32_t object_class, uint64_t type, EVP_PKEY *pkey, struct kp_key **out);

/* Makes a new key as the template asks (CKA_VALUE_LEN, CKA_MODULUS_BITS, CKA_EC_PARAMS, ...). A secret key begins with the
 * bytes that the mechanism's parameter holds. */
int kp_key_generate(uint64_t mechanism, struct wire_bytes params, uint64_t type, const struct wire_template *wanted,
                    struct kp_key **out);

/* Domain parameters as the template asks (CKA_PRIME_BITS, CKA_SUB_PRIME_BITS), as a template to `w`: no key, nothing secret. */
int kp_domain_generate(uint64_t mechanism, const struct wire_template *wanted, struct wire_writer *w);

/* One more reference, to a key that the caller has already; and one less. Dropping NULL is allowed. */
struct kp_key *kp_key_ref(struct kp_key *key);
void kp_key_drop(struct kp_key *key);

/* The components as a parsed template whose values are views into the key. */
void kp_key_components(const struct kp_key *key, struct wire_template *out);

/* Writes the template of public components that `made` carries, CKA_PUBLIC_KEY_INFO included. */
int kp_key_write_public(const struct kp_key *key, struct wire_writer *w);

/* PKCS#8 of a private key, and back (key type from the content must be `type`). DER in `out` is the caller's to wipe. */
int kp_key_write_pkcs8(const struct kp_key *key, struct wire_writer *w);
int kp_key_read_pkcs8(uint64_t type, const void *der, size_t length, struct kp_key **out);

#endif
