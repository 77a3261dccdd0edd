/* CKM_PKCS5_PBKD2 (PKCS#11 3.1, 6.33; RFC 8018, 5.2): the base is the password. */
#include <openssl/evp.h>

#include "../crypto.h"
#include "cryptoki.h"
#include "engine.h"
#include "mechanism.h"

/* Runs of the PRF in one call: some ten seconds, which a thread of the keeper is taken for. */
enum { RUNS_MAX = 10 * 1000 * 1000 };

/* By CKP_. */
static const EVP_MD *hash_of(uint64_t prf)
{
    static const struct {
        uint64_t prf;
        const char *hash;
    } rows[] = {
        {CKP_PKCS5_PBKD2_HMAC_SHA1, "SHA1"},
        {CKP_PKCS5_PBKD2_HMAC_SHA224, "SHA2-224"},
        {CKP_PKCS5_PBKD2_HMAC_SHA256, "SHA2-256"},
        {CKP_PKCS5_PBKD2_HMAC_SHA384, "SHA2-384"},
        {CKP_PKCS5_PBKD2_HMAC_SHA512, "SHA2-512"},
        {CKP_PKCS5_PBKD2_HMAC_SHA512_224, "SHA2-512/224"},
        {CKP_PKCS5_PBKD2_HMAC_SHA512_256, "SHA2-512/256"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].prf == prf)
            return kp_md(rows[i].hash);
    return NULL;
}

int kp_pbkdf2(const struct kp_derivation *d, struct wire_writer *out)
{
    const struct wire_params *p = &d->params;
    const EVP_MD *md = hash_of(p->hash);
    uint8_t *at = kp_out_room(out, d->length);
    uint64_t blocks;

    if (!md)
        return STATUS_mechanism_param_invalid;
    if (d->length == 0)
        return STATUS_template_incomplete;
    blocks = (d->length + (size_t)EVP_MD_get_size(md) - 1) / (size_t)EVP_MD_get_size(md);
    if (p->count > RUNS_MAX / blocks)
        return STATUS_mechanism_param_invalid;
    if (!at)
        return STATUS_memory;
    if (PKCS5_PBKDF2_HMAC((const char *)d->base->secret.data, (int)d->base->secret.length, p->iv.data, (int)p->iv.length,
                          (int)p->count, md, (int)d->length, at) != 1)
        return STATUS_internal;
    out->at += d->length;
    return STATUS_ok;
}
