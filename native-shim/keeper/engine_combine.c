/*
 * Keys from a key and the caller's data (PKCS#11 3.1, 6.43): one after the other, or each byte of one with the other's. The agent
 * sees to it that what cannot leave the token does not leave it so.
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

int kp_combine(const struct wire_mechanism *m, struct kp_key *base, const struct wire_params *p, size_t length,
               struct wire_writer *out)
{
    struct wire_bytes key = base->secret, data = p->aad;
    size_t made;

    if (base->type != CKK_GENERIC_SECRET)
        return STATUS_key_type_inconsistent;
    if (data.length == 0)
        return STATUS_mechanism_param_invalid;
    if (m->type == CKM_XOR_BASE_AND_DATA) {
        exclusive_or(key, data, out);
    } else {
        struct wire_bytes first = m->type == CKM_CONCATENATE_BASE_AND_DATA ? key : data;
        struct wire_bytes second = m->type == CKM_CONCATENATE_BASE_AND_DATA ? data : key;

        wire_write_raw(out, first.data, first.length);
        wire_write_raw(out, second.data, second.length);
    }
    made = wire_written(out);
    if (out->full || length > made)
        return STATUS_key_size_range;
    out->at -= length ? made - length : 0;
    return STATUS_ok;
}
