/*
 * One cryptographic operation from begin to finish, whatever the mechanism: a row of mechanisms.def names its engine, and
 * the table in engine.c has one engine per name. An operation belongs to one thread at a time. Functions give a
 * wire_status; any but STATUS_ok leaves the operation fit only for kp_op_end. Nothing is kept of the views passed in.
 */
#ifndef SIDEKEY_KEEPER_ENGINE_H
#define SIDEKEY_KEEPER_ENGINE_H

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "../blake2b.h"
#include "../context.h"
#include "frame.h"
#include "../key.h"
#include "params.h"

struct kp_aead;
struct kp_straight;
struct kp_engine;

union kp_sha {
    SHA_CTX sha1;
    SHA256_CTX sha256;
    SHA512_CTX sha512;
    struct kp_blake2b blake2b;
};

struct kp_op {
    const struct wire_mechanism *mechanism;
    const struct kp_engine *engine;
    enum wire_operation operation;
    struct kp_key *key; /* NULL for a digest */
    EVP_CIPHER_CTX *cipher;
    EVP_MD_CTX *md;
    EVP_MAC_CTX *mac;
    EVP_PKEY_CTX *pkey;
    struct kp_aead *aead;
    struct kp_context *context; /* where they were kept */
    bool warm;                  /* they were used before, with this key: begin sets what differs */
    bool sound;                 /* nothing failed: they may be used again */
    uint64_t total;      /* bytes in so far */
    uint64_t blocks;     /* ctr: blocks that the counter still allows */
    uint32_t tag;        /* gcm: bytes of the tag; of a code that is cut; ecdsa, dsa: of the group's order */
    uint64_t hash;       /* tls_mac: CKM_ */
    bool from_server;    /* tls_mac */
    bool deterministic;  /* pq_sign */
    uint8_t *data;       /* input gathered until it can be used; then output that waits to be fetched */
    size_t length, room; /* of data */
    union kp_sha sha;    /* sha, blake2b */
    size_t given;        /* output fetched so far */
    struct kp_straight *straight; /* while one part of it runs; NULL: there is none */
};

struct kp_engine {
    int (*begin)(struct kp_op *op, const struct wire_params *p);
    int (*update)(struct kp_op *op, struct wire_bytes in, struct wire_writer *out);
    int (*finish)(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out);
    void (*describe)(const struct kp_op *op, uint8_t *rule, uint32_t *size);
    bool keeps; /* its begin can do with warm contexts: see context.h */
};

/* Whether the mechanism is one for keys of this type: triple DES takes those of two keys as well. */
bool kp_mechanism_takes(const struct wire_mechanism *m, uint64_t key_type);

/* Checks mechanism, operation, key and parameter against each other and begins. `op` needs no other preparation and
 * must be ended also when this fails. Takes a reference on the key. */
int kp_op_begin(struct kp_op *op, uint64_t mechanism, enum wire_operation operation, struct kp_key *key,
                struct wire_bytes params);

/* The same with the caller's reference on the key, which it takes over also when it fails. */
int kp_op_begin_with(struct kp_op *op, uint64_t mechanism, enum wire_operation operation, struct kp_key *key,
                     struct wire_bytes params);

/* Output goes to the writer, as it comes. */
int kp_op_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out);

/* `in` is the last of the input; `signature` is for verify. */
int kp_op_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out);

/* True when finish left output behind, which kp_op_more then gives, kp_out_max bytes at a time. */
bool kp_op_has_more(const struct kp_op *op);
void kp_op_more(struct kp_op *op, struct wire_writer *out);

/* The state of a digest under way (wire/digest_state.h). STATUS_function_not_supported where there is none to be had. */
int kp_op_save(const struct kp_op *op, struct wire_writer *out);

/* Wipes and frees everything that the operation holds. */
void kp_op_end(struct kp_op *op);

/* The rule and size of bind_check. */
void kp_op_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size);

/* One operation at once. */
int kp_op_once(uint64_t mechanism, enum wire_operation operation, struct kp_key *key, struct wire_bytes params,
               struct wire_bytes in, struct wire_writer *out);

/* Keys from keys. */
struct kp_derivation {
    const struct wire_mechanism *mechanism;
    struct kp_key *base;
    struct kp_key *other; /* the second key where the parameter names one, else NULL */
    struct wire_params params;
    size_t length; /* that is wanted, in bytes; 0: all there are */
};

/* Output goes to `out`, which has room for WIRE_COMPONENT_MAX. */
int kp_derive(uint64_t mechanism, struct kp_key *base, struct kp_key *other, struct wire_bytes params, size_t length,
              struct wire_writer *out);

/* Application data in one reply: what carries it has room for WIRE_DATA_MAX or RING_DATA_MAX. */
size_t kp_out_max(const struct wire_writer *out);

