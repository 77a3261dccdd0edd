#include "link.h"

#include "clock.h"
#include "dial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PAUSE_PART = 16, PAUSE_MAX_MS = 100, FIRST_PATIENCE_MS = 1000, TRIES_MAX = 4 };

struct sk_waiter {
    struct sk_waiter *next;
    struct sk_connection *on;
    struct sk_exchange *x;
    uint64_t id;
    pthread_cond_t wake;
    bool done;
    enum sk_io result;
};

void sk_link_init(struct sk_link *l)
{
    *l = (struct sk_link){.next_id = 1};
    pthread_mutex_init(&l->lock, NULL);
    sk_cond_init(&l->turn);
    sk_pace_init(&l->pace);
}

static void finish(struct sk_waiter *w, enum sk_io result)
{
    w->done = true;
    w->result = result;
    pthread_cond_signal(&w->wake);
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
    pthread_cond_broadcast(&l->turn);
}

/* Under the lock. The last user of a broken connection frees it. */
static void leave(struct sk_connection *c)
{
    if (--c->users == 0 && c->broken)
        sk_connection_free(c);
}

/* connecting */

static void publish(struct sk_link *l, const struct sk_connection *c)
{
    if (!c->ring)
        return;
    atomic_store(&c->ring->generation, c->generation);
    sk_ring_revive(c->ring);
    atomic_store(&l->ring, c->ring);
}

/* Under the lock, which it leaves for the time of the dialling. */
static enum wire_status connect_once(struct sk_link *l, int64_t deadline)
{
    struct sk_connection *c = NULL;
    uint64_t epoch = 0, boot = 0;
    enum wire_status status;

    l->connecting = true;
    pthread_mutex_unlock(&l->lock);
    status = sk_dial(l, deadline, &c, &epoch, &boot);
    pthread_mutex_lock(&l->lock);
    l->connecting = false;
    pthread_cond_broadcast(&l->turn);
    if (l->refused && !l->refused_at)
        l->refused_at = sk_now_ms();
    if (status != STATUS_ok)
        return status;
    if (l->closing) {
        if (c->ring) {
            sk_ring_revive(c->ring);
            sk_ring_kill(c->ring);
        }
        sk_connection_free(c);
        return STATUS_keeper_absent;
    }
    c->generation = ++l->generation;
    l->epoch = epoch;
    if (l->was_good && l->boot == boot)
        atomic_fetch_add(&l->anew, 1);
    l->boot = boot;
    l->was_good = true;
    l->now = c;
    publish(l, c);
    return STATUS_ok;
}

/* How long a caller goes on trying to connect. A process that begins while the daemon is restarted waits once, and not
 * for long: the socket of one that was stopped for good may be there as well. Where no daemon ever was nobody waits. */
static int64_t patience(const struct sk_link *l, const struct sk_exchange *x)
{
    int64_t until = 0;

    if (l->barred)
        return 0;
    if (l->was_good)
        until = l->lost_at + x->patience_ms;
    else if (l->refused_at)
        until = l->refused_at + sk_earlier(x->patience_ms, FIRST_PATIENCE_MS);
    return sk_earlier(until, x->deadline);
}

/* A part of the time that there was no keeper: who waits long for one may well come a little later, and who waits for the usual
 * restart does not. By chance, since all processes of the host have lost it at the same moment. */
static int64_t pause_ms(const struct sk_link *l)
{
    int64_t since = l->was_good ? l->lost_at : l->refused_at, most = (sk_now_ms() - since) / PAUSE_PART;

    most = sk_earlier(most, PAUSE_MAX_MS);
    return most < 2 ? 1 : most / 2 + (int64_t)sk_chance((uint32_t)(most / 2 + 1));
}

