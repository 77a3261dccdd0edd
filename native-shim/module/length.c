#include "length.h"

#include "stream.h"

#include "../wire/cipher_length.h"

uint64_t sk_length_at_end(enum wire_operation kind, const struct sk_operation *op, uint64_t more)
{
    const uint64_t in = op->in + more;
    uint64_t all = wire_output_bound(op->binding.rule, op->binding.size, in);

    if (sk_is_gcm_decrypt(kind, op))
        all = in > op->mechanism.tag_bytes ? in - op->mechanism.tag_bytes : 0;
    return all > op->out ? all - op->out : 0;
}

uint64_t sk_length_of_update(enum wire_operation kind, const struct sk_operation *op, uint64_t more)
{
    const enum wire_output_rule rule = op->binding.rule;

    if (rule == WIRE_OUTPUT_FIXED || rule == WIRE_OUTPUT_AT_MOST || sk_is_gcm_decrypt(kind, op))
        return 0;
    return op->in + more > op->out ? op->in + more - op->out : 0;
}

static bool counter_wraps(const struct sk_mechanism *m, uint64_t length)
{
    const uint64_t blocks = length / WIRE_BLOCK_BYTES + (length % WIRE_BLOCK_BYTES != 0);
    struct wire_params p;

    return wire_params_read(m->row->layout, (struct wire_bytes){sk_mechanism_params(m), m->length}, &p) &&
           blocks > wire_counter_room(p.iv.data, p.bits);
}

static bool fits(enum wire_operation kind, const struct sk_mechanism *m, uint64_t length)
{
    const bool whole = length % wire_block_bytes(m->row) == 0;

    switch (m->row->engine) {
    case ENGINE_cipher:
        return whole;
    case ENGINE_cipher_pad:
        return kind == WIRE_ENCRYPT || (whole && length);
    case ENGINE_ctr:
        return !counter_wraps(m, length);
    default:
        return true;
    }
}

static CK_RV refusal(enum wire_operation kind)
{
    return kind == WIRE_ENCRYPT ? CKR_DATA_LEN_RANGE : CKR_ENCRYPTED_DATA_LEN_RANGE;
}

CK_RV sk_length_check(enum wire_operation kind, const struct sk_operation *op, uint64_t length)
{
    if ((kind != WIRE_ENCRYPT && kind != WIRE_DECRYPT) || fits(kind, &op->mechanism, length))
        return CKR_OK;
    return refusal(kind);
}

CK_RV sk_length_check_part(enum wire_operation kind, const struct sk_operation *op, uint64_t more)
{
    const bool too_far = op->mechanism.row->engine == ENGINE_ctr && counter_wraps(&op->mechanism, op->in + more);

    return too_far ? refusal(kind) : CKR_OK;
}
