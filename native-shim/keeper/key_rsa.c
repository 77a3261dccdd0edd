/*
 * RSA keys from and to components. A private key may come with or without its CRT parts (PKCS#11 3.1, 6.1.3): primes are
 * then recovered from n, e and d, and the CRT parts are always computed here, never believed.
 */
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "clock.h"
#include "crypto.h"
#include "cryptoki.h"
#include "key_kinds.h"

/* 1024 bits is too short for anything new, but what an old program asks for and another still accepts is not refused here. */
enum { N, E, D, P, Q, DP, DQ, QINV, PARTS, RSA_BITS_MIN = 1024, RSA_BITS_MAX = 8192 };

static const struct {
    uint64_t type;
    const char *name;
} parts[PARTS] = {
    [N] = {CKA_MODULUS, OSSL_PKEY_PARAM_RSA_N},
    [E] = {CKA_PUBLIC_EXPONENT, OSSL_PKEY_PARAM_RSA_E},
    [D] = {CKA_PRIVATE_EXPONENT, OSSL_PKEY_PARAM_RSA_D},
    [P] = {CKA_PRIME_1, OSSL_PKEY_PARAM_RSA_FACTOR1},
    [Q] = {CKA_PRIME_2, OSSL_PKEY_PARAM_RSA_FACTOR2},
    [DP] = {CKA_EXPONENT_1, OSSL_PKEY_PARAM_RSA_EXPONENT1},
    [DQ] = {CKA_EXPONENT_2, OSSL_PKEY_PARAM_RSA_EXPONENT2},
    [QINV] = {CKA_COEFFICIENT, OSSL_PKEY_PARAM_RSA_COEFFICIENT1},
};

struct rsa {
    BIGNUM *part[PARTS];
    BN_CTX *ctx;
};

static void clear(struct rsa *k)
{
    for (int i = 0; i < PARTS; i++)
        BN_clear_free(k->part[i]);
    BN_CTX_free(k->ctx);
}

static bool read_part(const struct wire_template *t, int i, struct rsa *k)
{
    const struct wire_attribute *a = wire_template_find(t, parts[i].type);

    if (!a || a->value.length == 0)
        return true;
    if (a->value.length > WIRE_COMPONENT_MAX)
        return false;
    k->part[i] = BN_bin2bn(a->value.data, (int)a->value.length, NULL);
    if (k->part[i] && i >= D)
        BN_set_flags(k->part[i], BN_FLG_CONSTTIME);
    return k->part[i] != NULL;
}

/* One try at splitting n with the base g: squares g^odd until it is 1; the root before that shares a factor with n. -1: it never is,
 * and then the exponents do not belong together. */
static int split_once(struct rsa *k, const BIGNUM *odd, int twos, BIGNUM *g)
{
    BIGNUM *next = BN_new();
    bool ok = next && BN_rand_range(g, k->part[N]) && BN_mod_exp(g, g, odd, k->part[N], k->ctx);
    int found = -1;

    for (int i = 0; ok && found < 0 && i < twos; i++) {
        ok = BN_mod_sqr(next, g, k->part[N], k->ctx);
        if (ok && BN_is_one(next))
            found = BN_sub_word(g, 1) && BN_gcd(k->part[P], g, k->part[N], k->ctx) && !BN_is_one(k->part[P]) &&
                    BN_cmp(k->part[P], k->part[N]) != 0;
        else
            ok = ok && BN_copy(g, next);
    }
    BN_clear_free(next);
    return found;
}

/* NIST SP 800-56B, appendix C: the primes of n from e and d. Half of all bases succeed; 100 failing means a bad key. Of a long n that is
 * no product of two primes they would take a minute, but after the call's deadline nobody waits for it. */
static bool recover_primes(struct rsa *k)
{
    const uint64_t deadline = kp_now_ms() + WIRE_DEADLINE_MS;
    BIGNUM *odd = BN_new(), *g = BN_new();
    int twos = 0, found = -1;

    BN_clear_free(k->part[P]);
    BN_clear_free(k->part[Q]);
    k->part[P] = BN_new();
    k->part[Q] = BN_new();
    if (!odd || !g || !k->part[P] || !k->part[Q] || !BN_mul(odd, k->part[E], k->part[D], k->ctx) || !BN_sub_word(odd, 1) ||
        BN_is_zero(odd))
        goto out;
    while (!BN_is_odd(odd) && BN_rshift1(odd, odd))
        twos++;
    found = 0;
    for (int i = 0; i < 100 && found == 0 && kp_now_ms() < deadline; i++)
        found = split_once(k, odd, twos, g);
    if (found == 1)
        found = BN_div(k->part[Q], NULL, k->part[N], k->part[P], k->ctx) ? 1 : -1;
out:
    BN_clear_free(odd);
    BN_clear_free(g);
    return found == 1;
}

