#include "aead.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <string.h>
#include <strings.h>

#include "arena.h"

enum { SUITES = 4 };

static struct suite {
    const char *name;
    void *provider;
    OSSL_FUNC_cipher_newctx_fn *new;
    OSSL_FUNC_cipher_freectx_fn *free;
    OSSL_FUNC_cipher_encrypt_init_fn *encrypt;
    OSSL_FUNC_cipher_decrypt_init_fn *decrypt;
    OSSL_FUNC_cipher_update_fn *update;
    OSSL_FUNC_cipher_final_fn *final;
    OSSL_FUNC_cipher_get_ctx_params_fn *get;
    OSSL_FUNC_cipher_set_ctx_params_fn *set;
} suites[SUITES];

struct kp_aead {
    const struct suite *suite;
    OSSL_FUNC_cipher_encrypt_init_fn *begin;
    void *context;
};

/* Names of one algorithm stand in one string, with colons between. */
static bool is_among(const char *names, const char *name)
{
    const size_t length = strlen(name);

    for (const char *at = names; at; at = strchr(at, ':')) {
        at += *at == ':';
        if (strncasecmp(at, name, length) == 0 && (at[length] == ':' || !at[length]))
            return true;
    }
    return false;
}

static void note_function(struct suite *s, const OSSL_DISPATCH *f)
{
    switch (f->function_id) {
    case OSSL_FUNC_CIPHER_NEWCTX:
        s->new = OSSL_FUNC_cipher_newctx(f);
        break;
    case OSSL_FUNC_CIPHER_FREECTX:
        s->free = OSSL_FUNC_cipher_freectx(f);
        break;
    case OSSL_FUNC_CIPHER_ENCRYPT_INIT:
        s->encrypt = OSSL_FUNC_cipher_encrypt_init(f);
        break;
    case OSSL_FUNC_CIPHER_DECRYPT_INIT:
        s->decrypt = OSSL_FUNC_cipher_decrypt_init(f);
        break;
    case OSSL_FUNC_CIPHER_UPDATE:
        s->update = OSSL_FUNC_cipher_update(f);
        break;
    case OSSL_FUNC_CIPHER_FINAL:
        s->final = OSSL_FUNC_cipher_final(f);
        break;
    case OSSL_FUNC_CIPHER_GET_CTX_PARAMS:
        s->get = OSSL_FUNC_cipher_get_ctx_params(f);
        break;
    case OSSL_FUNC_CIPHER_SET_CTX_PARAMS:
        s->set = OSSL_FUNC_cipher_set_ctx_params(f);
        break;
    default:
        break;
    }
}

static bool is_whole(const struct suite *s)
{
    return s->new && s->free && s->encrypt && s->decrypt && s->update && s->final && s->get && s->set;
}

static const OSSL_ALGORITHM *find(const OSSL_PROVIDER *provider, const char *name)
{
    int changes = 0;
    const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(provider, OSSL_OP_CIPHER, &changes);

    while (all && all->algorithm_names && !is_among(all->algorithm_names, name))
        all++;
    return all && all->algorithm_names ? all : NULL;
}

bool kp_aead_open(const char *name, const EVP_CIPHER *cipher)
{
    const OSSL_PROVIDER *provider = cipher ? EVP_CIPHER_get0_provider(cipher) : NULL;
    const OSSL_ALGORITHM *found = provider ? find(provider, name) : NULL;
    struct suite *s = suites;

    while (s < suites + SUITES && s->name)
        s++;
    if (!found || s == suites + SUITES)
        return false;
    for (const OSSL_DISPATCH *f = found->implementation; f->function_id; f++)
        note_function(s, f);
    s->provider = OSSL_PROVIDER_get0_provider_ctx(provider);
    s->name = name;
    return is_whole(s);
}

static const struct suite *suite_of(const char *name)
{
    for (const struct suite *s = suites; name && s < suites + SUITES && s->name; s++)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

struct kp_aead *kp_aead_new(const char *name, struct wire_bytes key, bool encrypts)
{
    const struct suite *s = suite_of(name);
    struct kp_aead *a = s ? kp_alloc(sizeof(*a)) : NULL;

    if (!a)
        return NULL;
    *a = (struct kp_aead){s, encrypts ? s->encrypt : s->decrypt, s->new(s->provider)};
    if (a->context && a->begin(a->context, key.data, key.length, NULL, 0, NULL) == 1)
        return a;
    kp_aead_free(a);
    return NULL;
}

void kp_aead_free(struct kp_aead *a)
{
    if (a && a->context)
        a->suite->free(a->context);
    kp_free(a);
}

bool kp_aead_update(struct kp_aead *a, struct wire_bytes in, uint8_t *out)
{
    size_t length;

    return a->suite->update(a->context, out, &length, in.length, in.data, in.length) == 1;
}

bool kp_aead_begin(struct kp_aead *a, struct wire_bytes iv, struct wire_bytes aad)
{
    return a->begin(a->context, NULL, 0, iv.data, iv.length, NULL) == 1 && (!aad.length || kp_aead_update(a, aad, NULL));
}

static bool end(struct kp_aead *a)
{
    uint8_t nothing[16];
    size_t length;

    return a->suite->final(a->context, nothing, &length, sizeof(nothing)) == 1;
}

bool kp_aead_seal(struct kp_aead *a, uint8_t *tag, size_t length)
{
    OSSL_PARAM wanted[] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, length), OSSL_PARAM_END};

    return end(a) && a->suite->get(a->context, wanted) == 1;
}

bool kp_aead_check(struct kp_aead *a, uint8_t *tag, size_t length)
{
    OSSL_PARAM theirs[] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, length), OSSL_PARAM_END};

    return a->suite->set(a->context, theirs) == 1 && end(a);
}
