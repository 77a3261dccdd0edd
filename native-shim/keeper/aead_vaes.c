#include "aead_vaes.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <dlfcn.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "arena.h"

enum {
    VERSION = 0x010300, /* Debian 12's; the sizes below are that version's */
    LINE = 64,
    IV_MAX = 128,
    TAG_MAX = 16,
    SIZES = 3
};

/* The most that SP 800-38D lets one message have: its counter of blocks has 32 bits. */
static const uint64_t data_max = (UINT64_C(1) << 36) - 32;

/* The library's structures, of which it needs the sizes; the first is aligned to a line. */
struct schedule {
    _Alignas(LINE) uint8_t bytes[1008];
};
struct state {
    _Alignas(16) uint8_t bytes[88];
};

typedef unsigned version_fn(void);
typedef void expand_fn(const void *key, struct schedule *);
typedef void init_fn(const struct schedule *, struct state *, const uint8_t *iv, uint64_t iv_length, const uint8_t *aad,
                     uint64_t aad_length);
typedef void update_fn(const struct schedule *, struct state *, uint8_t *out, const uint8_t *in, uint64_t length);
typedef void finish_fn(const struct schedule *, struct state *, uint8_t *tag, uint64_t length);

static struct cipher {
    size_t key_bytes;
    const char *bits;
    expand_fn *expand;
    init_fn *init;
    update_fn *update[2];  /* by whether it encrypts */
    finish_fn *finish[2];
} ciphers[SIZES] = {{.key_bytes = 16, .bits = "128"}, {.key_bytes = 24, .bits = "192"}, {.key_bytes = 32, .bits = "256"}};

static bool is_open;

struct kp_vaes {
    struct schedule schedule;
    struct state state;
    const struct cipher *cipher;
    void *block; /* as the arena gave it: it aligns to less */
    uint64_t total;
    bool encrypts;
};

/* A name like aes_gcm_enc_256_update_vaes_avx512. */
static void *find(void *library, const char *before, const char *bits, const char *after)
{
    char name[64];

    snprintf(name, sizeof(name), "aes_gcm_%s%s%s_vaes_avx512", before, bits, after);
    return dlsym(library, name);
}

/* What the library itself asks of a processor before it uses these functions. Clang 14, which builds the fuzz targets, has no
 * name for three of them. */
static bool has_instructions(void)
{
    const unsigned int unnamed = bit_GFNI | bit_VAES | bit_VPCLMULQDQ;
    unsigned int eax, ebx, ecx, edx;

    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ecx & unnamed) == unnamed && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512ifma") && __builtin_cpu_supports("bmi2");
}

static bool fill(void *library, struct cipher *c)
{
    c->expand = (expand_fn *)find(library, "pre_", c->bits, "");
    c->init = (init_fn *)find(library, "init_var_iv_", c->bits, "");
    c->update[0] = (update_fn *)find(library, "dec_", c->bits, "_update");
    c->update[1] = (update_fn *)find(library, "enc_", c->bits, "_update");
    c->finish[0] = (finish_fn *)find(library, "dec_", c->bits, "_finalize");
    c->finish[1] = (finish_fn *)find(library, "enc_", c->bits, "_finalize");
    return c->expand && c->init && c->update[0] && c->update[1] && c->finish[0] && c->finish[1];
}

bool kp_vaes_open(void)
{
    void *library = !is_open && has_instructions() ? dlopen("libIPSec_MB.so.1", RTLD_NOW | RTLD_LOCAL) : NULL;
    version_fn *version = library ? (version_fn *)dlsym(library, "imb_get_version") : NULL;

    if (is_open)
        return true;
    is_open = version && version() == VERSION;
    for (size_t i = 0; i < SIZES; i++)
        is_open = is_open && fill(library, &ciphers[i]);
    if (library && !is_open)
        dlclose(library);
    return is_open;
}

static const struct cipher *cipher_of(size_t key_bytes)
{
    for (size_t i = 0; i < SIZES; i++)
        if (ciphers[i].key_bytes == key_bytes)
            return &ciphers[i];
    return NULL;
}

struct kp_vaes *kp_vaes_new(struct wire_bytes key, bool encrypts)
{
    const struct cipher *c = is_open ? cipher_of(key.length) : NULL;
    uint8_t *block = c ? kp_alloc(sizeof(struct kp_vaes) + LINE) : NULL;
    struct kp_vaes *v;

    if (!block)
        return NULL;
    v = (struct kp_vaes *)(block + (LINE - (uintptr_t)block % LINE) % LINE);
    v->block = block;
    v->cipher = c;
    v->encrypts = encrypts;
    c->expand(key.data, &v->schedule);
    return v;
}

void kp_vaes_free(struct kp_vaes *v)
{
    if (v)
        kp_free(v->block);
}

bool kp_vaes_begin(struct kp_vaes *v, struct wire_bytes iv, struct wire_bytes aad)
{
    if (iv.length == 0 || iv.length > IV_MAX)
        return false;
    v->total = 0;
    v->cipher->init(&v->schedule, &v->state, iv.data, iv.length, aad.data, aad.length);
    return true;
}

bool kp_vaes_update(struct kp_vaes *v, struct wire_bytes in, uint8_t *out)
{
    if (in.length > data_max - v->total)
        return false;
    v->total += in.length;
    if (in.length)
        v->cipher->update[v->encrypts](&v->schedule, &v->state, out, in.data, in.length);
    return true;
}

bool kp_vaes_seal(struct kp_vaes *v, uint8_t *tag, size_t length)
{
    uint8_t whole[TAG_MAX];

    if (length > TAG_MAX)
        return false;
    v->cipher->finish[v->encrypts](&v->schedule, &v->state, whole, TAG_MAX);
    memcpy(tag, whole, length);
    return true;
}

bool kp_vaes_check(struct kp_vaes *v, const uint8_t *tag, size_t length)
{
    uint8_t own[TAG_MAX];
    bool good = kp_vaes_seal(v, own, length) && CRYPTO_memcmp(own, tag, length) == 0;

    OPENSSL_cleanse(own, sizeof(own));
    return good;
}

#else

bool kp_vaes_open(void) { return false; }

struct kp_vaes *kp_vaes_new(struct wire_bytes key, bool encrypts)
{
    (void)key, (void)encrypts;
    return NULL;
}

void kp_vaes_free(struct kp_vaes *v) { (void)v; }

bool kp_vaes_begin(struct kp_vaes *v, struct wire_bytes iv, struct wire_bytes aad)
{
    (void)v, (void)iv, (void)aad;
    return false;
}

bool kp_vaes_update(struct kp_vaes *v, struct wire_bytes in, uint8_t *out)
{
    (void)v, (void)in, (void)out;
    return false;
}

bool kp_vaes_seal(struct kp_vaes *v, uint8_t *tag, size_t length)
{
    (void)v, (void)tag, (void)length;
    return false;
}

bool kp_vaes_check(struct kp_vaes *v, const uint8_t *tag, size_t length)
{
    (void)v, (void)tag, (void)length;
    return false;
}

#endif
