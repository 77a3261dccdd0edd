/* Requests by the ring that are no data of an operation (flow.c has those): bind_check, cancel, more. */
#include "link.h"

#include <stdlib.h>

enum { ANSWER_LONGER = 64 /* than its request: a tag, a block */ };

static bool fits_ring(const struct sk_exchange *x)
{
    return !x->by_socket && (x->type == WIRE_operate || x->type == WIRE_bind_check || x->type == WIRE_random) &&
           x->length <= RING_BODY_MAX - ANSWER_LONGER;
}

static enum wire_status take_reply(struct sk_turn *t, struct sk_exchange *x)
{
    x->header = (struct wire_header){.length = (uint32_t)t->length, .status = t->status, .epoch = t->epoch};
    if (!t->length)
        return (enum wire_status)t->status;
    x->body = malloc(t->length);
    if (!x->body)
        return STATUS_memory;
    sk_ring_take(t, x->body, t->length);
    return (enum wire_status)t->status;
}

static enum wire_status exchange_by_ring(struct sk_link *l, struct sk_exchange *x, struct sk_turn *t, bool *answered)
{
    const uint64_t bound = x->generation;
    enum sk_io r;

    *answered = true;
    x->generation = t->ring->generation;
    if (x->resend == SK_SEND_BOUND && bound != x->generation)
        return STATUS_operation_lost;
    t->deadline = x->deadline;
    sk_ring_put(t, x->frame + WIRE_HEADER_BYTES, x->length - WIRE_HEADER_BYTES);
    sk_ring_post(t, x->type);
    r = sk_ring_wait(t, &l->pace, SK_PACE_OTHER);
    if (r == SK_IO_OK)
        return take_reply(t, x);
    if (r == SK_IO_TIMEOUT)
        return STATUS_deadline;
    sk_link_lost(l, x->generation);
    *answered = x->resend != SK_SEND_AGAIN;
    return x->resend == SK_SEND_BOUND ? STATUS_operation_lost : STATUS_keeper_absent;
}

bool sk_link_ask_by_ring(struct sk_link *l, struct sk_exchange *x, enum wire_status *status)
{
    struct sk_turn t;
    bool answered;

    if (!fits_ring(x) || !sk_ring_enter(l, 0, &t))
        return false;
    *status = exchange_by_ring(l, x, &t, &answered);
    sk_ring_leave(&t);
    return answered;
}
