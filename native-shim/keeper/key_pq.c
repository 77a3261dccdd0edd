/*
 * Keys of PKCS#11 3.2 from and to components: CKA_PARAMETER_SET, and CKA_VALUE as FIPS 203, 204 and 205 encode it; a private key
 * of ML-KEM or ML-DSA has the seed that it was made of as well, where that is known.
 */
#include "key_pq.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/param_build.h>
#include <string.h>

#include "arena.h"
#include "crypto.h"
#include "cryptoki.h"
#include "key_kinds.h"

enum { PRIVATE_MAX = 4896 };

/* core_names.h of 3.0 has no name for it. */
static const char SEED[] = "seed";

/* EVP_PKEY_is_a of a name that the library does not know fills its error queue: only what was fetched is asked for. */
static struct set {
    uint64_t type, set;
    const char *name;
    size_t public, private, seed; /* bytes */
    EVP_KEYMGMT *kept;            /* NULL: this OpenSSL does not have it */
} sets[] = {
    {CKK_ML_KEM, 1, "ML-KEM-512", 800, 1632, 64, NULL},
    {CKK_ML_KEM, 2, "ML-KEM-768", 1184, 2400, 64, NULL},
    {CKK_ML_KEM, 3, "ML-KEM-1024", 1568, 3168, 64, NULL},
    {CKK_ML_DSA, 1, "ML-DSA-44", 1312, 2560, 32, NULL},
    {CKK_ML_DSA, 2, "ML-DSA-65", 1952, 4032, 32, NULL},
    {CKK_ML_DSA, 3, "ML-DSA-87", 2592, PRIVATE_MAX, 32, NULL},
    {CKK_SLH_DSA, 1, "SLH-DSA-SHA2-128s", 32, 64, 0, NULL},
    {CKK_SLH_DSA, 2, "SLH-DSA-SHAKE-128s", 32, 64, 0, NULL},
    {CKK_SLH_DSA, 3, "SLH-DSA-SHA2-128f", 32, 64, 0, NULL},
    {CKK_SLH_DSA, 4, "SLH-DSA-SHAKE-128f", 32, 64, 0, NULL},
    {CKK_SLH_DSA, 5, "SLH-DSA-SHA2-192s", 48, 96, 0, NULL},
    {CKK_SLH_DSA, 6, "SLH-DSA-SHAKE-192s", 48, 96, 0, NULL},
    {CKK_SLH_DSA, 7, "SLH-DSA-SHA2-192f", 48, 96, 0, NULL},
    {CKK_SLH_DSA, 8, "SLH-DSA-SHAKE-192f", 48, 96, 0, NULL},
    {CKK_SLH_DSA, 9, "SLH-DSA-SHA2-256s", 64, 128, 0, NULL},
    {CKK_SLH_DSA, 10, "SLH-DSA-SHAKE-256s", 64, 128, 0, NULL},
    {CKK_SLH_DSA, 11, "SLH-DSA-SHA2-256f", 64, 128, 0, NULL},
    {CKK_SLH_DSA, 12, "SLH-DSA-SHAKE-256f", 64, 128, 0, NULL},
};
enum { SETS = sizeof(sets) / sizeof(sets[0]) };

static bool eddsa_instances;

static bool find_eddsa_instances(void)
{
    EVP_SIGNATURE *eddsa = EVP_SIGNATURE_fetch(NULL, "ED25519", NULL);
    const OSSL_PARAM *settable = eddsa ? EVP_SIGNATURE_settable_ctx_params(eddsa) : NULL;
    bool found = settable && OSSL_PARAM_locate_const(settable, "instance") && OSSL_PARAM_locate_const(settable, "context-string");

    EVP_SIGNATURE_free(eddsa);
    return found;
}

/* One family is there as a whole or not at all: a mechanism has no way to say which of its sets it takes. */
static void drop_halves(uint64_t type)
{
    bool whole = true;

    for (size_t i = 0; i < SETS; i++)
        whole = whole && (sets[i].type != type || sets[i].kept);
    for (size_t i = 0; i < SETS && !whole; i++)
        if (sets[i].type == type) {
            EVP_KEYMGMT_free(sets[i].kept);
            sets[i].kept = NULL;
        }
}

void kp_pq_open(void)
{
    for (size_t i = 0; i < SETS; i++)
        sets[i].kept = EVP_KEYMGMT_fetch(NULL, sets[i].name, NULL);
    drop_halves(CKK_ML_KEM);
    drop_halves(CKK_ML_DSA);
    drop_halves(CKK_SLH_DSA);
    eddsa_instances = find_eddsa_instances();
}

bool kp_eddsa_has_instances(void) { return eddsa_instances; }

/* Asked before every operation: the three types are neighbours, and no other comes far. */
static const struct set *first_of(uint64_t type)
{
    for (size_t i = 0; i < SETS && type >= CKK_ML_KEM && type <= CKK_SLH_DSA; i++)
        if (sets[i].type == type)
            return &sets[i];
    return NULL;
}

const char *kp_mechanism_needs(const struct wire_mechanism *m) { return first_of(m->key_type) ? "3.5" : NULL; }

bool kp_mechanism_works(const struct wire_mechanism *m)
{
    const struct set *s = first_of(m->key_type);

    return !s || s->kept;
}

static const struct set *set_of(const EVP_PKEY *pkey)
{
    for (size_t i = 0; i < SETS; i++)
        if (sets[i].kept && EVP_PKEY_is_a(pkey, sets[i].name))
            return &sets[i];
    return NULL;
}

