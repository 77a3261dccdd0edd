/* The PRF of TLS 1.2 (RFC 5246, 5), and that of TLS 1.0 and 1.1 (RFC 2246, 5). */
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "../crypto.h"
#include "cryptoki.h"
#include "engine.h"

enum { SEED_PIECES = 3 };

static OSSL_PARAM octets(const char *name, struct wire_bytes bytes)
{
    return OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)bytes.data, bytes.length);
}

int kp_tls_prf(uint64_t hash, struct wire_bytes secret, struct wire_bytes label, const struct wire_bytes seed[3],
               uint8_t *out, size_t length)
{
    const EVP_MD *md = hash == CKM_TLS_PRF ? kp_md("MD5-SHA1") : kp_md_of_mechanism(hash);
    OSSL_PARAM params[4 + SEED_PIECES], *next = params;
    EVP_KDF_CTX *ctx;
    bool ok;

    if (hash == CKM_SSL3_MASTER_KEY_DERIVE)
        return kp_ssl3_prf(secret, seed, out, length);
    if (!md)
        return STATUS_mechanism_param_invalid;
    *next++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)EVP_MD_get0_name(md), 0);
    *next++ = octets(OSSL_KDF_PARAM_SECRET, secret);
    if (label.length)
        *next++ = octets(OSSL_KDF_PARAM_SEED, label);
    for (int i = 0; i < SEED_PIECES; i++)
        if (seed[i].length)
            *next++ = octets(OSSL_KDF_PARAM_SEED, seed[i]);
    *next = OSSL_PARAM_construct_end();
    ctx = EVP_KDF_CTX_new(kp_kdf_tls());
    ok = ctx && EVP_KDF_derive(ctx, out, length, params) == 1; /* more seed than OpenSSL has room for fails */
    EVP_KDF_CTX_free(ctx);
    return ok ? STATUS_ok : STATUS_mechanism_param_invalid;
}
