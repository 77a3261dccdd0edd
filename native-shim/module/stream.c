#include "stream.h"

#include "call.h"
#include "digest.h"
#include "clock.h"
#include "flow.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD_ROOM = 96, ANSWER_LONGER = 64 };

bool sk_is_gcm_decrypt(enum wire_operation kind, const struct sk_operation *op)
{
    return kind == WIRE_DECRYPT && op->mechanism.tag_bytes;
}

CK_RV sk_sink_open(struct sk_sink *s, uint8_t *out, size_t out_len, uint64_t bound)
{
    *s = (struct sk_sink){.at = out, .room = out_len};
    if (out_len >= bound)
        return CKR_OK;
    s->own = true;
    s->room = bound;
    s->at = malloc(bound);
    return s->at ? CKR_OK : CKR_HOST_MEMORY;
}

void sk_sink_close(struct sk_sink *s)
{
    if (!s->own || !s->at)
        return;
    wire_wipe(s->at, s->used);
    free(s->at);
    s->at = NULL;
}

static enum wire_message message_of(const struct sk_operation *op)
{
    return wire_is_resident(op->key) ? WIRE_resident_operate : WIRE_operate;
}

static void write_operate(struct sk_call *c, enum wire_operation kind, const struct sk_operation *op, uint8_t flags,
                          struct wire_bytes in, const struct wire_bytes *signature)
{
    wire_write_u8(&c->w, flags);
    wire_write_u8(&c->w, (uint8_t)kind);
    wire_write_u64(&c->w, op->number);
    if (flags & WIRE_BEGIN) {
        sk_call_place(c);
        wire_write_u64(&c->w, op->key);
        sk_mechanism_write(&c->w, &op->mechanism);
    }
    wire_write_bytes(&c->w, in.data, in.length);
    if (signature && flags & WIRE_FINAL)
        wire_write_bytes(&c->w, signature->data, signature->length);
    else
        wire_write_absent(&c->w);
}

static void read_output(struct sk_call *c, struct sk_sink *to)
{
    struct wire_bytes out = wire_read_bytes(&c->r, WIRE_BODY_MAX);

    if (out.length > to->room - to->used) {
        c->r.bad = true;
        return;
    }
    if (out.length)
        memcpy(to->at + to->used, out.data, out.length);
    to->used += out.length;
}

/* A signature of SLH-DSA takes a second where others take a thousandth: it may have as long as a key pair. */
static bool is_slow(const struct sk_operation *op) { return op->mechanism.row->key_type == CKK_SLH_DSA; }

bool sk_answers_whole(const struct sk_operation *op, size_t more)
{
    if (is_slow(op))
        return true; /* and may be longer than a slot */
    switch (op->mechanism.row->engine) {
    case ENGINE_ccm:
    case ENGINE_cts:
    case ENGINE_xts:
    case ENGINE_key_wrap:
    case ENGINE_key_wrap_pkcs7:
        return op->in + more > RING_DATA_MAX - ANSWER_LONGER;
    default:
        return false;
    }
}

static CK_RV send_piece(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, uint8_t flags,
                        struct wire_bytes in, const struct wire_bytes *signature, struct sk_sink *to)
{
    const size_t before = to->used;
    struct sk_call c;
    CK_RV rv;

    if (!op->number) {
        op->number = sk_session_number(e->session, kind);
        flags |= WIRE_BEGIN;
    }
    sk_call_begin(&c, e, message_of(op),
                  HEAD_ROOM + op->mechanism.length + in.length + (signature ? signature->length : 0));
    c.x.resend = flags & WIRE_BEGIN ? SK_SEND_AGAIN : SK_SEND_BOUND;
    c.x.generation = op->generation;
    c.x.by_socket = sk_answers_whole(op, in.length);
    if (is_slow(op))
        c.x.deadline = sk_now_ms() + WIRE_GENERATE_DEADLINE_MS;
    write_operate(&c, kind, op, flags, in, signature);
    rv = sk_call_run(&c);
    if (rv == CKR_OK) {
        read_output(&c, to);
        rv = sk_call_finish(&c);
    } else {
        op->number = 0; /* any status but ok ended it */
    }
    op->generation = c.x.generation;
    if (flags & (WIRE_FINAL | WIRE_MORE))
        op->number = 0;
    op->in += in.length;
    op->out += to->used - before;
    sk_call_end(&c);
    return rv;
}

/* The plaintext of AES-GCM is given after the tag was good, and may be longer than one frame: MORE gives the next piece. */
static CK_RV fetch_rest(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, uint64_t number,
                        struct sk_sink *to)
{
    const struct wire_bytes nothing = {NULL, 0};
    CK_RV rv = CKR_OK;

    while (rv == CKR_OK && op->out + op->mechanism.tag_bytes < op->in) {
        size_t before = to->used;

        op->number = number;
        rv = send_piece(e, kind, op, WIRE_MORE, nothing, NULL, to);
        if (rv == CKR_OK && to->used == before)
            rv = CKR_DEVICE_ERROR;
    }
    return rv;
}

CK_RV sk_stream(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, struct wire_bytes in, bool final,
                const struct wire_bytes *signature, struct sk_sink *to)
{
    /* A frame has room for so much data and signature together. */
    const size_t most = WIRE_DATA_MAX - (signature ? signature->length : 0);
    const bool by_ring = !wire_is_resident(op->key) && !(final && sk_is_gcm_decrypt(kind, op));
    uint64_t number = op->number;
    CK_RV rv;

    if (op->here)
        return sk_digest_here(op, in, final, to);
    if (by_ring && sk_flow(e, kind, op, in, final, signature, to, &rv))
        return rv;
    do {
        struct wire_bytes piece = {in.data, in.length < most ? in.length : most};
        bool last = final && piece.length == in.length;

        rv = send_piece(e, kind, op, last ? WIRE_FINAL : 0, piece, signature, to);
        number = op->number ? op->number : number;
        in.data = in.data ? in.data + piece.length : NULL;
        in.length -= piece.length;
    } while (rv == CKR_OK && in.length);
    if (rv == CKR_OK && final && sk_is_gcm_decrypt(kind, op))
        rv = fetch_rest(e, kind, op, number, to);
    return rv;
}

CK_RV sk_stream_save(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, struct sk_sink *to)
{
    const struct wire_bytes nothing = {NULL, 0};
    const uint64_t given = op->out;
    CK_RV rv = op->number ? CKR_OK : send_piece(e, kind, op, 0, nothing, NULL, to);

    if (rv == CKR_OK)
        rv = send_piece(e, kind, op, WIRE_SAVE, nothing, NULL, to);
    op->out = given;
    return rv;
}

void sk_stream_cancel(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op)
{
    struct sk_call c;

    if (!op->number)
        return;
    sk_call_begin(&c, e, message_of(op), HEAD_ROOM);
    c.x.patience_ms = 0;
    c.x.resend = SK_SEND_BOUND;
    c.x.generation = op->generation;
    wire_write_u8(&c.w, WIRE_CANCEL);
    wire_write_u8(&c.w, (uint8_t)kind);
    wire_write_u64(&c.w, op->number);
    wire_write_bytes(&c.w, NULL, 0);
    wire_write_absent(&c.w);
    if (sk_call_run(&c) == CKR_OK)
        sk_call_finish(&c);
    sk_call_end(&c);
    op->number = 0;
}
