/*
 * Keys by a PRF (PKCS#11 3.1, 6.42; NIST SP 800-108) in counter, feedback and double-pipeline mode. The caller's fields say what each
 * run of the PRF is fed, in which order: OpenSSL's KBKDF knows one order alone, so that the runs are made here.
 */
#include <openssl/core_names.h>
#include <openssl/params.h>

#include "../arena.h"
#include "../crypto.h"
#include "cryptoki.h"
#include "engine.h"
#include "mechanism.h"

enum { FIELDS_MAX = 32, BLOCK_MAX = 64 };

struct field {
    uint8_t kind, little, bits, method;
    struct wire_bytes value;
};

struct kdf {
    const struct kp_derivation *d;
    struct field fields[FIELDS_MAX];
    size_t count;
    EVP_MAC_CTX *mac;
    size_t block;         /* bytes that the PRF gives */
    uint64_t runs;        /* of it */
    uint64_t length_bits; /* as the DKM_LENGTH field says it */
    uint32_t counter_bits;
};

static bool is_counter(const struct kdf *k) { return k->d->mechanism->type == CKM_SP800_108_COUNTER_KDF; }

/* One iteration variable, whose form in counter mode is that of a counter; no other counter there; no field twice but bytes. */
static bool fields_fit(struct kdf *k)
{
    unsigned seen[CK_SP800_108_BYTE_ARRAY + 1] = {0};

    for (size_t i = 0; i < k->count; i++) {
        const struct field *f = &k->fields[i];
        bool counts = f->kind == (is_counter(k) ? CK_SP800_108_ITERATION_VARIABLE : CK_SP800_108_OPTIONAL_COUNTER);
        bool sized = counts || f->kind == CK_SP800_108_DKM_LENGTH;
        uint8_t most = f->kind == CK_SP800_108_DKM_LENGTH ? 64 : 32;

        if (f->kind < CK_SP800_108_ITERATION_VARIABLE || f->kind > CK_SP800_108_BYTE_ARRAY)
            return false;
        if (sized ? f->bits == 0 || f->bits % 8 || f->bits > most : f->bits != 0)
            return false;
        if (f->kind == CK_SP800_108_DKM_LENGTH && f->method != CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS &&
            f->method != CK_SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS)
            return false;
        if (counts)
            k->counter_bits = f->bits;
        seen[f->kind]++;
    }
    return seen[CK_SP800_108_ITERATION_VARIABLE] == 1 && seen[CK_SP800_108_DKM_LENGTH] <= 1 &&
           seen[CK_SP800_108_OPTIONAL_COUNTER] <= (is_counter(k) ? 0u : 1u);
}

static bool read_fields(struct kdf *k)
{
    struct wire_reader r;

    wire_reader_init(&r, k->d->params.aad.data, k->d->params.aad.length);
    while (!r.bad && r.at < r.end && k->count < FIELDS_MAX) {
        struct field *f = &k->fields[k->count++];

        f->kind = wire_read_u8(&r);
        f->little = wire_read_u8(&r);
        f->bits = wire_read_u8(&r);
        f->method = wire_read_u8(&r);
        f->value = wire_read_bytes(&r, WIRE_PARAMS_MAX);
    }
    return wire_reader_done(&r) && fields_fit(k);
}

/* The PRF is an HMAC, or CMAC with an AES key. */
static int open_mac(struct kdf *k)
{
    const struct wire_mechanism *prf = wire_mechanism_find(k->d->params.hash);
    struct wire_bytes key = k->d->base->secret;
    bool cmac = prf && prf->type == CKM_AES_CMAC;
    const char *name;
    OSSL_PARAM params[2] = {OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end()};

    if (!prf || !(cmac || (prf->engine == ENGINE_hmac && prf->layout == LAYOUT_none)))
        return STATUS_mechanism_param_invalid;
    if (k->d->base->object_class != CKO_SECRET_KEY || (cmac && k->d->base->type != CKK_AES))
        return STATUS_key_type_inconsistent;
    name = cmac ? kp_cipher_name("CBC", key.length) : prf->algorithm;
    params[0] = OSSL_PARAM_construct_utf8_string(cmac ? OSSL_MAC_PARAM_CIPHER : OSSL_MAC_PARAM_DIGEST,
                                                 (char *)(uintptr_t)name, 0);
    k->mac = EVP_MAC_CTX_new(cmac ? kp_mac_cmac() : kp_mac_hmac());
    if (!k->mac || EVP_MAC_init(k->mac, key.data, key.length, params) != 1)
        return STATUS_memory;
    k->block = EVP_MAC_CTX_get_mac_size(k->mac);
    return STATUS_ok;
}