/* part = value mod (prime - 1) */
static bool reduce(struct rsa *k, int into, const BIGNUM *value, int prime)
{
    BIGNUM *less = BN_dup(k->part[prime]);
    bool ok;

    BN_clear_free(k->part[into]);
    k->part[into] = BN_new();
    ok = less && k->part[into] && BN_sub_word(less, 1) && BN_mod(k->part[into], value, less, k->ctx);
    BN_clear_free(less);
    if (ok)
        BN_set_flags(k->part[into], BN_FLG_CONSTTIME);
    return ok;
}

static bool private_exponent(struct rsa *k)
{
    BIGNUM *phi = BN_dup(k->part[N]);
    bool ok;

    ok = phi && BN_sub(phi, phi, k->part[P]) && BN_sub(phi, phi, k->part[Q]) && BN_add_word(phi, 1) &&
         (k->part[D] = BN_mod_inverse(NULL, k->part[E], phi, k->ctx)) != NULL;
    BN_clear_free(phi);
    return ok;
}

/* n = p q, and e d = 1 modulo p-1: what a sum in hand can say; a program that imports a composite "prime" harms only itself. */
static bool consistent(struct rsa *k, int prime, int exponent)
{
    BIGNUM *less = BN_dup(k->part[prime]), *x = BN_new();
    bool ok;

    ok = less && x && BN_is_odd(k->part[prime]) && BN_sub_word(less, 1) &&
         BN_mod_mul(x, k->part[E], k->part[exponent], less, k->ctx) && BN_is_one(x) &&
         BN_mul(x, k->part[P], k->part[Q], k->ctx) && BN_cmp(x, k->part[N]) == 0;
    BN_clear_free(less);
    BN_clear_free(x);
    return ok;
}

static int complete(struct rsa *k)
{
    bool primes = k->part[P] && k->part[Q];

    if (!primes && !k->part[D])
        return STATUS_template_incomplete;
    if (!primes && !recover_primes(k))
        return STATUS_attribute_value_invalid;
    if (BN_is_zero(k->part[P]) || BN_is_zero(k->part[Q]) || BN_is_one(k->part[P]) || BN_is_one(k->part[Q]))
        return STATUS_attribute_value_invalid;
    if (!k->part[D] && !private_exponent(k))
        return STATUS_attribute_value_invalid;
    BN_clear_free(k->part[QINV]);
    k->part[QINV] = BN_mod_inverse(NULL, k->part[Q], k->part[P], k->ctx);
    if (!k->part[QINV] || !reduce(k, DP, k->part[D], P) || !reduce(k, DQ, k->part[D], Q))
        return STATUS_attribute_value_invalid;
    return consistent(k, P, DP) && consistent(k, Q, DQ) ? STATUS_ok : STATUS_attribute_value_invalid;
}

static int build(const struct rsa *k, int count, EVP_PKEY **out)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM *params = NULL;
    bool ok = bld && ctx;

    for (int i = 0; ok && i < count; i++)
        ok = OSSL_PARAM_BLD_push_BN(bld, parts[i].name, k->part[i]) == 1;
    ok = ok && (params = OSSL_PARAM_BLD_to_param(bld)) && EVP_PKEY_fromdata_init(ctx) == 1 &&
         EVP_PKEY_fromdata(ctx, out, count > D ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) == 1;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    return ok ? STATUS_ok : STATUS_attribute_value_invalid;
}

/* No part of a key is longer than its modulus; what is would only cost time. */
static bool parts_fit(const struct rsa *k)
{
    for (int i = D; i <= Q; i++)
        if (k->part[i] && BN_num_bits(k->part[i]) > BN_num_bits(k->part[N]))
            return false;
    return true;
}