uint64_t kp_pq_type_of(const EVP_PKEY *pkey)
{
    const struct set *s = set_of(pkey);

    return s ? s->type : CKK_NONE;
}

static int find_set(uint64_t type, const struct wire_template *t, const struct set **out)
{
    const struct wire_attribute *a = wire_template_find(t, CKA_PARAMETER_SET);
    struct wire_reader r;
    uint64_t number;

    if (!a)
        return STATUS_template_incomplete;
    if (a->value.length != 8)
        return STATUS_attribute_value_invalid;
    wire_reader_init(&r, a->value.data, 8);
    number = wire_read_u64(&r);
    for (size_t i = 0; i < SETS; i++)
        if (sets[i].type == type && sets[i].set == number) {
            *out = &sets[i];
            return sets[i].kept ? STATUS_ok : STATUS_parameter_set_not_supported;
        }
    return STATUS_parameter_set_not_supported;
}

static struct wire_bytes value_of(const struct wire_template *t, uint64_t type)
{
    const struct wire_attribute *a = wire_template_find(t, type);

    return a ? a->value : (struct wire_bytes){NULL, 0};
}

static bool push(OSSL_PARAM_BLD *bld, const char *name, struct wire_bytes v)
{
    return !v.length || OSSL_PARAM_BLD_push_octet_string(bld, name, v.data, v.length) == 1;
}

static int build(const struct set *s, bool private, struct wire_bytes value, struct wire_bytes seed, EVP_PKEY **out)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, s->name, NULL);
    OSSL_PARAM *params = NULL;
    bool ok = bld && ctx && push(bld, private ? OSSL_PKEY_PARAM_PRIV_KEY : OSSL_PKEY_PARAM_PUB_KEY, value) &&
              push(bld, SEED, seed) && (params = OSSL_PARAM_BLD_to_param(bld)) && EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, out, private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) == 1;

    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    return ok ? STATUS_ok : STATUS_attribute_value_invalid;
}

/* Seed and value are two sayings of one key: a key that is two would sign with the one and be exported as the other. */
static bool is_private_value(const EVP_PKEY *pkey, struct wire_bytes value)
{
    uint8_t *mine = kp_alloc(PRIVATE_MAX);
    size_t length = 0;
    bool same = mine && EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PRIV_KEY, mine, PRIVATE_MAX, &length) == 1 &&
                length == value.length && CRYPTO_memcmp(mine, value.data, length) == 0;

    kp_free(mine);
    return same;
}

static int import_private(const struct set *s, const struct wire_template *t, EVP_PKEY **out)
{
    struct wire_bytes value = value_of(t, CKA_VALUE), seed = value_of(t, CKA_SEED);
    int status;

    if (!value.length && !seed.length)
        return STATUS_template_incomplete;
    if ((value.length && value.length != s->private) || (seed.length && seed.length != s->seed))
        return STATUS_attribute_value_invalid;
    status = build(s, true, value, seed, out);
    if (status == STATUS_ok && value.length && !is_private_value(*out, value)) {
        EVP_PKEY_free(*out);
        *out = NULL;
        return STATUS_attribute_value_invalid;
    }
    return status;
}

int kp_pq_import(uint64_t type, bool private, const struct wire_template *t, EVP_PKEY **out)
{
    struct wire_bytes value = value_of(t, CKA_VALUE), none = {NULL, 0};
    const struct set *s;
    int status = find_set(type, t, &s);

    if (status != STATUS_ok)
        return status;
    if (private)
        return import_private(s, t, out);
    if (!value.length)
        return STATUS_template_incomplete;
    return value.length == s->public ? build(s, false, value, none, out) : STATUS_attribute_value_invalid;
}

/* Nothing but a full arena keeps such a key from being made: one takes up to 60 KB. */
int kp_pq_generate(uint64_t type, const struct wire_template *t, EVP_PKEY **out)
{
    const struct set *s;
    EVP_PKEY_CTX *ctx;
    int status = find_set(type, t, &s);

    if (status != STATUS_ok)
        return status;
    ctx = EVP_PKEY_CTX_new_from_name(NULL, s->name, NULL);
    status = ctx && EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_generate(ctx, out) == 1 ? STATUS_ok : STATUS_memory;
    EVP_PKEY_CTX_free(ctx);
    return status;
}

/* 1, 0 when the key has no such part, -1. */
static int write_part(const EVP_PKEY *pkey, const char *name, uint64_t type, struct wire_writer *w, uint8_t *room)
{
    size_t length = 0;

    if (EVP_PKEY_get_octet_string_param(pkey, name, room, PRIVATE_MAX, &length) != 1)
        return 0;
    wire_write_attribute(w, type, room, length);
    return 1;
}

int kp_pq_write(const EVP_PKEY *pkey, bool private, struct wire_writer *w)
{
    const struct set *s = set_of(pkey);
    uint8_t *room = s ? kp_alloc(PRIVATE_MAX) : NULL;
    int count = 1, value = 0;

    if (!room)
        return -1;
    wire_write_u64(w, CKA_PARAMETER_SET);
    wire_write_u32(w, 8);
    wire_write_u64(w, s->set);
    if (private && s->seed)
        count += write_part(pkey, SEED, CKA_SEED, w, room);
    value = write_part(pkey, private ? OSSL_PKEY_PARAM_PRIV_KEY : OSSL_PKEY_PARAM_PUB_KEY, CKA_VALUE, w, room);
    kp_free(room);
    return value ? count + value : -1;
}
