/*
 * CKM_ECDH1_DERIVE and, for curves of prime order the same, its COFACTOR sister (PKCS#11 3.1, 6.3.17): ECDH,
 * then CKD_NULL or a KDF of X9.63 or SP 800-56A. With CKD_NULL a shorter key keeps the trailing bytes: "the truncation removes bytes from
 * the leading end of the secret value".
 */
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "../arena.h"
#include "../crypto.h"
#include "cryptoki.h"
#include "engine.h"
#include "../key_kinds.h"
#include "mechanism.h"

enum { SHARED_MAX = 66 };

/* The other side's public key, as a template with our own curve: one checking path for every point. */
static int peer_key(const struct kp_key *key, struct wire_bytes point, EVP_PKEY **out)
{
    struct wire_template own, t;

    kp_key_components(key, &own);
    if (own.count == 0)
        return STATUS_internal;
    t.at[0] = own.at[0]; /* CKA_EC_PARAMS: kp_ec_write puts it first */
    t.at[1] = (struct wire_attribute){CKA_EC_POINT, point};
    t.count = 2;
    return kp_ec_import(key->type, false, &t, out) == STATUS_ok ? STATUS_ok : STATUS_mechanism_param_invalid;
}

static int agree(const struct kp_key *key, EVP_PKEY *peer, uint8_t *shared, size_t *length)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    int status = STATUS_mechanism_param_invalid;

    if (ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
        EVP_PKEY_derive(ctx, shared, length) == 1)
        status = STATUS_ok;
    EVP_PKEY_CTX_free(ctx);
    return status;
}

static int expand(const struct wire_params *p, const EVP_MD *md, struct wire_bytes shared, size_t length,
                  struct wire_writer *out)
{
    char *name = (char *)(uintptr_t)EVP_MD_get0_name(md);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)shared.data, shared.length),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)p->aad.data, p->aad.length),
        OSSL_PARAM_construct_end(),
    };
    size_t wanted = length ? length : (size_t)EVP_MD_get_size(md);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kp_kdf_of(p->hash));
    uint8_t *at = kp_out_room(out, wanted);
    bool ok;

    if (p->aad.length == 0)
        params[2] = OSSL_PARAM_construct_end();
    ok = ctx && at && EVP_KDF_derive(ctx, at, wanted, params) == 1;
    EVP_KDF_CTX_free(ctx);
    if (!ok)
        return STATUS_internal;
    out->at += wanted;
    return STATUS_ok;
}

static int truncate_leading(struct wire_bytes shared, size_t length, struct wire_writer *out)
{
    size_t wanted = length ? length : shared.length;

    if (wanted > shared.length)
        return STATUS_key_size_range;
    wire_write_raw(out, shared.data + shared.length - wanted, wanted);
    return out->full ? STATUS_memory : STATUS_ok;
}

int kp_agreed(const struct wire_params *p, const EVP_MD *md, struct wire_bytes shared, size_t length, struct wire_writer *out)
{
    return md ? expand(p, md, shared, length, out) : truncate_leading(shared, length, out);
}

int kp_ecdh(const struct kp_derivation *d, struct wire_writer *out)
{
    const struct kp_key *key = d->base;
    const struct wire_params *p = &d->params;
    uint8_t shared[SHARED_MAX];
    struct wire_bytes view = {shared, sizeof(shared)};
    EVP_PKEY *peer = NULL;
    int status;

    if (key->object_class != CKO_PRIVATE_KEY || (key->type != CKK_EC && key->type != CKK_EC_MONTGOMERY))
        return STATUS_key_type_inconsistent;
    if (p->hash == CKD_NULL ? p->aad.length > 0 : !kp_md_of_kdf(p->hash))
        return STATUS_mechanism_param_invalid; /* without a KDF there is nothing to mix shared data into (6.3.18) */
    status = peer_key(key, p->point, &peer);
    if (status == STATUS_ok)
        status = agree(key, peer, shared, &view.length);
    if (status == STATUS_ok)
        status = kp_agreed(p, kp_md_of_kdf(p->hash), view, d->length, out);
    wire_wipe(shared, sizeof(shared));
    EVP_PKEY_free(peer);
    return status;
}