static int check_public(struct rsa *k, bool private)
{
    int bits;

    if (!k->part[E] && private && (k->part[E] = BN_new()))
        BN_set_word(k->part[E], RSA_F4);
    if (!k->part[N] || !k->part[E])
        return STATUS_template_incomplete;
    bits = BN_num_bits(k->part[N]);
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return STATUS_key_size_range;
    if (!BN_is_odd(k->part[N]) || !BN_is_odd(k->part[E]) || BN_is_one(k->part[E]) || BN_num_bits(k->part[E]) > 64)
        return STATUS_attribute_value_invalid;
    return parts_fit(k) ? STATUS_ok : STATUS_attribute_value_invalid;
}

int kp_rsa_import(uint64_t type, bool private, const struct wire_template *t, EVP_PKEY **out)
{
    struct rsa k = {{NULL}, BN_CTX_new()};
    int status = k.ctx ? STATUS_ok : STATUS_memory;

    (void)type;
    for (int i = 0; status == STATUS_ok && i <= (private ? Q : E); i++)
        if (!read_part(t, i, &k))
            status = STATUS_attribute_value_invalid;
    if (status == STATUS_ok)
        status = check_public(&k, private);
    if (status == STATUS_ok && private)
        status = complete(&k);
    if (status == STATUS_ok)
        status = build(&k, private ? PARTS : E + 1, out);
    clear(&k);
    return status;
}

static bool wanted_bits(const struct wire_template *t, size_t *bits)
{
    const struct wire_attribute *a = wire_template_find(t, CKA_MODULUS_BITS);
    struct wire_reader r;

    if (!a || a->value.length != 8)
        return false;
    wire_reader_init(&r, a->value.data, 8);
    *bits = wire_read_u64(&r);
    return true;
}

/*
 * ANSI X9.31's conditions on the primes are those that OpenSSL 3 keeps anyhow from 2048 bits and an exponent above 2^16 on (FIPS
 * 186-4, B.3.6: p - 1 and p + 1 have large prime factors): here it is seen to that this is the way it goes.
 */
int kp_rsa_suits_x931(const struct wire_template *t)
{
    struct rsa k = {{NULL}, NULL};
    size_t bits = 0;
    int status = STATUS_ok;

    if (!wanted_bits(t, &bits))
        return STATUS_template_incomplete;
    if (bits < 2048 || bits % 256 != 0)
        return STATUS_key_size_range;
    if (!read_part(t, E, &k) || (k.part[E] && BN_num_bits(k.part[E]) <= 16))
        status = STATUS_attribute_value_invalid;
    clear(&k);
    return status;
}

int kp_rsa_generate(uint64_t type, const struct wire_template *t, EVP_PKEY **out)
{
    struct rsa k = {{NULL}, NULL};
    EVP_PKEY_CTX *ctx = NULL;
    struct kp_search search;
    size_t bits = 0;
    int status = STATUS_internal;

    (void)type;
    if (!wanted_bits(t, &bits))
        return STATUS_template_incomplete;
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX || bits % 8 != 0)
        return STATUS_key_size_range;
    if (!read_part(t, E, &k))
        return STATUS_attribute_value_invalid;
    if (!k.part[E] && (k.part[E] = BN_new()))
        BN_set_word(k.part[E], RSA_F4);
    if (!k.part[E])
        return STATUS_memory;
    if (!BN_is_odd(k.part[E]) || BN_num_bits(k.part[E]) < 2 || BN_num_bits(k.part[E]) > 64) {
        clear(&k);
        return STATUS_attribute_value_invalid;
    }
    ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (ctx && EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits) == 1 &&
        EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, k.part[E]) == 1) {
        kp_search_begin(&search, ctx);
        status = EVP_PKEY_generate(ctx, out) == 1 ? STATUS_ok : kp_search_failed(&search);
    }
    EVP_PKEY_CTX_free(ctx);
    clear(&k);
    return status;
}

int kp_rsa_write(const EVP_PKEY *pkey, bool private, struct wire_writer *w)
{
    int count = private ? PARTS : E + 1, length = 0;
    uint8_t bytes[RSA_BITS_MAX / 8 + 8];

    for (int i = 0; length >= 0 && i < count; i++) {
        BIGNUM *part = NULL;

        length = -1;
        if (EVP_PKEY_get_bn_param(pkey, parts[i].name, &part) == 1 && BN_num_bytes(part) <= (int)sizeof(bytes))
            length = BN_bn2bin(part, bytes);
        BN_clear_free(part);
        if (length >= 0)
            wire_write_attribute(w, parts[i].type, bytes, (size_t)length);
    }
    wire_wipe(bytes, sizeof(bytes));
    return length < 0 ? -1 : count;
}
