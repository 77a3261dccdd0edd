/*
 * How the link comes by a connection: one thread dials, the others sleep until it has one, and each goes on for as long as its
 * patience lasts. While a daemon restarts it needs the processors that its programs wait with.
 */
#include "link.h"

#include "clock.h"
#include "dial.h"

enum { PAUSE_PART = 16, PAUSE_MAX_MS = 100, FIRST_PATIENCE_MS = 1000 };

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

    pthread_mutex_unlock(&l->lock);
    status = sk_dial(l, deadline, &c, &epoch, &boot);
    pthread_mutex_lock(&l->lock);
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

static bool is_connected(struct sk_link *l)
{
    if (l->now && !sk_descriptor_alive(&l->now->socket))
        sk_link_drop_now(l);
    return l->now;
}

static bool is_final(enum wire_status status) { return status == STATUS_wire_version || status == STATUS_memory; }

static void pause_until(struct sk_link *l, int64_t end)
{
    while (!l->closing && sk_now_ms() < end)
        sk_condition_wait(&l->turn, &l->lock, end);
}

/* By the one thread that dials, until it is connected or its patience ends. The others are woken when they learn something new. */
static enum wire_status dial_on(struct sk_link *l, const struct sk_exchange *x)
{
    while (!l->closing) {
        enum wire_status status = connect_once(l, x->deadline);
        const int64_t until = patience(l, x);

        if (status == STATUS_ok || is_final(status) || sk_now_ms() >= until)
            return status;
        if (l->absence == STATUS_ok)
            sk_condition_broadcast(&l->turn);
        l->absence = status;
        pause_until(l, sk_earlier(sk_now_ms() + pause_ms(l), until));
    }
    return STATUS_keeper_absent;
}

static enum wire_status dial_for_all(struct sk_link *l, const struct sk_exchange *x)
{
    enum wire_status status;

    l->connecting = true;
    l->absence = STATUS_ok;
    status = dial_on(l, x);
    l->connecting = false;
    sk_condition_broadcast(&l->turn);
    return status;
}

/* For who dials. How the last dialling ended, once patience has; until one has ended there is no telling how long that is. */
static enum wire_status await_dial(struct sk_link *l, const struct sk_exchange *x)
{
    int64_t until = l->absence == STATUS_ok ? x->deadline : patience(l, x);

    if (sk_now_ms() < until)
        sk_condition_wait(&l->turn, &l->lock, until);
    if (!l->connecting || sk_now_ms() < until)
        return STATUS_ok;
    return l->absence == STATUS_ok ? STATUS_deadline : l->absence;
}

enum wire_status sk_link_connect(struct sk_link *l, const struct sk_exchange *x)
{
    while (!l->closing && !is_connected(l)) {
        enum wire_status status = l->connecting ? await_dial(l, x) : dial_for_all(l, x);

        if (status != STATUS_ok)
            return status;
    }
    return l->closing ? STATUS_keeper_absent : STATUS_ok;
}
