/*
 * Keys in the multiplicative group of a prime field from and to components: DSA, DH of PKCS #3 (no subprime) and DH of X9.42
 * (PKCS#11 3.1, 6.2 and 6.4). What a hostile caller can cost is bounded before anything is raised to a power; a composite
 * prime is not looked for: a program that imports one harms only itself.
 */
#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "crypto.h"
#include "cryptoki.h"
#include "key_kinds.h"

/* 1024 bits is too short for anything new, but what an old program asks for and another still accepts is not refused here. */
enum { BITS_MIN = 1024, BITS_MAX = 8192, SUBPRIME_MIN = 160, SUBPRIME_TESTED_MAX = 512 };
enum { VALUE_BITS_MIN = 224 };
enum { P, Q, G, DOMAIN, Y = DOMAIN, X, PARTS };

static const struct {
    uint64_t type;
    const char *name;
} parts[PARTS] = {
    [P] = {CKA_PRIME, OSSL_PKEY_PARAM_FFC_P},    [Q] = {CKA_SUBPRIME, OSSL_PKEY_PARAM_FFC_Q},
    [G] = {CKA_BASE, OSSL_PKEY_PARAM_FFC_G},     [Y] = {CKA_VALUE, OSSL_PKEY_PARAM_PUB_KEY},
    [X] = {CKA_VALUE, OSSL_PKEY_PARAM_PRIV_KEY},
};

static const struct group {
    uint64_t type;
    const char *name;
    bool has_subprime;
} groups[] = {{CKK_DSA, "DSA", true}, {CKK_DH, "DH", false}, {CKK_X9_42_DH, "DHX", true}};

struct ffc {
    BIGNUM *part[PARTS];
    BN_CTX *ctx;
};

static const struct group *group_of(uint64_t type)
{
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        if (groups[i].type == type)
            return &groups[i];
    return NULL;
}

uint64_t kp_ffc_type_of(const EVP_PKEY *pkey)
{
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        if (EVP_PKEY_is_a(pkey, groups[i].name))
            return groups[i].type;
    return CKK_NONE;
}

static void clear(struct ffc *k)
{
    for (int i = 0; i < PARTS; i++)
        BN_clear_free(k->part[i]);
    BN_CTX_free(k->ctx);
}

static int read_part(const struct wire_template *t, int i, struct ffc *k)
{
    const struct wire_attribute *a = wire_template_find(t, parts[i].type);

    if (!a || a->value.length == 0)
        return STATUS_template_incomplete;
    if (a->value.length > BITS_MAX / 8 + 1)
        return i < DOMAIN ? STATUS_key_size_range : STATUS_attribute_value_invalid;
    k->part[i] = BN_bin2bn(a->value.data, (int)a->value.length, NULL);
    if (k->part[i] && i == X)
        BN_set_flags(k->part[i], BN_FLG_CONSTTIME);
    return k->part[i] ? STATUS_ok : STATUS_memory;
}

/* Whether 1 < n < p - 1: neither of the elements of order one and two. */
static bool is_inside(const struct ffc *k, const BIGNUM *n)
{
    BIGNUM *last = BN_dup(k->part[P]);
    bool inside = last && BN_sub_word(last, 1) && !BN_is_zero(n) && !BN_is_one(n) && BN_cmp(n, last) < 0;

    BN_free(last);
    return inside;
}

/* Also false when there is no memory left to see it. */
static bool is_of_order(const struct ffc *k, const BIGNUM *n)
{
    BIGNUM *one = BN_new();
    bool ok = one && BN_mod_exp(one, n, k->part[Q], k->part[P], k->ctx) && BN_is_one(one);

    BN_free(one);
    return ok;
}

static bool divides(const struct ffc *k)
{
    BIGNUM *less = BN_dup(k->part[P]), *rest = BN_new();
    bool ok = less && rest && BN_sub_word(less, 1) && BN_mod(rest, less, k->part[Q], k->ctx) && BN_is_zero(rest);

    BN_free(less);
    BN_free(rest);
    return ok;
}

/* FIPS 186-4 knows three lengths, and OpenSSL signs with no other. */
static bool subprime_length_suits(uint64_t type, int bits, int prime_bits)
{
    if (type == CKK_DSA)
        return bits == 160 || bits == 224 || bits == 256;
    return bits >= SUBPRIME_MIN && bits < prime_bits;
}

/* A composite subprime has no inverses, which signing takes for granted. A long one is that of a safe prime. */
static bool subprime_suits(uint64_t type, const struct ffc *k)
{
    const int bits = BN_num_bits(k->part[Q]);

    if (!subprime_length_suits(type, bits, BN_num_bits(k->part[P])) || !BN_is_odd(k->part[Q]) || !divides(k))
        return false;
    if (bits <= SUBPRIME_TESTED_MAX && BN_check_prime(k->part[Q], k->ctx, NULL) != 1)
        return false;
    return is_of_order(k, k->part[G]);
}

static int read_domain(const struct group *group, const struct wire_template *t, struct ffc *k)
{
    int status = STATUS_ok, bits;

    k->ctx = BN_CTX_new();
    for (int i = P; status == STATUS_ok && i < DOMAIN; i++)
        if (i != Q || group->has_subprime)
            status = read_part(t, i, k);
    if (status != STATUS_ok || !k->ctx)
        return k->ctx ? status : STATUS_memory;
    bits = BN_num_bits(k->part[P]);
    if (bits < BITS_MIN || bits > BITS_MAX)
        return STATUS_key_size_range;
    if (!BN_is_odd(k->part[P]) || !is_inside(k, k->part[G]) || (group->has_subprime && !subprime_suits(group->type, k)))
        return STATUS_domain_params_invalid;
    return STATUS_ok;
}

