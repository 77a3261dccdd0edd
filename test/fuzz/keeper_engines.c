/*
 * Bytes as what an engine is given: parameter, data and signature of every operation, derivation and unwrapping, with keys of every
 * type. An input is: mechanism (u16, CKM_, or the number of a row), what is done (u8: an operation, or one of those below), how (u8),
 * lengths of parameter and signature (u16 each), these, and the data. The low half of `how` chooses the key, bit 4 has the data come in
 * two parts or names a second key.
 */
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "crypto.h"
#include "cryptoki.h"
#include "engine/engine.h"
#include "mechanism.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* After the operations by their numbers. */
enum { DERIVE = WIRE_OPERATIONS, UNWRAP_AES, UNWRAP_ELLIPTIC, DECAPSULATE, PKCS8, IMPORT, DONE };
enum { SECRETS_MAX = 16, PAIRS_MAX = 8, OUT_BYTES = WIRE_DATA_MAX + 512, ITERATIONS_MAX = 64, FIELD_BYTES_MAX = 140 };

static struct kp_key *keys[SECRETS_MAX + PAIRS_MAX];
static size_t key_count;
static uint8_t *out;

static void add_secret(uint64_t type, size_t length)
{
    uint8_t bytes[64];

    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(i * 7 + length);
    if (kp_key_fresh(type, bytes, length, &keys[key_count++]) != STATUS_ok)
        abort();
}

static void add_pair(uint64_t mechanism, uint64_t type, uint64_t attribute, const void *value, size_t length)
{
    struct wire_template t = {.count = 1};

    t.at[0] = (struct wire_attribute){attribute, {value, length}};
    if (kp_key_generate(mechanism, (struct wire_bytes){NULL, 0}, type, &t, &keys[key_count++]) != STATUS_ok)
        abort();
}