/* For kp_derive: one engine each. */
typedef int kp_derive_function(const struct kp_derivation *d, struct wire_writer *out);
kp_derive_function kp_ecdh, kp_dh, kp_blake2b_key, kp_encrypt_data, kp_hkdf, kp_combine, kp_pbkdf2, kp_digest_key, kp_tls_master, kp_tls_keys,
    kp_tls_kdf, kp_kbkdf, kp_ike_prf, kp_ike_prf_plus;

/* A key out of a secret that was agreed on: the KDF's by CKD_ and hash, or the secret itself, whose trailing bytes a shorter key keeps. */
int kp_agreed(const struct wire_params *p, const EVP_MD *md, struct wire_bytes shared, size_t length, struct wire_writer *out);

/* The PRF of TLS 1.2 (RFC 5246, 5), or with CKM_TLS_PRF as hash that of TLS 1.0 and 1.1, over label and up to three more pieces of seed: `length` bytes to `out`. */
int kp_tls_prf(uint64_t hash, struct wire_bytes secret, struct wire_bytes label, const struct wire_bytes seed[3],
               uint8_t *out, size_t length);

/* What SSL 3.0 has in its place (RFC 6101, 6.1): letters for a label. kp_tls_prf comes here by CKM_SSL3_MASTER_KEY_DERIVE as hash. */
int kp_ssl3_prf(struct wire_bytes secret, const struct wire_bytes seed[3], uint8_t *out, size_t length);

/* CKM_RSA_AES_KEY_WRAP, which wraps and nothing else. */
int kp_rsa_aes_wrap(struct kp_key *by, struct wire_bytes params, struct wire_bytes plain, struct wire_writer *out);
int kp_rsa_aes_unwrap(struct kp_key *by, struct wire_bytes params, struct wire_bytes wrapped, struct wire_writer *plain);

/* CKM_ECDH_AES_KEY_WRAP likewise. */
int kp_ecdh_aes_wrap(struct kp_key *by, struct wire_bytes params, struct wire_bytes plain, struct wire_writer *out);
int kp_ecdh_aes_unwrap(struct kp_key *by, struct wire_bytes params, struct wire_bytes wrapped, struct wire_writer *plain);

/* CKM_ML_KEM: a shared secret and what carries it to the owner of the private key, whose `out` gives it again. `secret` has room
 * for WIRE_COMPONENT_MAX. */
int kp_encapsulate(uint64_t mechanism, struct kp_key *to, struct wire_bytes params, struct wire_writer *secret,
                   struct wire_writer *ciphertext);
int kp_decapsulate(uint64_t mechanism, struct kp_key *by, struct wire_bytes params, struct wire_bytes ciphertext,
                   struct wire_writer *secret);

/* For engines: room for `length` bytes of output, or NULL. */
uint8_t *kp_out_room(const struct wire_writer *out, size_t length);

/*
 * For engines that need all of their input at once. It is kept in ordinary memory (it is not a key), bounded by `max` per
 * operation and by a bound for all, and wiped. kp_gathered gives everything with `in` at its end.
 */
int kp_gather(struct kp_op *op, struct wire_bytes in, size_t max);
int kp_gathered(struct kp_op *op, struct wire_bytes in, size_t max, struct wire_bytes *all);

/* Verifying: length first, then content in constant time. */
int kp_compare(const uint8_t *mine, size_t length, struct wire_bytes signature);

/* The end of a code that was made: it is compared with what the caller gave, or given to it. The caller wipes it. */
int kp_mac_end(const struct kp_op *op, const uint8_t *code, size_t length, struct wire_bytes signature, struct wire_writer *out);

/* For engines whose op->md signs or verifies: more of what is hashed. */
int kp_hash_update(struct kp_op *op, struct wire_bytes in);

/* Of engines whose output has op->tag bytes. */
void kp_tag_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size);

static inline bool kp_op_encrypts(const struct kp_op *op) { return op->operation == WIRE_ENCRYPT; }
static inline bool kp_op_verifies(const struct kp_op *op) { return op->operation == WIRE_VERIFY; }

/* Of an RSA key. */
static inline size_t kp_modulus_bytes(const struct kp_op *op) { return (op->key->bits + 7) / 8; }

extern const struct kp_engine kp_engine_cipher, kp_engine_ctr, kp_engine_stream, kp_engine_gcm, kp_engine_key_wrap, kp_engine_mac,
    kp_engine_digest, kp_engine_rsa_pkcs, kp_engine_rsa_oaep, kp_engine_rsa_pss, kp_engine_ecdsa, kp_engine_eddsa,
    kp_engine_ccm, kp_engine_gmac, kp_engine_whole, kp_engine_chacha, kp_engine_poly1305, kp_engine_key_wrap_pkcs7,
    kp_engine_rsa_x509, kp_engine_tls_mac, kp_engine_cbc_mac, kp_engine_blake2b_mac, kp_engine_pq_sign, kp_engine_pq_sign_digest,
    kp_engine_sha, kp_engine_blake2b, kp_engine_x931, kp_engine_ssl3_mac;

#endif
