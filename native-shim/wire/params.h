/*
 * Mechanism parameters as they travel: a byte string whose content follows the mechanism's layout. The module makes it from
 * the caller's C structure, the keeper reads it; neither sends a pointer or a host structure.
 *
 *   none                                    empty
 *   iv16, iv8, iv8_optional, iv4_optional   the bytes of the initial value (optional: possibly none)
 *   ctr       u32 counter bits, bytes counter block (16)
 *   gcm       bytes iv (1..256), bytes associated data, u32 tag bits
 *   pss       u64 hash (CKM_), u64 mgf (CKG_), u64 salt length
 *   oaep      u64 hash, u64 mgf, bytes label (source data; may be empty)
 *   ecdh1     u64 kdf (CKD_), bytes shared data, bytes public point (raw or DER OCTET STRING)
 *   eddsa     u8 present, u8 prehash, bytes context (at most 255)
 *   mac_length  u32 bytes of the code (1..64; the engine knows the greatest)
 *   ccm       u64 bytes of data (at most WIRE_DATA_MAX), bytes nonce (7..13), bytes associated data, u32 tag bits
 *   chacha20  bytes counter (4 or 8, little-endian), bytes nonce (12 with a counter of 4, 8 with one of 8)
 *   chacha20_poly1305  bytes nonce (12), bytes associated data
 *   digest_state  empty or, to go on with a digest, its state (wire/digest_state.h); no caller gives it as a parameter
 *   position  u32 of a bit, the most significant one of the first byte being 0
 *   public    the bytes of the other side's public value (1..1032)
 *   data      bytes
 *   iv_data   bytes iv (16), bytes
 *   iv8_data  bytes iv (8), bytes
 *   key       u64 handle of a second key
 *   hkdf      u64 handle of the key that is the salt (0: none), u32 steps (1 extract, 2 expand, 3 both), u64 hash (CKM_), bytes salt, bytes info
 *   ike       u64 handle of the new key or of the seed's (0: none), u64 prf (CKM_), u8 whether the nonces are the key, bytes initiator's nonce,
 *             bytes responder's nonce or seed
 *   rsa_aes   u32 bits of the AES key, then as oaep
 *   ecdh_aes  u32 bits of the AES key, u64 kdf (CKD_), bytes shared data
 *   pbkdf2    u64 prf (CKP_), u64 iterations, bytes salt; the password travels beside it, as material
 *   version   the bytes major, minor
 *   tls_master  u8 part (enum wire_tls_part: master or version), u64 hash, bytes client random, bytes server random; of an extended
 *             master secret the session hash, and no bytes
 *   tls_keys  u8 part (one of the six of a key block), u64 hash, both randoms, u32 bytes of a MAC secret, of a key, of an IV
 *   tls_kdf   u64 hash, both randoms, bytes label, u8 present, bytes context
 *   tls_mac   u64 hash, u32 bytes of the code, u8 from (1 server, 2 client)
 *   kbkdf     u32 bytes of other keys before this one, u32 bytes of all keys (0: this is the only one), u64 prf (CKM_), bytes iv, bytes fields;
 *             fields: each u8 kind (CK_SP800_108_), u8 little-endian, u8 bits, u8 method, bytes value
 *   sign_context       u8 hedge (CKH_), bytes context (at most 255)
 *   hash_sign_context  u64 hash (CKM_) that the caller made, then as sign_context
 */
#ifndef SIDEKEY_WIRE_PARAMS_H
#define SIDEKEY_WIRE_PARAMS_H

#include "buffer.h"
#include "mechanism.h"

/* What one derivation of TLS 1.2 makes: PKCS#11 has several results in one call, the module asks for each. */
enum wire_tls_part {
    TLS_CLIENT_MAC,
    TLS_SERVER_MAC,
    TLS_CLIENT_KEY,
    TLS_SERVER_KEY,
    TLS_CLIENT_IV,
    TLS_SERVER_IV,
    TLS_MASTER,
    TLS_VERSION
};

struct wire_params {
    struct wire_bytes iv;      /* version; tls_*'s client random; ike's first nonce; iv*, ctr's counter block, gcm, ccm, chacha20; hkdf's and pbkdf2's salt */
    struct wire_bytes aad;     /* kbkdf's fields; gcm; labels of oaep and tls_kdf; ecdh1's shared data; context of eddsa and sign_context; data; hkdf's info; ike's second nonce or seed */
    struct wire_bytes point;   /* tls_*'s server random; ecdh1; public; chacha20's counter */
    uint64_t hash, mgf;        /* pss, oaep; ecdh1's kdf and pbkdf2's prf are in hash */
    uint64_t salt_length;      /* pss */
    uint64_t data_length;      /* ccm */
    uint64_t count;            /* pbkdf2's iterations */
    uint64_t key;              /* handle of a second key: key, hkdf, ike */
    uint32_t bits;             /* of the AES key of ecdh_aes; tag of gcm, ccm; ctr's counter; mac_length's bytes; hkdf's steps; rsa_aes */
    bool present, prehash;     /* eddsa; tls_kdf's context; ike: the nonces are the key */
    struct wire_bytes context; /* tls_kdf */
    uint32_t sizes[3];         /* tls_keys: bytes of a MAC secret, of a key, of an IV; kbkdf: bytes before, of all */
    uint8_t part;              /* tls_master, tls_keys; tls_mac's from */
    uint8_t hedge;             /* sign_context: CKH_ */
};

/* Whether wire_params_read would take what wire_params_write makes of it. */
bool wire_params_fit(enum wire_layout layout, const struct wire_params *p);

/* Reads and checks what the layout alone can say. False: refuse with STATUS_mechanism_param_invalid. */
bool wire_params_read(enum wire_layout layout, struct wire_bytes bytes, struct wire_params *out);

/* Writes what wire_params_read reads. */
void wire_params_write(enum wire_layout layout, const struct wire_params *p, struct wire_writer *w);

#endif