static void open_once(void)
{
    static const uint64_t bits = 1024;

    if (out)
        return;
    if (kp_arena_open(false) != 0 || kp_crypto_open() != 0 || !(out = kp_alloc(OUT_BYTES)))
        abort();
    add_secret(CKK_GENERIC_SECRET, 32);
    add_secret(CKK_GENERIC_SECRET, 48); /* as long as a master secret of TLS */
    add_secret(CKK_AES, 16);
    add_secret(CKK_AES, 32);
    add_secret(CKK_AES_XTS, 64);
    add_secret(CKK_DES, 8);
    add_secret(CKK_DES2, 16);
    add_secret(CKK_DES3, 24);
    add_secret(CKK_CHACHA20, 32);
    add_secret(CKK_POLY1305, 32);
    add_pair(CKM_RSA_PKCS_KEY_PAIR_GEN, CKK_RSA, CKA_MODULUS_BITS, &bits, sizeof(bits));
    add_pair(CKM_EC_KEY_PAIR_GEN, CKK_EC, CKA_EC_PARAMS, "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10);
    add_pair(CKM_EC_EDWARDS_KEY_PAIR_GEN, CKK_EC_EDWARDS, CKA_EC_PARAMS, "\x06\x03\x2b\x65\x70", 5);
    add_pair(CKM_EC_MONTGOMERY_KEY_PAIR_GEN, CKK_EC_MONTGOMERY, CKA_EC_PARAMS, "\x06\x03\x2b\x65\x6e", 5);
}

static const struct wire_mechanism *mechanism_of(uint32_t number)
{
    const struct wire_mechanism *m = wire_mechanism_find(number);

    return m ? m : &wire_mechanisms[number % wire_mechanisms_count];
}

struct input {
    const struct wire_mechanism *mechanism;
    uint8_t how;
    struct wire_bytes params, signature, data;
};

/* The chosen one of the keys that the mechanism takes; NULL: there is none here. */
static struct kp_key *key_for(const struct wire_mechanism *m, unsigned choice)
{
    struct kp_key *fit[SECRETS_MAX + PAIRS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < key_count; i++)
        if (kp_mechanism_takes(m, keys[i]->type))
            fit[count++] = keys[i];
    return count ? fit[choice % count] : NULL;
}

/* What stretches a password or searches takes as long as it is told to: that is bounded elsewhere, and no fault. */
static bool is_slow(const struct input *in)
{
    struct wire_params p;

    return in->mechanism->engine == ENGINE_pbkdf2 && wire_params_read(in->mechanism->layout, in->params, &p) &&
           p.count > ITERATIONS_MAX;
}

static void operate(const struct input *in, enum wire_operation operation, struct wire_writer *w)
{
    struct kp_key *key = operation == WIRE_DIGEST ? NULL : key_for(in->mechanism, in->how & 0xf);
    size_t first = in->how & 0x10 ? in->data.length / 3 : 0;
    struct wire_bytes rest = {in->data.data + first, in->data.length - first};
    struct kp_op op;
    uint8_t rule;
    uint32_t bytes;

    if (kp_op_begin(&op, in->mechanism->type, operation, key, in->params) == STATUS_ok) {
        kp_op_describe(&op, &rule, &bytes);
        if (kp_op_update(&op, (struct wire_bytes){in->data.data, first}, w) == STATUS_ok)
            kp_op_finish(&op, rest, in->signature, w);
        if (op.sound && wire_written(w) > wire_output_bound(rule, bytes, in->data.length))
            abort(); /* the caller's buffer was measured by it */
    }
    kp_op_end(&op);
}

static void import(const struct input *in)
{
    struct wire_template t;
    struct wire_reader r;
    struct kp_key *key = NULL;

    wire_reader_init(&r, in->data.data, in->data.length);
    wire_read_template(&r, &t);
    for (uint32_t i = 0; i < t.count; i++)
        if (t.at[i].value.length > FIELD_BYTES_MAX)
            return; /* powers of long numbers take seconds, as they may */
    kp_key_import(in->how & 1 ? CKO_PRIVATE_KEY : CKO_PUBLIC_KEY, in->mechanism->key_type, &t, &key);
    kp_key_drop(key);
}

static void read_pkcs8(const struct input *in)
{
    struct kp_key *key = NULL;

    kp_key_read_pkcs8(in->mechanism->key_type, in->data.data, in->data.length, &key);
    kp_key_drop(key);
}

static void run(const struct input *in, unsigned what, struct wire_writer *w)
{
    struct kp_key *base = keys[(in->how & 0xf) % key_count], *other = in->how & 0x10 ? keys[0] : NULL;

    switch (what) {
    case DERIVE:
        if (!is_slow(in))
            kp_derive(in->mechanism->type, base, other, in->params, in->signature.length, w);
        break;
    case UNWRAP_AES:
        kp_rsa_aes_unwrap(key_for(wire_mechanism_find(CKM_RSA_AES_KEY_WRAP), 0), in->params, in->data, w);
        break;
    case UNWRAP_ELLIPTIC:
        kp_ecdh_aes_unwrap(key_for(wire_mechanism_find(CKM_ECDH_AES_KEY_WRAP), 0), in->params, in->data, w);
        break;
    case DECAPSULATE:
        kp_decapsulate(in->mechanism->type, base, in->params, in->data, w);
        break;
    case PKCS8:
        read_pkcs8(in);
        break;
    case IMPORT:
        import(in);
        break;
    default:
        operate(in, (enum wire_operation)what, w);
    }
}

/* Each in memory of its own, so that a read past its end shows. */
static struct wire_bytes take(struct wire_reader *r, size_t length, void **owned)
{
    const size_t left = (size_t)(r->end - r->at), some = length < left ? length : left;
    uint8_t *copy = malloc(some + !some);

    if (some)
        memcpy(copy, r->at, some);
    r->at += some;
    *owned = copy;
    return (struct wire_bytes){copy, some};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_reader r;
    struct wire_writer w;
    struct input in;
    void *owned[3];
    uint32_t first, lengths;

    open_once();
    wire_reader_init(&r, data, size);
    first = wire_read_u32(&r);
    lengths = wire_read_u32(&r);
    if (r.bad)
        return 0;
    in.mechanism = mechanism_of(first & 0xffff);
    in.how = (uint8_t)(first >> 24);
    in.params = take(&r, lengths & 0xffff, &owned[0]);
    in.signature = take(&r, lengths >> 16, &owned[1]);
    in.data = take(&r, (size_t)(r.end - r.at), &owned[2]);
    wire_writer_init(&w, out, OUT_BYTES);
    run(&in, (first >> 16 & 0xff) % DONE, &w);
    for (int i = 0; i < 3; i++)
        free(owned[i]);
    if (!kp_arena_check())
        abort();
    return 0;
}
