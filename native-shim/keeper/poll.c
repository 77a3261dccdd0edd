#include "poll.h"

#include <sched.h>
#include <time.h>

#include "conn.h"
#include "handle.h"
#include "mechanism.h"
#include "ring.h"

enum {
    LINGER_NS = 50 * 1000,        /* how long a worker looks after the last request */
    AGENT_LINGER_NS = 300 * 1000, /* after one of the agent's, while they come about as often: a turn of its event loop takes as long */
    SLEEPERS = 8,          /* answers in a row that had to wake somebody: nobody waits awake */
    TURN = 8,              /* requests of one ring before the next one's turn */
    ROUNDS = 64,           /* between looks at the clock */
    EAGER = 32,            /* of these without a pause: the next request is about to come */
    COPIED_LEAST = RING_SUBJECT_BYTES + RING_LINE_BYTES, /* a line is copied whole */
    MECHANISM_AT = 35      /* in the body of operate: flags, operation, number, place, handle */
};

static unsigned pollers_max;
static atomic_uint pollers;
static _Atomic(struct kp_conn *) offered; /* a ring without an owner, with a reference */

void kp_poll_open(void)
{
    cpu_set_t usable;
    int processors = sched_getaffinity(0, sizeof(usable), &usable) == 0 ? CPU_COUNT(&usable) : 2;

    pollers_max = processors > 1 ? (unsigned)processors - 1 : 0;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* By what the client says of it: a wrong word costs nobody but itself. */
static bool is_slow(const struct wire_header *h, struct wire_bytes body)
{
    const struct wire_mechanism *m = NULL;
    struct wire_reader r;

    if (h->type != WIRE_operate || body.length < 1 || !(body.data[0] & (WIRE_BEGIN | WIRE_FINAL)))
        return false;
    if (!(body.data[0] & WIRE_BEGIN))
        return true;
    if (body.length >= MECHANISM_AT + 8) {
        wire_reader_init(&r, body.data + MECHANISM_AT, 8);
        m = wire_mechanism_find(wire_read_u64(&r));
    }
    return m && m->engine >= ENGINE_rsa_pkcs;
}

static void mark(size_t *dirty, size_t length)
{
    if (*dirty < length)
        *dirty = length;
}

static void run(struct kp_poller *p, struct kp_conn *conn, unsigned slot, const struct wire_header *h, size_t length)
{
    struct wire_bytes body = {p->in, length};
    bool slow = is_slow(h, body);
    size_t dirty = 0;

    p->slow = slow;
    if (slow) {
        kp_ring_running(atomic_load_explicit(&conn->ring, memory_order_relaxed), slot);
        kp_poll_leave(p);
    }
    kp_handle_slot(conn, slot + 1, h, body, p->out, &dirty);
    if (slow)
        kp_poll_return(p);
    mark(&p->dirty_in, length < COPIED_LEAST ? COPIED_LEAST : length);
    mark(&p->dirty_out, dirty);
}

static bool may_come_by_ring(const struct kp_conn *conn, uint16_t type)
{
    if (conn->for_ring)
        return type == WIRE_cell_operate_many;
    return type == WIRE_operate || type == WIRE_bind_check || type == WIRE_random;
}

/* How many requests it has served. `later` and `patient` are those of kp_ring_take. */
static unsigned serve(struct kp_poller *p, struct kp_conn *conn, size_t later, bool patient)
{
    struct kp_ring *ring = atomic_load_explicit(&conn->ring, memory_order_relaxed);
    struct wire_header h = {0};
    unsigned served = 0;
    int slot, length;

    while (served < TURN && !atomic_load_explicit(&ring->dead, memory_order_relaxed) &&
           (slot = kp_ring_take(ring, later, patient, &h.type, p->in, &length)) >= 0) {
        served++;
        if (length < 0 || !may_come_by_ring(conn, h.type)) {
            kp_conn_close(conn);
            break;
        }
        h.length = (uint32_t)length;
        run(p, conn, (unsigned)slot, &h, h.length);
    }
    return served;
}

/* owning */

static bool may_own(struct kp_poller *p)
{
    if (p->count)
        return p->count < KP_POLLED_MAX;
    if (atomic_fetch_add(&pollers, 1) < pollers_max)
        return true;
    atomic_fetch_sub(&pollers, 1);
    return false;
}

/* Waking a worker takes the agent as long as half a request; but only for a busy agent does a worker stay awake. */
static uint64_t linger_of(const struct kp_conn *conn, const struct kp_ring *ring)
{
    uint64_t left = atomic_load_explicit(&ring->idle_since, memory_order_relaxed);

    return conn->for_ring && now_ns() - left < AGENT_LINGER_NS ? AGENT_LINGER_NS : LINGER_NS;
}

/* Takes a reference of its own. False: another worker has it, or it cannot be had. */
static bool own(struct kp_poller *p, struct kp_conn *conn)
{
    struct kp_ring *ring = atomic_load(&conn->ring);

    if (!may_own(p))
        return false;
    if (atomic_exchange(&ring->owned, true)) {
        if (!p->count)
            atomic_fetch_sub(&pollers, 1);
        return true; /* who owns it looks */
    }
    kp_conn_hold(conn);
    p->rings[p->count] = (struct kp_polled){.conn = conn, .linger_ns = linger_of(conn, ring)};
    p->count++;
    kp_ring_set_polled(ring, true);
    return true;
}

static void disown(struct kp_poller *p, unsigned i)
{
    struct kp_conn *conn = p->rings[i].conn;
    struct kp_ring *ring = atomic_load(&conn->ring);

    atomic_store_explicit(&ring->idle_since, p->rings[i].idle_since, memory_order_relaxed);
    p->rings[i] = p->rings[--p->count];
    if (!p->count)
        atomic_fetch_sub(&pollers, 1);
    kp_ring_set_polled(ring, false); /* before another worker may own it and say otherwise */
    atomic_store(&ring->owned, false);
    if (kp_ring_has_work(ring))
        kp_ring_ring(ring);
    kp_conn_drop(conn);
}

static void adopt(struct kp_poller *p)
{
    struct kp_conn *conn = atomic_load(&offered);

    if (!conn || !(conn = atomic_exchange(&offered, NULL)))
        return;
    own(p, conn);
    kp_conn_drop(conn);
}

/* Every worker that may look has rings already: one of them shall look at this one as well. */
static void offer(struct kp_poller *p, struct kp_conn *conn)
{
    struct kp_conn *none = NULL;

    if (pollers_max == 0 || atomic_load(&offered))
        return;
    kp_conn_hold(conn);
    if (!atomic_compare_exchange_strong(&offered, &none, conn))
        kp_conn_drop(conn);
    else if (atomic_load(&pollers) == 0)
        adopt(p); /* they have gone to sleep meanwhile */
}

/* Beside the owner. Who is answered next comes back soon, and to wake this worker again would cost as much as to answer: it stays
 * for a while, and lets whoever is on its processor run. */
static unsigned help(struct kp_poller *p, struct kp_conn *conn)
{
    unsigned served = serve(p, conn, 0, false);
    uint64_t since = now_ns();

    while (served && served < TURN && p->slow && now_ns() - since < LINGER_NS) {
        unsigned more;

        sched_yield();
        more = serve(p, conn, 0, true);
        since = more ? now_ns() : since;
        served += more;
    }
    return served;
}

void kp_poll_bell(struct kp_poller *p, struct kp_conn *conn)
{
    struct kp_ring *ring = atomic_load(&conn->ring);

    if (!ring || atomic_load(&ring->dead))
        return;
    if (!atomic_load(&ring->owned) && own(p, conn))
        return;
    if (help(p, conn) >= TURN)
        kp_ring_ring(ring); /* more may be there: behind what else has happened */
    if (!atomic_load(&ring->owned) && !atomic_load(&ring->dead))
        offer(p, conn);
}

/* looking */

/* A client that had slept is woken now and may want this very processor: while processors are few, to sleep is the faster way to
 * its next request. */
static void make_way(struct kp_poller *p)
{
    for (unsigned i = p->count; i-- > 0;)
        if (atomic_load_explicit(&atomic_load(&p->rings[i].conn->ring)->woke, memory_order_relaxed) >= SLEEPERS)
            disown(p, i);
}

/* Lets go of what is over or idle for long. */
static void tidy(struct kp_poller *p)
{
    uint64_t now = now_ns();

    for (unsigned i = p->count; i-- > 0;) {
        struct kp_ring *ring = atomic_load(&p->rings[i].conn->ring);

        if (!p->rings[i].idle_since)
            p->rings[i].idle_since = now;
        else if (now - p->rings[i].idle_since > p->rings[i].linger_ns)
            disown(p, i);
        else if (atomic_load(&ring->dead))
            disown(p, i);
    }
}

/* Whether the next request is so far off that others may have this processor until then: the agent, or its client. */
static bool yields(const struct kp_poller *p) { return p->slow || (p->count == 1 && p->rings[0].conn->for_ring); }

bool kp_poll_look(struct kp_poller *p)
{
    size_t later = 0;

    for (unsigned round = 0; round < ROUNDS && p->count; round++) {
        bool busy = false;

        for (unsigned i = 0; i < p->count; i++)
            if (serve(p, p->rings[i].conn, later, p->slow)) {
                p->rings[i].idle_since = 0;
                busy = true;
            }
        if (!busy && yields(p))
            sched_yield();
        else if (!busy)
            make_way(p);
        if (!busy && round >= EAGER)
            relax();
        later = busy ? 0 : ring_pause();
    }
    adopt(p);
    if (p->count)
        tidy(p);
    if (!p->count && atomic_load(&pollers) == 0)
        adopt(p);
    return p->count > 0;
}

void kp_poll_leave(struct kp_poller *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        struct kp_ring *ring = atomic_load(&p->rings[i].conn->ring);

        kp_ring_set_polled(ring, false);
        if (kp_ring_has_work(ring))
            kp_ring_ring(ring);
    }
}

void kp_poll_return(struct kp_poller *p)
{
    for (unsigned i = 0; i < p->count; i++)
        kp_ring_set_polled(atomic_load(&p->rings[i].conn->ring), true);
}

void kp_poll_wipe(struct kp_poller *p)
{
    wire_wipe(p->in, p->dirty_in);
    wire_wipe(p->out, p->dirty_out);
    p->dirty_in = p->dirty_out = 0;
}
