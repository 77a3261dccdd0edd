#include "aead.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <string.h>
#include <strings.h>

#include "aead_vaes.h"
#include "arena.h"

enum { SUITES = 4, TAG_BYTES = 16, KNOWN_BYTES = 1000 };

static struct suite {
    const char *name;
    bool by_vaes; /* aead_vaes.h, and not the functions below */
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
    struct kp_vaes *vaes; /* instead of both */
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

/* OpenSSL has used these instructions since 3.1. A provider that is not its own default was chosen for what it is. */
static bool may_be_faster(const OSSL_PROVIDER *provider, const EVP_CIPHER *cipher)
{
    return EVP_CIPHER_get_mode(cipher) == EVP_CIPH_GCM_MODE && OpenSSL_version_num() < 0x30100000L &&
           strcmp(OSSL_PROVIDER_get0_name(provider), "default") == 0;
}

/* The tag of one message, which depends on every byte of what was enciphered. */
static bool seal_known(const char *name, size_t key_bytes, uint8_t tag[TAG_BYTES])
{
    static const uint8_t zeros[KNOWN_BYTES];
    const struct wire_bytes iv = {zeros, 12}, aad = {zeros, 20};
    struct kp_aead *a = kp_aead_new(name, (struct wire_bytes){zeros, key_bytes}, true);
    uint8_t out[KNOWN_BYTES];
    bool good = a && kp_aead_begin(a, iv, aad) && kp_aead_update(a, (struct wire_bytes){zeros, sizeof(zeros)}, out) &&
                kp_aead_seal(a, tag, TAG_BYTES);

    kp_aead_free(a);
    return good;
}

/* Not believed before it has given what OpenSSL gives: a processor, or what emulates it, may say more of itself than it can. */
static void try_vaes(struct suite *s, size_t key_bytes)
{
    uint8_t known[TAG_BYTES], tag[TAG_BYTES];

    if (!seal_known(s->name, key_bytes, known))
        return;
    s->by_vaes = true;
    s->by_vaes = seal_known(s->name, key_bytes, tag) && memcmp(known, tag, TAG_BYTES) == 0;
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
    if (!is_whole(s))
        return false;
    if (may_be_faster(provider, cipher) && kp_vaes_open())
        try_vaes(s, (size_t)EVP_CIPHER_get_key_length(cipher));
    return true;
}

bool kp_aead_is_fast(void)
{
    for (const struct suite *s = suites; s < suites + SUITES; s++)
        if (s->by_vaes)
            return true;
    return false;
}

static const struct suite *suite_of(const char *name)
{
    for (const struct suite *s = suites; name && s < suites + SUITES && s->name; s++)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

/* The provider's context, with the key in it. */
static bool set_key(struct kp_aead *a, struct wire_bytes key, bool encrypts)
{
    a->begin = encrypts ? a->suite->encrypt : a->suite->decrypt;
    a->context = a->suite->new(a->suite->provider);
    return a->context && a->begin(a->context, key.data, key.length, NULL, 0, NULL) == 1;
}

struct kp_aead *kp_aead_new(const char *name, struct wire_bytes key, bool encrypts)
{
    const struct suite *s = suite_of(name);
    struct kp_aead *a = s ? kp_alloc(sizeof(*a)) : NULL;

    if (!a)
        return NULL;
    a->suite = s;
    a->vaes = s->by_vaes ? kp_vaes_new(key, encrypts) : NULL;
    if (s->by_vaes ? a->vaes != NULL : set_key(a, key, encrypts))
        return a;
    kp_aead_free(a);
    return NULL;
}

void kp_aead_free(struct kp_aead *a)
{
    if (a && a->context)
        a->suite->free(a->context);
    if (a)
        kp_vaes_free(a->vaes);
    kp_free(a);
}

bool kp_aead_update(struct kp_aead *a, struct wire_bytes in, uint8_t *out)
{
    size_t length;

    if (a->vaes)
        return kp_vaes_update(a->vaes, in, out);
    return a->suite->update(a->context, out, &length, in.length, in.data, in.length) == 1;
}

bool kp_aead_begin(struct kp_aead *a, struct wire_bytes iv, struct wire_bytes aad)
{
    if (a->vaes)
        return kp_vaes_begin(a->vaes, iv, aad);
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

    if (a->vaes)
        return kp_vaes_seal(a->vaes, tag, length);
    return end(a) && a->suite->get(a->context, wanted) == 1;
}

bool kp_aead_check(struct kp_aead *a, uint8_t *tag, size_t length)
{
    OSSL_PARAM theirs[] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, length), OSSL_PARAM_END};

    if (a->vaes)
        return kp_vaes_check(a->vaes, tag, length);
    return a->suite->set(a->context, theirs) == 1 && end(a);
}
