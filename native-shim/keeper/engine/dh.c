/*
 * CKM_DH_PKCS_DERIVE and CKM_X9_42_DH_DERIVE (PKCS#11 3.1, 6.4.5, 6.4.11): the secret has the prime's length; without a KDF a
 * shorter key keeps its trailing bytes. Of X9.42's two KDFs there is the one that concatenates.
 */
#include <openssl/dh.h>

#include "../arena.h"
#include "../crypto.h"
#include "cryptoki.h"
#include "engine.h"
#include "../key_kinds.h"
#include "mechanism.h"

enum { SHARED_MAX = 8192 / 8, KDF_CONCATENATE = 4 /* CKD_SHA1_KDF_CONCATENATE */ };

/* The other side's value as a key with our own domain parameters: one checking path for every public value. */
static int peer_key(const struct kp_key *key, struct wire_bytes value, EVP_PKEY **out)
{
    struct wire_template t;
    int status;

    kp_key_components(key, &t);
    if (t.count == 0)
        return STATUS_internal;
    t.at[t.count - 1] = (struct wire_attribute){CKA_VALUE, value}; /* our own: kp_ffc_write puts it last */
    status = kp_ffc_import(key->type, false, &t, out);
    return status == STATUS_ok || status == STATUS_memory ? status : STATUS_mechanism_param_invalid;
}

static int agree(const struct kp_key *key, EVP_PKEY *peer, struct wire_bytes *shared, uint8_t *at)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    int status = STATUS_mechanism_param_invalid;

    *shared = (struct wire_bytes){at, SHARED_MAX};
    kp_crypto_try();
    if (ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_CTX_set_dh_pad(ctx, 1) == 1 &&
        EVP_PKEY_derive_set_peer(ctx, peer) == 1 && EVP_PKEY_derive(ctx, at, &shared->length) == 1)
        status = STATUS_ok;
    EVP_PKEY_CTX_free(ctx);
    return status == STATUS_ok ? status : kp_crypto_failed(status);
}

/* The parameter of PKCS #3 is a public value and nothing else. */
static bool is_kdf(const struct kp_derivation *d)
{
    const uint64_t kdf = d->params.hash;

    return d->mechanism->layout == LAYOUT_public || kdf == CKD_NULL || kdf == KDF_CONCATENATE;
}

int kp_dh(const struct kp_derivation *d, struct wire_writer *out)
{
    const struct wire_params *p = &d->params;
    const EVP_MD *md = p->hash == KDF_CONCATENATE ? kp_md("SHA1") : NULL;
    struct wire_bytes shared;
    EVP_PKEY *peer = NULL;
    uint8_t *at;
    int status;

    if (d->base->object_class != CKO_PRIVATE_KEY || d->base->type != d->mechanism->key_type)
        return STATUS_key_type_inconsistent;
    if (!is_kdf(d))
        return STATUS_mechanism_param_invalid;
    at = kp_alloc(SHARED_MAX);
    if (!at)
        return STATUS_memory;
    status = peer_key(d->base, p->point, &peer);
    if (status == STATUS_ok)
        status = agree(d->base, peer, &shared, at);
    if (status == STATUS_ok)
        status = kp_agreed(p, md, shared, d->length, out);
    EVP_PKEY_free(peer);
    kp_free(at);
    return status;
}
