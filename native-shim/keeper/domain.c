/*
 * Domain parameters of DSA and DH (PKCS#11 3.1, 6.2.8 and 6.4.7). Those of DSA and X9.42 are searched for as FIPS 186-4
 * says, until the call's deadline. Those of PKCS #3 are the groups of RFC 7919, which are prime beyond doubt, fast, and all
 * that SP 800-56A still allows: a search for a safe prime of one's own takes minutes and ends in something worse.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/dsa.h>

#include "crypto.h"
#include "cryptoki.h"
#include "key_kinds.h"
#include "mechanism.h"

/* The first subprime of a length is what silence means. */
static const struct size {
    uint64_t type, bits, subprime;
    const char *group;
} sizes[] = {
    {CKK_DSA, 2048, 256, NULL},      {CKK_DSA, 2048, 224, NULL},      {CKK_DSA, 3072, 256, NULL},
    {CKK_DSA, 1024, 160, NULL},
    {CKK_X9_42_DH, 2048, 256, NULL}, {CKK_X9_42_DH, 2048, 224, NULL}, {CKK_X9_42_DH, 3072, 256, NULL},
    {CKK_DH, 2048, 0, "ffdhe2048"},  {CKK_DH, 3072, 0, "ffdhe3072"},  {CKK_DH, 4096, 0, "ffdhe4096"},
    {CKK_DH, 6144, 0, "ffdhe6144"},  {CKK_DH, 8192, 0, "ffdhe8192"},
};

static bool read_number(const struct wire_template *t, uint64_t type, uint64_t *out)
{
    const struct wire_attribute *a = wire_template_find(t, type);
    struct wire_reader r;

    if (!a)
        return false;
    wire_reader_init(&r, a->value.data, a->value.length);
    *out = wire_read_u64(&r);
    return wire_reader_done(&r);
}

static int find_size(uint64_t type, const struct wire_template *t, const struct size **out)
{
    uint64_t bits, subprime = 0;

    if (!read_number(t, CKA_PRIME_BITS, &bits))
        return STATUS_template_incomplete;
    read_number(t, CKA_SUB_PRIME_BITS, &subprime);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (sizes[i].type == type && sizes[i].bits == bits && (!subprime || sizes[i].subprime == subprime)) {
            *out = &sizes[i];
            return STATUS_ok;
        }
    return STATUS_key_size_range;
}

/* Sets up a search or a choice of parameters. */
static bool prepare(EVP_PKEY_CTX *ctx, const struct size *size)
{
    OSSL_PARAM group[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)size->group, 0),
        OSSL_PARAM_construct_end(),
    };

    if (EVP_PKEY_paramgen_init(ctx) != 1)
        return false;
    if (size->group)
        return EVP_PKEY_CTX_set_params(ctx, group) == 1;
    return EVP_PKEY_CTX_set_dsa_paramgen_bits(ctx, (int)size->bits) == 1 &&
           EVP_PKEY_CTX_set_dsa_paramgen_q_bits(ctx, (int)size->subprime) == 1;
}

static int make(const struct size *size, EVP_PKEY **out)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, size->group ? "DH" : "DSA", NULL);
    struct kp_search search;
    int status = STATUS_internal;

    if (ctx && prepare(ctx, size)) {
        kp_search_begin(&search, ctx);
        status = EVP_PKEY_paramgen(ctx, out) == 1 ? STATUS_ok : kp_search_failed(&search);
    }
    EVP_PKEY_CTX_free(ctx);
    return status;
}

static bool write_number(const EVP_PKEY *pkey, const char *name, uint64_t type, struct wire_writer *w)
{
    uint8_t bytes[8192 / 8];
    BIGNUM *number = NULL;
    int length = -1;

    if (EVP_PKEY_get_bn_param(pkey, name, &number) == 1 && BN_num_bytes(number) <= (int)sizeof(bytes))
        length = BN_bn2bin(number, bytes);
    BN_free(number);
    if (length >= 0)
        wire_write_attribute(w, type, bytes, (size_t)length);
    return length >= 0;
}

int kp_domain_generate(uint64_t mechanism, const struct wire_template *t, struct wire_writer *w)
{
    const struct wire_mechanism *m = wire_mechanism_find(mechanism);
    const struct size *size = NULL;
    EVP_PKEY *pkey = NULL;
    size_t mark;
    int status;

    if (!m || m->engine != ENGINE_domain)
        return STATUS_mechanism_invalid;
    status = find_size(m->key_type, t, &size);
    if (status == STATUS_ok && !kp_reseed())
        status = STATUS_internal;
    if (status == STATUS_ok)
        status = make(size, &pkey);
    if (status != STATUS_ok)
        return status;
    mark = wire_begin_template(w);
    if (!write_number(pkey, OSSL_PKEY_PARAM_FFC_P, CKA_PRIME, w) || !write_number(pkey, OSSL_PKEY_PARAM_FFC_G, CKA_BASE, w) ||
        (size->subprime && !write_number(pkey, OSSL_PKEY_PARAM_FFC_Q, CKA_SUBPRIME, w)))
        status = STATUS_internal;
    wire_end_template(w, mark, size->subprime ? 3 : 2);
    EVP_PKEY_free(pkey);
    return status;
}
