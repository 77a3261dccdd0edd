#include "digest.h"

#include "crypt.h"
#include "phase.h"

#include "../wire/digest_state.h"

#include <string.h>

void sk_digest_begin_here(struct sk_operation *op)
{
    const size_t bytes = op->mechanism.row->type == CKM_SHA224 ? SHA224_BYTES : SHA256_BYTES;

    op->binding = (struct sk_binding){.rule = WIRE_OUTPUT_FIXED, .size = (uint32_t)bytes};
    sk_sha256_begin(&op->hash, bytes);
    op->here = true;
}

bool sk_digest_is_made_here(enum wire_operation kind, const struct sk_operation *op)
{
    const uint64_t type = op->mechanism.row->type;

    return kind == WIRE_DIGEST && (type == CKM_SHA256 || type == CKM_SHA224) && !op->mechanism.length && sk_sha256_is_fast();
}

CK_RV sk_digest_here(struct sk_operation *op, struct wire_bytes in, bool final, struct sk_sink *to)
{
    if (in.length)
        sk_sha256_update(&op->hash, in.data, in.length);
    op->in += in.length;
    if (!final)
        return CKR_OK;
    sk_sha256_finish(&op->hash, to->at + to->used);
    to->used += op->hash.bytes;
    return CKR_OK;
}

static CK_RV save_here(const struct sk_operation *op, struct sk_sink *to)
{
    const struct sk_sha256 *h = &op->hash;
    struct wire_digest_state state = {.mechanism = op->mechanism.row->type, .count = h->length};
    struct wire_writer w;

    for (size_t i = 0; i < sizeof(h->state) / sizeof(h->state[0]); i++)
        state.words[i] = h->state[i];
    state.rest_length = h->length % SHA256_BLOCK;
    memcpy(state.rest, h->block, state.rest_length);
    wire_writer_init(&w, to->at, to->room);
    wire_digest_state_write(&w, &state);
    to->used = wire_written(&w);
    return w.full ? CKR_DEVICE_ERROR : CKR_OK;
}

void sk_crypt_keyed(struct sk_session *s)
{
    struct sk_operation *op;

    if (sk_operation_take(s, WIRE_DIGEST, &op) != CKR_OK)
        return;
    op->keyed = true;
    sk_phase_leave(s, WIRE_DIGEST, SK_READY);
}

CK_RV sk_crypt_save(struct sk_entry *e, CK_BYTE *out, CK_ULONG *length)
{
    struct sk_sink to = {.at = out, .room = *length};
    struct sk_operation *op;
    CK_RV rv = sk_operation_take(e->session, WIRE_DIGEST, &op);

    if (rv != CKR_OK)
        return rv;
    if (op->keyed || op->result_of != SK_STEP_NONE || op->mechanism.row->engine != ENGINE_sha) {
        sk_phase_leave(e->session, WIRE_DIGEST, SK_READY);
        return CKR_STATE_UNSAVEABLE;
    }
    rv = op->here ? save_here(op, &to) : sk_stream_save(e, WIRE_DIGEST, op, &to);
    *length = to.used;
    return sk_operation_give_back(e, WIRE_DIGEST, op, rv, true);
}

CK_RV sk_crypt_restore(struct sk_entry *e, struct wire_bytes state)
{
    struct wire_digest_state read;
    struct sk_mechanism m = {0};
    struct sk_operation *op;
    CK_RV rv;

    if (!wire_digest_state_read(state, &read))
        return CKR_SAVED_STATE_INVALID;
    m.row = wire_mechanism_find(read.mechanism);
    if (!m.row || m.row->engine != ENGINE_sha)
        return CKR_SAVED_STATE_INVALID;
    m.far = (uint8_t *)(uintptr_t)state.data;
    m.length = state.length;
    m.shape = read.count + 1; /* no digest that begins anew has it */
    sk_crypt_drop_all(e);
    rv = sk_crypt_init_packed(e, WIRE_DIGEST, &m, 0);
    if (rv == CKR_OK && sk_operation_take(e->session, WIRE_DIGEST, &op) == CKR_OK) {
        op->parts = true;
        sk_phase_leave(e->session, WIRE_DIGEST, SK_READY);
    }
    return rv == CKR_MECHANISM_PARAM_INVALID ? CKR_SAVED_STATE_INVALID : rv;
}
