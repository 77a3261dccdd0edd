/*
 * Keys from a key and the caller's data or a second key (PKCS#11 3.1, 6.43): one after the other, or each byte of one with
 * the other's, or some of its bits. The agent sees to it that what cannot leave the token does not leave it so.
 */
#include "cryptoki.h"
#include "engine.h"
#include "mechanism.h"

static void exclusive_or(struct wire_bytes a, struct wire_bytes b, struct wire_writer *out)
{
    size_t length = a.length < b.length ? a.length : b.length;

    for (size_t i = 0; i < length; i++)
        wire_write_u8(out, a.data[i] ^ b.data[i]);
}

/* Bits from a place on, which go on at the beginning (PKCS#11 3.1, 6.43.7). */
static int extract(const struct kp_derivation *d, struct wire_writer *out)
{
    struct wire_bytes key = d->base->secret;
    size_t bit = d->params.bits;

    if (d->base->object_class != CKO_SECRET_KEY)
        return STATUS_key_type_inconsistent;
    if (bit >= 8 * key.length)
        return STATUS_mechanism_param_invalid;
    if (d->length == 0)
        return STATUS_template_incomplete;
    if (d->length > key.length)
        return STATUS_key_size_range;
    for (size_t i = 0; i < d->length; i++) {
        size_t at = bit / 8 + i;
        unsigned pair = (unsigned)key.data[at % key.length] << 8 | key.data[(at + 1) % key.length];

        wire_write_u8(out, (uint8_t)(pair >> (8 - bit % 8)));
    }
    return out->full ? STATUS_memory : STATUS_ok;
}

/* As much of one after the other as is wanted: both together may be longer than a key can be. */
static void one_after_other(struct wire_bytes first, struct wire_bytes second, size_t wanted, struct wire_writer *out)
{
    size_t of_first = first.length < wanted ? first.length : wanted;
    size_t rest = wanted - of_first;

    wire_write_raw(out, first.data, of_first);
    wire_write_raw(out, second.data, second.length < rest ? second.length : rest);
}

int kp_combine(const struct kp_derivation *d, struct wire_writer *out)
{
    struct wire_bytes key = d->base->secret, data = d->other ? d->other->secret : d->params.aad;
    uint64_t type = d->mechanism->type;
    size_t made;

    if (type == CKM_EXTRACT_KEY_FROM_KEY)
        return extract(d, out);
    if (d->base->object_class != CKO_SECRET_KEY || (d->other && d->other->object_class != CKO_SECRET_KEY))
        return STATUS_key_type_inconsistent;
    if (data.length == 0)
        return STATUS_mechanism_param_invalid;
    if (type == CKM_XOR_BASE_AND_DATA)
        exclusive_or(key, data, out);
    else if (type == CKM_CONCATENATE_DATA_AND_BASE)
        one_after_other(data, key, d->length ? d->length : data.length + key.length, out);
    else
        one_after_other(key, data, d->length ? d->length : data.length + key.length, out);
    made = wire_written(out);
    if (out->full || d->length > made)
        return STATUS_key_size_range;
    out->at -= d->length ? made - d->length : 0;
    return STATUS_ok;
}
