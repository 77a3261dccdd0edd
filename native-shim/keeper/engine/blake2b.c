/* BLAKE2b of 160, 256 and 384 bits: as a digest, and of a key (PKCS#11 3.1, 6.27 to 6.29). A row's algorithm is its size in bytes. */
#include <stdlib.h>

#include "engine.h"
#include "mechanism.h"

static size_t size_of(const struct wire_mechanism *m) { return strtoul(m->algorithm, NULL, 10); }

static int blake2b_begin(struct kp_op *op, const struct wire_params *p)
{
    (void)p;
    kp_blake2b_init(&op->sha.blake2b, size_of(op->mechanism));
    return STATUS_ok;
}

static int blake2b_update(struct kp_op *op, struct wire_bytes in, struct wire_writer *out)
{
    (void)out;
    kp_blake2b_update(&op->sha.blake2b, in.data, in.length);
    return STATUS_ok;
}

static int blake2b_finish(struct kp_op *op, struct wire_bytes in, struct wire_bytes signature, struct wire_writer *out)
{
    uint8_t *at = kp_out_room(out, size_of(op->mechanism));

    (void)signature;
    if (!at)
        return STATUS_internal;
    kp_blake2b_update(&op->sha.blake2b, in.data, in.length);
    kp_blake2b_final(&op->sha.blake2b, at);
    out->at += size_of(op->mechanism);
    return STATUS_ok;
}

static void blake2b_describe(const struct kp_op *op, uint8_t *rule, uint32_t *size)
{
    *rule = WIRE_OUTPUT_FIXED;
    *size = (uint32_t)size_of(op->mechanism);
}

int kp_blake2b_key(const struct kp_derivation *d, struct wire_writer *out)
{
    size_t size = size_of(d->mechanism), wanted = d->length ? d->length : size;
    struct kp_blake2b b;
    uint8_t hash[KP_BLAKE2B_MAX];

    if (!d->base->secret.data)
        return STATUS_key_type_inconsistent;
    if (wanted > size)
        return STATUS_key_size_range;
    kp_blake2b_init(&b, size);
    kp_blake2b_update(&b, d->base->secret.data, d->base->secret.length);
    kp_blake2b_final(&b, hash);
    wire_write_raw(out, hash, wanted);
    wire_wipe(hash, sizeof(hash));
    return out->full ? STATUS_memory : STATUS_ok;
}

const struct kp_engine kp_engine_blake2b = {blake2b_begin, blake2b_update, blake2b_finish, blake2b_describe, false};