static bool feed_number(struct kdf *k, const struct field *f, uint64_t number)
{
    size_t length = f->bits / 8;
    uint8_t bytes[8];

    for (size_t i = 0; i < length; i++)
        bytes[f->little ? i : length - 1 - i] = (uint8_t)(number >> (8 * i));
    return EVP_MAC_update(k->mac, bytes, length) == 1;
}

/* Feeds every field for run `i`; 0: what a double pipeline begins with, which has neither variable nor counter. */
static bool feed(struct kdf *k, uint64_t i, struct wire_bytes variable)
{
    bool ok = EVP_MAC_init(k->mac, NULL, 0, NULL) == 1;

    for (size_t n = 0; ok && n < k->count; n++) {
        const struct field *f = &k->fields[n];

        if (f->kind == CK_SP800_108_BYTE_ARRAY)
            ok = EVP_MAC_update(k->mac, f->value.data, f->value.length) == 1;
        else if (f->kind == CK_SP800_108_DKM_LENGTH)
            ok = feed_number(k, f, k->length_bits);
        else if (i && f->bits)
            ok = feed_number(k, f, i);
        else if (i)
            ok = EVP_MAC_update(k->mac, variable.data, variable.length) == 1;
    }
    return ok;
}

static bool take(struct kdf *k, uint8_t *out)
{
    size_t length;

    return EVP_MAC_final(k->mac, out, &length, BLOCK_MAX) == 1 && length == k->block;
}

/* A(0) is the fields, A(i) the PRF of A(i-1); `a` becomes the next of them. */
static bool next_a(struct kdf *k, uint64_t i, uint8_t *a)
{
    if (i == 1)
        return feed(k, 0, (struct wire_bytes){NULL, 0}) && take(k, a);
    return EVP_MAC_init(k->mac, NULL, 0, NULL) == 1 && EVP_MAC_update(k->mac, a, k->block) == 1 && take(k, a);
}

/* `made` has room for all blocks, and one more for A. */
static bool run(struct kdf *k, uint8_t *made)
{
    struct wire_bytes variable = k->d->params.iv;
    uint8_t *a = made + k->runs * k->block;

    for (uint64_t i = 1; i <= k->runs; i++) {
        if (k->d->mechanism->type == CKM_SP800_108_DOUBLE_PIPELINE_KDF) {
            if (!next_a(k, i, a))
                return false;
            variable = (struct wire_bytes){a, k->block};
        }
        if (!feed(k, i, variable) || !take(k, made))
            return false;
        variable = (struct wire_bytes){made, k->block};
        made += k->block;
    }
    return true;
}

static bool by_segments(const struct kdf *k)
{
    for (size_t i = 0; i < k->count; i++)
        if (k->fields[i].kind == CK_SP800_108_DKM_LENGTH)
            return k->fields[i].method == CK_SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS;
    return false;
}

static int derive(struct kdf *k, struct wire_writer *out)
{
    size_t before = k->d->params.sizes[0], all = k->d->params.sizes[1] ? k->d->params.sizes[1] : k->d->length;
    uint8_t *made;
    int status = STATUS_internal;

    if (all > WIRE_COMPONENT_MAX || before + k->d->length > all)
        return STATUS_key_size_range;
    k->runs = (all + k->block - 1) / k->block;
    if (k->counter_bits && k->counter_bits < 32 && k->runs >> k->counter_bits)
        return STATUS_key_size_range;
    k->length_bits = 8 * (by_segments(k) ? k->runs * k->block : all);
    made = kp_alloc((k->runs + 1) * k->block + BLOCK_MAX);
    if (!made)
        return STATUS_memory;
    if (run(k, made)) {
        wire_write_raw(out, made + before, k->d->length);
        status = STATUS_ok;
    }
    kp_free(made);
    return status;
}

int kp_kbkdf(const struct kp_derivation *d, struct wire_writer *out)
{
    struct kdf k = {.d = d};
    int status;

    if (!read_fields(&k) || (d->params.iv.length && d->mechanism->type != CKM_SP800_108_FEEDBACK_KDF))
        return STATUS_mechanism_param_invalid;
    if (d->length == 0)
        return STATUS_template_incomplete;
    status = open_mac(&k);
    if (status == STATUS_ok)
        status = derive(&k, out);
    EVP_MAC_CTX_free(k.mac);
    return status;
}
