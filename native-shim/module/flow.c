#include "flow.h"

#include "call.h"
#include "stream.h"

#include <endian.h>
#include <string.h>

enum {
    HEAD_BYTES = RING_SUBJECT_BYTES + 4 + 4 + 4, /* of operate with BEGIN, without what it carries */
    ANSWER_LONGER = 64,                          /* than its request: a tag, a block */
    PIECE_MIN = 256,
    PIECE_UNIT = 64
};

struct flow {
    struct sk_entry *e;
    enum wire_operation kind;
    struct sk_operation *op;
    struct wire_bytes in; /* still to go */
    bool final;
    const struct wire_bytes *signature;
    struct sk_sink *to;
    size_t most; /* data in one piece */
};

struct piece {
    struct sk_turn turn;
    uint8_t flags;
    size_t in;
};

static enum sk_pace_class pace_of(enum wire_operation kind, const struct sk_operation *op)
{
    switch (op->mechanism.row->engine) {
    case ENGINE_rsa_pkcs:
    case ENGINE_rsa_oaep:
    case ENGINE_rsa_pss:
    case ENGINE_rsa_x509:
        if (kind == WIRE_ENCRYPT || kind == WIRE_VERIFY)
            return SK_PACE_CURVE;
        if (op->binding.key_bits <= 2048)
            return SK_PACE_LONG;
        return op->binding.key_bits <= 3072 ? SK_PACE_LONGER : SK_PACE_LONGEST;
    case ENGINE_ecdsa:
    case ENGINE_eddsa:
        return SK_PACE_CURVE;
    default:
        return SK_PACE_SHORT;
    }
}

static size_t most_of(const struct flow *f)
{
    size_t taken = HEAD_BYTES + ANSWER_LONGER + f->op->mechanism.length + (f->signature ? f->signature->length : 0);
    size_t most = taken < RING_BODY_MAX ? RING_BODY_MAX - taken : 0;

    if (sk_answers_whole(f->op, f->in.length))
        return 0;
    if (most >= f->in.length && f->in.length <= RING_DATA_MAX)
        return RING_DATA_MAX;
    most = most < RING_DATA_MAX ? most / PIECE_UNIT * PIECE_UNIT : RING_DATA_MAX;
    return most < PIECE_MIN ? 0 : most;
}

static void write_place(const struct flow *f, struct wire_writer *w)
{
    const struct sk_session *s = f->e->session;

    wire_write_u64(w, s->slot);
    wire_write_u64(w, s->handle);
    wire_write_u8(w, s->read_write);
    wire_write_u64(w, f->op->key);
    wire_write_u64(w, f->op->mechanism.row->type);
}

static void put(struct sk_turn *t, const void *bytes, size_t length)
{
    uint32_t before = htole32((uint32_t)length);

    sk_ring_put(t, &before, sizeof(before));
    sk_ring_put(t, bytes, length);
}

static void put_signature(const struct flow *f, struct piece *p)
{
    const uint32_t absent = htole32(WIRE_ABSENT);

    if (f->signature && p->flags & WIRE_FINAL)
        put(&p->turn, f->signature->data, f->signature->length);
    else
        sk_ring_put(&p->turn, &absent, sizeof(absent));
}

/* Flags, operation and number, and of what begins its subject and parameter. The keeper has no use for the number of what ends at
 * once, and without it the next one has the same subject. */
static void put_head(const struct flow *f, struct piece *p)
{
    const bool whole = p->flags == (WIRE_BEGIN | WIRE_FINAL);
    uint8_t head[RING_SUBJECT_BYTES];
    struct wire_writer w;

    wire_writer_init(&w, head, sizeof(head));
    wire_write_u8(&w, p->flags);
    wire_write_u8(&w, (uint8_t)f->kind);
    wire_write_u64(&w, whole ? 0 : f->op->number);
    if (p->flags & WIRE_BEGIN)
        write_place(f, &w);
    if (whole)
        sk_ring_put_subject(&p->turn, head);
    else
        sk_ring_put(&p->turn, head, wire_written(&w));
    if (p->flags & WIRE_BEGIN)
        put(&p->turn, sk_mechanism_params(&f->op->mechanism), f->op->mechanism.length);
}

