/*
 * Keys of IKE (PKCS#11 3.1, CKM_IKE_PRF_DERIVE and CKM_IKE2_PRF_PLUS_DERIVE; RFC 7296, 2.13 to 2.18): SKEYSEED, of the nonces and what
 * was agreed on or of an older key, and prf+, out of which the keys of an association are cut. The PRF is an HMAC.
 */
#include <openssl/core_names.h>
#include <openssl/params.h>

#include "../arena.h"
#include "../crypto.h"
#include "cryptoki.h"
#include "engine.h"
#include "mechanism.h"

enum { PIECES = 4, RUNS_MAX = 255, BLOCK_MAX = 64 };

/* The digest of the PRF, or NULL. */
static const EVP_MD *digest_of(uint64_t prf)
{
    const struct wire_mechanism *m = wire_mechanism_find(prf);

    return m && m->engine == ENGINE_hmac && m->layout == LAYOUT_none ? kp_md(m->algorithm) : NULL;
}

static bool prf(const EVP_MD *md, struct wire_bytes key, const struct wire_bytes pieces[PIECES], uint8_t out[BLOCK_MAX])
{
    OSSL_PARAM params[2] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)EVP_MD_get0_name(md), 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(kp_mac_hmac());
    bool ok = ctx && EVP_MAC_init(ctx, key.data, key.length, params) == 1;

    for (int i = 0; ok && i < PIECES; i++)
        ok = pieces[i].length == 0 || EVP_MAC_update(ctx, pieces[i].data, pieces[i].length) == 1;
    ok = ok && EVP_MAC_final(ctx, out, NULL, BLOCK_MAX) == 1;
    EVP_MAC_CTX_free(ctx);
    return ok;
}

static int check(const struct kp_derivation *d, const EVP_MD *md)
{
    if (d->base->type != CKK_GENERIC_SECRET || (d->other && d->other->type != CKK_GENERIC_SECRET))
        return STATUS_key_type_inconsistent;
    return md && (size_t)EVP_MD_get_size(md) <= BLOCK_MAX ? STATUS_ok : STATUS_mechanism_param_invalid;
}

/* prf(Ni | Nr, base), or prf(base, new key | Ni | Nr). */
static bool seed_key(const struct kp_derivation *d, const EVP_MD *md, uint8_t out[BLOCK_MAX])
{
    const struct wire_params *p = &d->params;
    struct wire_bytes base = d->base->secret, other = d->other ? d->other->secret : (struct wire_bytes){NULL, 0};
    uint8_t *nonces;
    struct wire_writer w;
    bool ok;

    if (!p->present)
        return prf(md, base, (struct wire_bytes[PIECES]){other, p->iv, p->aad}, out);
    nonces = kp_alloc(p->iv.length + p->aad.length);
    if (!nonces)
        return false;
    wire_writer_init(&w, nonces, p->iv.length + p->aad.length);
    wire_write_raw(&w, p->iv.data, p->iv.length);
    wire_write_raw(&w, p->aad.data, p->aad.length);
    ok = prf(md, (struct wire_bytes){nonces, wire_written(&w)}, (struct wire_bytes[PIECES]){base}, out);
    kp_free(nonces);
    return ok;
}

int kp_ike_prf(const struct kp_derivation *d, struct wire_writer *out)
{
    const EVP_MD *md = digest_of(d->params.hash);
    int status = check(d, md);
    uint8_t block[BLOCK_MAX];
    size_t made;

    if (status != STATUS_ok)
        return status;
    if (d->params.iv.length == 0 || d->params.aad.length == 0)
        return STATUS_mechanism_param_invalid;
    made = (size_t)EVP_MD_get_size(md);
    if (d->length > made)
        return STATUS_key_size_range;
    if (seed_key(d, md, block))
        wire_write_raw(out, block, d->length ? d->length : made);
    else
        status = STATUS_memory;
    wire_wipe(block, sizeof(block));
    return status;
}

/* T1 = prf(base, seed | 1), T2 = prf(base, T1 | seed | 2), and so on, as many as it takes. */
static bool expand(const struct kp_derivation *d, const EVP_MD *md, struct wire_writer *out)
{
    const size_t made = (size_t)EVP_MD_get_size(md);
    struct wire_bytes other = d->other ? d->other->secret : (struct wire_bytes){NULL, 0};
    uint8_t block[BLOCK_MAX], run = 1;
    bool ok = true;

    for (size_t left = d->length; ok && left > 0; run++) {
        const struct wire_bytes before = {block, run > 1 ? made : 0};
        size_t taken = left < made ? left : made;

        ok = prf(md, d->base->secret, (struct wire_bytes[PIECES]){before, other, d->params.aad, {&run, 1}}, block);
        if (ok)
            wire_write_raw(out, block, taken);
        left -= taken;
    }
    wire_wipe(block, sizeof(block));
    return ok && !out->full;
}

int kp_ike_prf_plus(const struct kp_derivation *d, struct wire_writer *out)
{
    const EVP_MD *md = digest_of(d->params.hash);
    int status = check(d, md);

    if (status != STATUS_ok)
        return status;
    if (d->params.present || d->params.iv.length || (!d->other && d->params.aad.length == 0))
        return STATUS_mechanism_param_invalid;
    if (d->length == 0)
        return STATUS_template_incomplete;
    if (d->length > RUNS_MAX * (size_t)EVP_MD_get_size(md))
        return STATUS_key_size_range;
    return expand(d, md, out) ? STATUS_ok : STATUS_memory;
}
