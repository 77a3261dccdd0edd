/* CKM_HKDF_DERIVE and CKM_HKDF_DATA (PKCS#11 3.1, 6.62; RFC 5869): either step or both, with data or a second key as salt. */
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "../crypto.h"
#include "cryptoki.h"
#include "engine.h"
#include "mechanism.h"

enum { EXTRACT = 1, EXPAND = 2, BLOCKS_MAX = 255 };

static int mode_of(uint32_t steps)
{
    if (steps == (EXTRACT | EXPAND))
        return EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
    return steps == EXTRACT ? EVP_KDF_HKDF_MODE_EXTRACT_ONLY : EVP_KDF_HKDF_MODE_EXPAND_ONLY;
}

static int run(const struct kp_derivation *d, const EVP_MD *md, size_t wanted, uint8_t *at)
{
    const struct wire_params *p = &d->params;
    struct wire_bytes key = d->base->secret, salt = d->other ? d->other->secret : p->iv;
    int mode = mode_of(p->bits);
    OSSL_PARAM params[6], *next = params;
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kp_kdf_hkdf());
    bool ok;

    *next++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    *next++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)EVP_MD_get0_name(md), 0);
    *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key.data, key.length);
    if (salt.length)
        *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt.data, salt.length);
    if (p->aad.length)
        *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)p->aad.data, p->aad.length);
    *next = OSSL_PARAM_construct_end();
    ok = ctx && EVP_KDF_derive(ctx, at, wanted, params) == 1;
    EVP_KDF_CTX_free(ctx);
    return ok ? STATUS_ok : STATUS_mechanism_param_invalid;
}

int kp_hkdf(const struct kp_derivation *d, struct wire_writer *out)
{
    const struct wire_params *p = &d->params;
    const EVP_MD *md = kp_md_of_mechanism(p->hash);
    uint8_t *at = kp_out_room(out, WIRE_COMPONENT_MAX);
    size_t hash, wanted;
    int status;

    if (d->base->type != CKK_GENERIC_SECRET || (d->other && d->other->type != CKK_GENERIC_SECRET))
        return STATUS_key_type_inconsistent;
    if (!md)
        return STATUS_mechanism_param_invalid;
    hash = (size_t)EVP_MD_get_size(md);
    wanted = p->bits & EXPAND && d->length ? d->length : hash;
    if (wanted > WIRE_COMPONENT_MAX || wanted > BLOCKS_MAX * hash || d->length > wanted)
        return STATUS_key_size_range;
    if (!at)
        return STATUS_memory;
    status = run(d, md, wanted, at);
    out->at += status == STATUS_ok ? (d->length ? d->length : wanted) : 0;
    return status;
}
