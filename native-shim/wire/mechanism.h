/*
 * What mechanisms.def says, as data. The table is read-only and shared: the module packs parameters by it, the keeper
 * runs its engines by it.
 */
#ifndef SIDEKEY_WIRE_MECHANISM_H
#define SIDEKEY_WIRE_MECHANISM_H

#include <stddef.h>
#include <stdint.h>

/* The flags of CK_MECHANISM_INFO (PKCS#11 3.1, table 8): written out to keep Cryptoki's names out of the keeper. */
enum {
    CAN_MESSAGE_ENCRYPT = 0x2,
    CAN_MESSAGE_DECRYPT = 0x4,
    CAN_ENCRYPT = 0x100,
    CAN_DECRYPT = 0x200,
    CAN_DIGEST = 0x400,
    CAN_SIGN = 0x800,
    CAN_SIGN_RECOVER = 0x1000,
    CAN_VERIFY = 0x2000,
    CAN_VERIFY_RECOVER = 0x4000,
    CAN_GENERATE = 0x8000,
    CAN_GENERATE_PAIR = 0x10000,
    CAN_WRAP = 0x20000,
    CAN_UNWRAP = 0x40000,
    CAN_DERIVE = 0x80000,
    CAN_EC_F_P = 0x100000,
    CAN_EC_NAMEDCURVE = 0x800000,
    CAN_EC_UNCOMPRESS = 0x1000000,
    CAN_ENCAPSULATE = 0x10000000, /* these two: PKCS#11 3.2 */
    CAN_DECAPSULATE = 0x20000000
};

/* How a mechanism's parameter is laid out: see params.h. */
enum wire_layout {
    LAYOUT_none,
    LAYOUT_iv16,
    LAYOUT_iv8_optional,
    LAYOUT_iv4_optional,
    LAYOUT_ctr,
    LAYOUT_gcm,
    LAYOUT_pss,
    LAYOUT_oaep,
    LAYOUT_ecdh1,
    LAYOUT_eddsa,
    LAYOUT_mac_length,
    LAYOUT_ccm,
    LAYOUT_chacha20,
    LAYOUT_chacha20_poly1305,
    LAYOUT_data,
    LAYOUT_iv_data,
    LAYOUT_hkdf,
    LAYOUT_rsa_aes,
    LAYOUT_iv8,
    LAYOUT_pbkdf2,
    LAYOUT_key,
    LAYOUT_version,
    LAYOUT_tls_master,
    LAYOUT_tls_keys,
    LAYOUT_tls_kdf,
    LAYOUT_tls_mac,
    LAYOUT_kbkdf,
    LAYOUT_ecdh_aes,
    LAYOUT_public,
    LAYOUT_sign_context,
    LAYOUT_hash_sign_context,
    LAYOUT_digest_state,
    LAYOUT_position,
    LAYOUT_iv8_data,
    LAYOUT_ike
};
enum { WIRE_LAYOUTS = LAYOUT_ike + 1 };

/* Where a mechanism may be used: see mechanisms.def. */
enum wire_standing { STANDING_approved, STANDING_other, STANDING_legacy };

/* Which part of the keeper does the work. */
enum wire_engine {
    ENGINE_generate,
    ENGINE_cipher,
    ENGINE_cipher_pad,
    ENGINE_ctr,
    ENGINE_gcm,
    ENGINE_cmac,
    ENGINE_key_wrap,
    ENGINE_hmac,
    ENGINE_digest,
    ENGINE_rsa_pkcs,
    ENGINE_rsa_oaep,
    ENGINE_rsa_pss,
    ENGINE_ecdsa,
    ENGINE_eddsa,
    ENGINE_ecdh,
    ENGINE_ccm,
    ENGINE_gmac,
    ENGINE_cts,
    ENGINE_xts,
    ENGINE_chacha,
    ENGINE_poly1305,
    ENGINE_key_wrap_pkcs7,
    ENGINE_encrypt_data,
    ENGINE_rsa_x509,
    ENGINE_rsa_aes,
    ENGINE_hkdf,
    ENGINE_combine,
    ENGINE_pbkdf2,
    ENGINE_digest_key,
    ENGINE_tls_master,
    ENGINE_tls_keys,
    ENGINE_tls_kdf,
    ENGINE_tls_mac,
    ENGINE_ssl3_mac,
    ENGINE_kbkdf,
    ENGINE_ecdh_aes,
    ENGINE_domain,
    ENGINE_dh,
    ENGINE_dsa,
    ENGINE_cbc_mac,
    ENGINE_blake2b_mac,
    ENGINE_pq_sign,
    ENGINE_pq_sign_digest,
    ENGINE_kem,
    ENGINE_sha,
    ENGINE_blake2b,
    ENGINE_blake2b_key,
    ENGINE_x931,
    ENGINE_stream,
    ENGINE_ike_prf,
    ENGINE_ike_prf_plus
};
enum { WIRE_ENGINES = ENGINE_ike_prf_plus + 1 };

struct wire_mechanism {
    uint64_t type; /* CKM_ */
    const char *name;
    enum wire_layout layout;
    uint64_t key_type; /* CKK_, or all ones where no key is used */
    uint32_t flags;    /* CAN_ */
    uint32_t min, max; /* of the key, in PKCS#11's unit for it */
    enum wire_engine engine;
    const char *algorithm; /* OpenSSL's name of the mode, cipher or digest; NULL where the engine needs none */
    enum wire_standing standing;
};

extern const struct wire_mechanism wire_mechanisms[];
extern const size_t wire_mechanisms_count;

/* The row of a mechanism, or NULL. */
const struct wire_mechanism *wire_mechanism_find(uint64_t type);

#endif
