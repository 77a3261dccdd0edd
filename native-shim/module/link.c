#include "link.h"

#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES_MAX = 4 };

struct sk_waiter {
    struct sk_waiter *next;
    struct sk_connection *on;
    struct sk_exchange *x;
    uint64_t id;
    struct sk_condition wake;
    bool asleep; /* on `wake`: neither writing nor waiting for its turn to */
    bool done;
    enum sk_io result;
};

void sk_link_init(struct sk_link *l)
{
    *l = (struct sk_link){.next_id = 1};
    pthread_mutex_init(&l->lock, NULL);
    sk_condition_init(&l->turn);
    sk_pace_init(&l->pace);
}

static void finish(struct sk_waiter *w, enum sk_io result)
{
    w->done = true;
    w->result = result;
    sk_condition_signal(&w->wake);
}

/* Under the lock. */
static void break_off(struct sk_link *l, struct sk_connection *c)
{
    if (c->broken)
        return;
    c->broken = true;
    if (c->ring) {
        atomic_store(&l->ring, NULL);
        sk_ring_kill(c->ring);
    }
    sk_connection_hang_up(c);
    if (l->now == c) {
        l->now = NULL;
        l->lost_at = sk_now_ms();
    }
    for (struct sk_waiter *w = l->waiters; w; w = w->next)
        if (w->on == c && !w->done)
            finish(w, SK_IO_BROKEN);
    sk_condition_broadcast(&l->turn);
}

/* Under the lock. The last user of a broken connection frees it. */
static void leave(struct sk_connection *c)
{
    if (--c->users == 0 && c->broken)
        sk_connection_free(c);
}

void sk_link_drop_now(struct sk_link *l)
{
    struct sk_connection *c = l->now;

    c->users++;
    break_off(l, c);
    leave(c);
}

static void put_in(struct sk_link *l, struct sk_waiter *w)
{
    w->next = l->waiters;
    l->waiters = w;
    w->on->users++;
}

/* If nobody reads any more, also wakes a sleeping waiter, which becomes the reader; waiters that are awake notice by themselves. */
static void take_out(struct sk_link *l, struct sk_waiter *w)
{
    struct sk_waiter **at = &l->waiters;

    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    for (struct sk_waiter *other = l->waiters; other && !w->on->reading; other = other->next)
        if (other->on == w->on && other->asleep && !other->done) {
            sk_condition_signal(&other->wake);
            break;
        }
    leave(w->on);
}

/* Under the lock. A reply that nobody waits for is dropped: its thread gave up at its deadline. */
static void deliver(struct sk_link *l, struct sk_connection *c, const struct wire_header *h, uint8_t *body)
{
    struct sk_waiter *w = l->waiters;

    while (w && (w->on != c || w->id != h->id))
        w = w->next;
    if (c == l->now)
        l->epoch = h->epoch;
    if (!(h->type & WIRE_REPLY) || (w && h->type != (w->x->type | WIRE_REPLY))) {
        break_off(l, c);
        w = NULL;
    }
    if (!w || w->done) {
        if (body)
            wire_wipe(body, h->length);
        free(body);
        return;
    }
    w->x->header = *h;
    w->x->body = body;
    finish(w, SK_IO_OK);
}

/* Under the lock, which it leaves while reading. */
static void read_for_all(struct sk_link *l, struct sk_waiter *w)
{
    struct wire_header h;
    uint8_t *body;
    enum sk_io r;

    w->on->reading = true;
    pthread_mutex_unlock(&l->lock);
    r = sk_connection_receive(w->on, w->x->deadline, &h, &body);
    pthread_mutex_lock(&l->lock);
    w->on->reading = false;
    if (r == SK_IO_OK)
        deliver(l, w->on, &h, body);
    if (r == SK_IO_TIMEOUT && !w->done)
        finish(w, SK_IO_TIMEOUT);
    if (r == SK_IO_BROKEN || r == SK_IO_MEMORY)
        break_off(l, w->on);
}