/* Under the lock. On ok, l->now is there. */
static enum wire_status connected(struct sk_link *l, const struct sk_exchange *x)
{
    for (;;) {
        enum wire_status status;
        int64_t until;

        if (l->closing)
            return STATUS_keeper_absent;
        if (l->now && sk_descriptor_alive(&l->now->socket))
            return STATUS_ok;
        if (l->now) {
            struct sk_connection *lost = l->now;

            lost->users++;
            break_off(l, lost);
            leave(lost);
        }
        if (l->connecting) {
            if (sk_cond_wait(&l->turn, &l->lock, x->deadline) == ETIMEDOUT)
                return STATUS_deadline;
            continue;
        }
        status = connect_once(l, x->deadline);
        if (status == STATUS_ok)
            continue;
        until = patience(l, x);
        if (status == STATUS_wire_version || status == STATUS_memory || sk_now_ms() >= until)
            return status;
        sk_cond_wait(&l->turn, &l->lock, sk_earlier(sk_now_ms() + pause_ms(l), until));
    }
}

/* exchanging */

static void put_in(struct sk_link *l, struct sk_waiter *w)
{
    w->next = l->waiters;
    l->waiters = w;
    w->on->users++;
}

/* Also makes another waiter the reader, when nobody reads for it any more. */
static void take_out(struct sk_link *l, struct sk_waiter *w)
{
    struct sk_waiter **at = &l->waiters;

    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    for (struct sk_waiter *other = l->waiters; other && !w->on->reading; other = other->next)
        if (other->on == w->on && !other->done) {
            pthread_cond_signal(&other->wake);
            break;
        }
    leave(w->on);
    pthread_cond_destroy(&w->wake);
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
        if (sk_cond_wait(&l->turn, &l->lock, w->x->deadline) == ETIMEDOUT)
            finish(w, SK_IO_TIMEOUT);
    if (w->done)
        return false;
    c->writing = true;
    pthread_mutex_unlock(&l->lock);
    r = sk_connection_send(c, w->x->frame, w->x->length, w->x->deadline);
    pthread_mutex_lock(&l->lock);
    c->writing = false;
    pthread_cond_broadcast(&l->turn);
    if (r != SK_IO_OK)
        break_off(l, c); /* the frame may stand half in the stream; nobody can have obeyed it */
    return r == SK_IO_OK;
}

static void await_reply(struct sk_link *l, struct sk_waiter *w)
{
    while (!w->done) {
        if (!w->on->reading)
            read_for_all(l, w);
        else if (sk_cond_wait(&w->wake, &l->lock, w->x->deadline) == ETIMEDOUT && !w->done)
            finish(w, SK_IO_TIMEOUT);
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
    sk_cond_init(&w.wake);
    put_in(l, &w);
    *sent = write_frame(l, &w);
    await_reply(l, &w);
    take_out(l, &w);
    return w.result;
}

/* What is harmless twice is sent again while keepers die under it, though not for ever: it may be what kills them. */
static enum wire_status ask_locked(struct sk_link *l, struct sk_exchange *x)
{
    const uint64_t bound = x->generation;

    for (int tries = 0; tries < TRIES_MAX; tries++) {
        enum wire_status status = connected(l, x);
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
    struct sk_connection *c;

    pthread_mutex_lock(&l->lock);
    c = l->now;
    if (c && c->generation == generation) {
        c->users++;
        break_off(l, c);
        leave(c);
    }
    pthread_mutex_unlock(&l->lock);
}

void sk_link_close(struct sk_link *l)
{
    struct sk_connection *c;

    pthread_mutex_lock(&l->lock);
    l->closing = true;
    c = l->now;
    if (c) {
        c->users++;
        break_off(l, c);
        leave(c);
    }
    pthread_cond_broadcast(&l->turn);
    pthread_mutex_unlock(&l->lock);
}

void sk_link_free(struct sk_link *l)
{
    while (l->rings) {
        struct sk_ring *r = l->rings;

        l->rings = r->next;
        sk_ring_free(r);
    }
    pthread_cond_destroy(&l->turn);
    pthread_mutex_destroy(&l->lock);
}