/* The next piece, straight into the slot. */
static void write_piece(struct flow *f, struct piece *p)
{
    p->in = f->in.length < f->most ? f->in.length : f->most;
    p->flags = f->final && p->in == f->in.length ? WIRE_FINAL : 0;
    if (!f->op->number) {
        f->op->number = sk_session_number(f->e->session, f->kind);
        p->flags |= WIRE_BEGIN;
    }
    sk_ring_begin(&p->turn);
    put_head(f, p);
    put(&p->turn, f->in.data, p->in);
    put_signature(f, p);
    f->in.data = f->in.data ? f->in.data + p->in : NULL;
    f->in.length -= p->in;
}

/* Out of the region into its place. False: it is no reply to that. */
static bool take_output(struct flow *f, struct piece *p)
{
    uint32_t head;
    size_t length;

    if (p->turn.length < sizeof(head))
        return false;
    sk_ring_take(&p->turn, &head, sizeof(head));
    length = le32toh(head);
    if (length != p->turn.length - sizeof(head) || length > f->to->room - f->to->used)
        return false;
    if (length)
        sk_ring_take(&p->turn, f->to->at + f->to->used, length);
    f->to->used += length;
    f->op->in += p->in;
    f->op->out += length;
    if (p->flags & WIRE_FINAL)
        f->op->number = 0;
    return true;
}

/* STATUS_ok: there is a reply to read. */
static enum wire_status await(struct flow *f, struct piece *p)
{
    struct sk_link *link = &f->e->state->link;
    enum sk_io r = sk_ring_wait(&p->turn, &link->pace, pace_of(f->kind, f->op));

    if (r == SK_IO_OK)
        return (enum wire_status)p->turn.status;
    if (r == SK_IO_TIMEOUT)
        return STATUS_deadline;
    sk_link_lost(link, p->turn.ring->generation);
    return p->flags & WIRE_BEGIN ? STATUS_keeper_absent : STATUS_operation_lost;
}

static void post(const struct flow *f, struct piece *p)
{
    p->turn.sleeps = sk_pace_sleeps(&f->e->state->link.pace, pace_of(f->kind, f->op));
    sk_ring_post(&p->turn, WIRE_operate);
}

/* `now` is on its way; `next` is where the following piece is prepared, NULL when no second slot is free. */
static enum wire_status run(struct flow *f, struct piece *now, struct piece *next)
{
    for (;;) {
        struct piece *after = next ? next : now;
        bool more = f->in.length > 0;
        enum wire_status status;

        if (more && next) {
            write_piece(f, next);
            sk_ring_push(&next->turn);
        }
        status = await(f, now);
        if (status != STATUS_ok)
            return status;
        if (more && next)
            post(f, next);
        if (!take_output(f, now))
            return STATUS_wire_malformed;
        if (!more)
            return STATUS_ok;
        if (!next) {
            write_piece(f, now);
            post(f, now);
        }
        next = next ? now : NULL;
        now = after;
    }
}

static enum wire_status begin(struct flow *f, struct piece *first, struct piece *second)
{
    const uint64_t generation = first->turn.ring->generation;
    const uint64_t home = f->e->session->handle;
    enum wire_status status;
    bool two = false;

    if (f->op->number && f->op->generation != generation)
        return STATUS_operation_lost;
    f->op->generation = generation;
    write_piece(f, first);
    post(f, first);
    if (f->in.length)
        two = sk_ring_enter_now(&f->e->state->link, home + 1, &second->turn);
    if (two && second->turn.ring != first->turn.ring) {
        sk_ring_leave(&second->turn);
        two = false;
    }
    status = run(f, first, two ? second : NULL);
    if (two)
        sk_ring_leave(&second->turn);
    return status;
}

bool sk_flow(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, struct wire_bytes in, bool final,
             const struct wire_bytes *signature, struct sk_sink *to, CK_RV *rv)
{
    struct flow f = {e, kind, op, in, final, signature, to, 0};
    const bool fresh = !op->number;
    const uint64_t before = op->in;
    struct piece pieces[2];
    enum wire_status status;

    f.most = most_of(&f);
    if (!f.most || !sk_ring_enter(&e->state->link, e->session->handle, &pieces[0].turn))
        return false;
    status = begin(&f, &pieces[0], &pieces[1]);
    sk_ring_leave(&pieces[0].turn);
    if (status != STATUS_ok)
        op->number = 0; /* any status but ok ended it */
    if (status == STATUS_keeper_absent && fresh && op->in == before)
        return false;
    *rv = sk_call_settle(e, WIRE_operate, status);
    return true;
}