/* Under the lock, which it leaves while writing. False: the frame was not sent whole. */
static bool write_frame(struct sk_link *l, struct sk_waiter *w)
{
    struct sk_connection *c = w->on;
    enum sk_io r;

    while (c->writing && !w->done)
        if (sk_condition_wait(&l->turn, &l->lock, w->x->deadline) == ETIMEDOUT)
            finish(w, SK_IO_TIMEOUT);
    if (w->done)
        return false;
    c->writing = true;
    pthread_mutex_unlock(&l->lock);
    r = sk_connection_send(c, w->x->frame, w->x->length, w->x->deadline);
    pthread_mutex_lock(&l->lock);
    c->writing = false;
    sk_condition_broadcast(&l->turn);
    if (r != SK_IO_OK)
        break_off(l, c); /* half of the frame may be in the stream: it has not been obeyed */
    return r == SK_IO_OK;
}

/* Under the lock, which it leaves while asleep. */
static void sleep_until_woken(struct sk_link *l, struct sk_waiter *w)
{
    w->asleep = true;
    if (sk_condition_wait(&w->wake, &l->lock, w->x->deadline) == ETIMEDOUT && !w->done)
        finish(w, SK_IO_TIMEOUT);
    w->asleep = false;
}

static void await_reply(struct sk_link *l, struct sk_waiter *w)
{
    while (!w->done) {
        if (w->on->reading)
            sleep_until_woken(l, w);
        else
            read_for_all(l, w);
    }
}

/* Under the lock, on l->now. */
static enum sk_io exchange(struct sk_link *l, struct sk_exchange *x, bool *sent)
{
    struct sk_waiter w = {.on = l->now, .x = x, .id = ++l->next_id};
    struct wire_header h = {.length = (uint32_t)(x->length - WIRE_HEADER_BYTES), .type = x->type, .id = w.id};

    wire_write_header(x->frame, &h);
    x->generation = l->now->generation;
    x->asked_in = l->now->ring ? sk_ring_epoch_in(l->now->ring) : 0;
    sk_condition_init(&w.wake);
    put_in(l, &w);
    *sent = write_frame(l, &w);
    await_reply(l, &w);
    take_out(l, &w);
    return w.result;
}

/* A request that is harmless twice is sent again if the keeper dies, but only a few times: the request may be what kills it. */
static enum wire_status ask_locked(struct sk_link *l, struct sk_exchange *x)
{
    const uint64_t bound = x->generation;

    for (int tries = 0; tries < TRIES_MAX; tries++) {
        enum wire_status status = sk_link_connect(l, x);
        bool sent = false;
        enum sk_io r;

        if (status != STATUS_ok)
            return status;
        if (x->resend == SK_SEND_BOUND && l->now->generation != bound)
            return STATUS_operation_lost;
        r = exchange(l, x, &sent);
        if (r == SK_IO_OK)
            return (enum wire_status)x->header.status;
        if (r == SK_IO_TIMEOUT)
            return STATUS_deadline;
        if (sent && x->resend == SK_SEND_BOUND)
            return STATUS_operation_lost;
        if (sent && x->resend != SK_SEND_AGAIN)
            return STATUS_keeper_absent;
    }
    return STATUS_keeper_absent;
}

enum wire_status sk_link_ask(struct sk_link *l, struct sk_exchange *x)
{
    enum wire_status status;

    x->body = NULL;
    if (sk_link_ask_by_ring(l, x, &status))
        return status;
    pthread_mutex_lock(&l->lock);
    status = ask_locked(l, x);
    pthread_mutex_unlock(&l->lock);
    return status;
}

uint64_t sk_link_generation(struct sk_link *l, uint64_t *epoch)
{
    uint64_t generation;

    if (sk_ring_epoch(l, &generation, epoch))
        return generation;
    pthread_mutex_lock(&l->lock);
    generation = l->now ? l->now->generation : 0;
    *epoch = l->epoch;
    pthread_mutex_unlock(&l->lock);
    return generation;
}

void sk_link_lost(struct sk_link *l, uint64_t generation)
{
    pthread_mutex_lock(&l->lock);
    if (l->now && l->now->generation == generation)
        sk_link_drop_now(l);
    pthread_mutex_unlock(&l->lock);
}

void sk_link_close(struct sk_link *l)
{
    pthread_mutex_lock(&l->lock);
    l->closing = true;
    if (l->now)
        sk_link_drop_now(l);
    sk_condition_broadcast(&l->turn);
    pthread_mutex_unlock(&l->lock);
}

void sk_link_free(struct sk_link *l)
{
    while (l->rings) {
        struct sk_ring *r = l->rings;

        l->rings = r->next;
        sk_ring_free(r);
    }
    pthread_mutex_destroy(&l->lock);
}
