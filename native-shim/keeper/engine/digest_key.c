/*
 * CKM_SHA*_KEY_DERIVATION (PKCS#11 3.1, 6.19 ff.): the hash of a key's value is the new key; what is too much is dropped from its
 * trailing end. SHAKE gives as much as is asked for.
 */
#include "../crypto.h"
#include "cryptoki.h"
#include "engine.h"
#include "mechanism.h"

static bool hash(const struct kp_derivation *d, const EVP_MD *md, bool extends, size_t length, uint8_t *at)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex2(ctx, md, NULL) == 1 &&
              EVP_DigestUpdate(ctx, d->base->secret.data, d->base->secret.length) == 1 &&
              (extends ? EVP_DigestFinalXOF(ctx, at, length) : EVP_DigestFinal_ex(ctx, at, NULL)) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

int kp_digest_key(const struct kp_derivation *d, struct wire_writer *out)
{
    const EVP_MD *md = kp_md(d->mechanism->algorithm);
    bool extends = (EVP_MD_get_flags(md) & EVP_MD_FLAG_XOF) != 0;
    size_t size = extends ? d->length : (size_t)EVP_MD_get_size(md), wanted = d->length ? d->length : size;
    uint8_t *at = kp_out_room(out, wanted > EVP_MAX_MD_SIZE ? wanted : EVP_MAX_MD_SIZE);

    if (d->base->object_class != CKO_SECRET_KEY)
        return STATUS_key_type_inconsistent;
    if (wanted == 0)
        return STATUS_template_incomplete;
    if (wanted > size)
        return STATUS_key_size_range;
    if (!at)
        return STATUS_memory;
    if (!hash(d, md, extends, wanted, at))
        return STATUS_internal;
    wire_wipe(at + wanted, extends ? 0 : size - wanted);
    out->at += wanted;
    return STATUS_ok;
}