static int read_public(const struct group *group, const struct wire_template *t, struct ffc *k)
{
    int status = read_part(t, Y, k);

    if (status != STATUS_ok)
        return status;
    if (!is_inside(k, k->part[Y]) || (group->has_subprime && !is_of_order(k, k->part[Y])))
        return STATUS_attribute_value_invalid;
    return STATUS_ok;
}

/* And the public value of it. */
static int read_private(const struct group *group, const struct wire_template *t, struct ffc *k)
{
    int status = read_part(t, X, k);

    if (status != STATUS_ok)
        return status;
    if (BN_is_zero(k->part[X]) || BN_cmp(k->part[X], k->part[group->has_subprime ? Q : P]) >= 0)
        return STATUS_attribute_value_invalid;
    k->part[Y] = BN_new();
    if (!k->part[Y] || !BN_mod_exp(k->part[Y], k->part[G], k->part[X], k->part[P], k->ctx))
        return STATUS_memory;
    return is_inside(k, k->part[Y]) ? STATUS_ok : STATUS_attribute_value_invalid;
}

/* `value_bits`: of a private value that is to be made; 0: as OpenSSL likes. */
static int build(const struct group *group, const struct ffc *k, int selection, unsigned value_bits, EVP_PKEY **out)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, group->name, NULL);
    OSSL_PARAM *params = NULL;
    bool ok = bld && ctx;

    for (int i = 0; ok && i < PARTS; i++)
        if (k->part[i])
            ok = OSSL_PARAM_BLD_push_BN(bld, parts[i].name, k->part[i]) == 1;
    if (ok && value_bits)
        ok = OSSL_PARAM_BLD_push_int(bld, OSSL_PKEY_PARAM_DH_PRIV_LEN, (int)value_bits) == 1;
    ok = ok && (params = OSSL_PARAM_BLD_to_param(bld)) && EVP_PKEY_fromdata_init(ctx) == 1 &&
         EVP_PKEY_fromdata(ctx, out, selection, params) == 1;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    return ok ? STATUS_ok : STATUS_attribute_value_invalid;
}

int kp_ffc_import(uint64_t type, bool private, const struct wire_template *t, EVP_PKEY **out)
{
    const struct group *group = group_of(type);
    struct ffc k = {{NULL}, NULL};
    int status;

    kp_crypto_try();
    status = read_domain(group, t, &k);
    if (status == STATUS_ok)
        status = private ? read_private(group, t, &k) : read_public(group, t, &k);
    if (status == STATUS_ok)
        status = build(group, &k, private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, 0, out);
    clear(&k);
    return status == STATUS_ok ? status : kp_crypto_failed(status);
}

/* CKA_VALUE_BITS, which DH of PKCS #3 alone has. */
static int wanted_value_bits(const struct group *group, const struct wire_template *t, int prime_bits, unsigned *out)
{
    const struct wire_attribute *a = wire_template_find(t, CKA_VALUE_BITS);
    struct wire_reader r;
    uint64_t bits;

    *out = 0;
    if (!a || group->has_subprime)
        return STATUS_ok;
    wire_reader_init(&r, a->value.data, a->value.length);
    bits = wire_read_u64(&r);
    if (!wire_reader_done(&r) || bits < VALUE_BITS_MIN || bits >= (uint64_t)prime_bits)
        return STATUS_attribute_value_invalid;
    *out = (unsigned)bits;
    return STATUS_ok;
}

int kp_ffc_generate(uint64_t type, const struct wire_template *t, EVP_PKEY **out)
{
    const struct group *group = group_of(type);
    struct ffc k = {{NULL}, NULL};
    EVP_PKEY *domain = NULL;
    EVP_PKEY_CTX *ctx = NULL;
    unsigned value_bits = 0;
    int status;

    kp_crypto_try();
    status = read_domain(group, t, &k);
    if (status == STATUS_ok)
        status = wanted_value_bits(group, t, BN_num_bits(k.part[P]), &value_bits);
    if (status == STATUS_ok)
        status = build(group, &k, EVP_PKEY_KEY_PARAMETERS, value_bits, &domain);
    if (status == STATUS_ok) {
        ctx = EVP_PKEY_CTX_new_from_pkey(NULL, domain, NULL);
        if (!ctx || EVP_PKEY_keygen_init(ctx) != 1 || EVP_PKEY_generate(ctx, out) != 1)
            status = STATUS_internal;
    }
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(domain);
    clear(&k);
    return status == STATUS_ok ? status : kp_crypto_failed(status);
}

static bool write_part(const EVP_PKEY *pkey, int i, struct wire_writer *w)
{
    uint8_t bytes[BITS_MAX / 8];
    BIGNUM *part = NULL;
    int length;

    if (EVP_PKEY_get_bn_param(pkey, parts[i].name, &part) != 1)
        return false;
    length = BN_num_bytes(part) <= (int)sizeof(bytes) ? BN_bn2bin(part, bytes) : -1;
    BN_clear_free(part);
    if (length >= 0)
        wire_write_attribute(w, parts[i].type, bytes, (size_t)length);
    wire_wipe(bytes, sizeof(bytes));
    return length >= 0;
}

int kp_ffc_write(const EVP_PKEY *pkey, bool private, struct wire_writer *w)
{
    const struct group *group = group_of(kp_ffc_type_of(pkey));
    int count = 0;

    for (int i = P; i < DOMAIN; i++)
        if (i != Q || group->has_subprime) {
            if (!write_part(pkey, i, w))
                return -1;
            count++;
        }
    return write_part(pkey, private ? X : Y, w) ? count + 1 : -1;
}
