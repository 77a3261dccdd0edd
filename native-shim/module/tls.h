/*
 * Derivations of TLS that have more than one result (PKCS#11 3.1, 6.38): each is a derivation of its own, and what was made
 * before one that failed is destroyed.
 */
#ifndef SIDEKEY_MODULE_TLS_H
#define SIDEKEY_MODULE_TLS_H

#include "guard.h"
#include "mechanism_read.h"

/* CK_SSL3_RANDOM_DATA */
struct sk_tls_randoms {
    CK_BYTE *client;
    CK_ULONG client_len;
    CK_BYTE *server;
    CK_ULONG server_len;
};

/* CK_TLS12_MASTER_KEY_DERIVE_PARAMS; CK_SSL3_MASTER_KEY_DERIVE_PARAMS has no hash, and an extended one the session hash for randoms */
struct sk_tls_master_params {
    struct sk_tls_randoms randoms;
    CK_VERSION *version;
    CK_MECHANISM_TYPE hash;
};

/* CK_SSL3_KEY_MAT_OUT: MAC secrets and keys by enum wire_tls_part, then the initial values. */
struct sk_tls_keys_out {
    CK_OBJECT_HANDLE keys[4];
    CK_BYTE *iv[2];
};

/* CK_TLS12_KEY_MAT_PARAMS; CK_SSL3_KEY_MAT_PARAMS has no hash */
struct sk_tls_keys_params {
    CK_ULONG mac_bits;
    CK_ULONG key_bits;
    CK_ULONG iv_bits;
    CK_BBOOL is_export;
    struct sk_tls_randoms randoms;
    struct sk_tls_keys_out *out;
    CK_MECHANISM_TYPE hash;
};

/* Of TLS 1.0 and 1.1 as well, whose hash is then CKM_TLS_PRF, and of SSL 3.0: CKM_SSL3_MASTER_KEY_DERIVE. */
bool sk_tls_master_params(const CK_MECHANISM *m, struct sk_tls_master_params *out);
bool sk_tls_keys_params(const CK_MECHANISM *m, struct sk_tls_keys_params *out);

/* CK_TLS_PRF_PARAMS */
struct sk_tls_prf_params {
    CK_BYTE *seed;
    CK_ULONG seed_len;
    CK_BYTE *label;
    CK_ULONG label_len;
    CK_BYTE *out;
    CK_ULONG *out_len;
};

/* CKM_TLS_PRF: bytes for the caller, into what the parameter points to. */
CK_RV sk_tls_prf(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE base);

/* The master secret and, where the parameter has room for it, the version in the pre-master secret. */
CK_RV sk_tls_master(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE base, const CK_ATTRIBUTE *attributes,
                    CK_ULONG count, CK_OBJECT_HANDLE *out);

/* MAC secrets, keys and IVs, into the structure that the parameter points to. The template is that of the keys. */
CK_RV sk_tls_keys(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE base, const CK_ATTRIBUTE *attributes,
                  CK_ULONG count);

#endif
