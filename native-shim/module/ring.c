#include "ring.h"

#include "clock.h"
#include "link.h"

#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    PIECE_FIRST_MS = 2, /* sleeps begin short: a keeper that was killed is noticed soon */
    PIECE_MS = 20,
    SLOT_WAIT_MS = 1000,
    SPIN_FIRST_US = 40,
    SPIN_MAX_US = 100,
    NAP_SHORT_US = 200, /* before the answer is due: in a virtual machine a timer wakes up to 150 us late */
    NAP_SPIN_US = 400,  /* after a nap: an answer that is due is worth more patience */
    DUE_MAX_US = 1000000,
    PROBE_EVERY = 64
};

/* holding a ring: nothing of it is touched between the count and the look */

static void unmap(struct sk_ring *r)
{
    struct ring_region *region = atomic_exchange(&r->region, NULL);

    if (!region)
        return;
    munmap(region, sizeof(*region));
    if (r->bell_is_ours)
        sk_descriptor_close(&r->bell);
}

static void drop(struct sk_ring *r)
{
    if (atomic_fetch_sub(&r->users, 1) == 1 && atomic_load(&r->dead))
        unmap(r);
}

static struct sk_ring *hold(struct sk_link *l)
{
    struct sk_ring *r = atomic_load(&l->ring);

    if (!r)
        return NULL;
    atomic_fetch_add(&r->users, 1);
    if (atomic_load(&l->ring) == r && !atomic_load(&r->dead))
        return r;
    drop(r);
    return NULL;
}

/* Shared: the keeper is another process. */
static void sleep_on(_Atomic uint32_t *word, uint32_t value, int64_t us)
{
    struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    syscall(SYS_futex, word, FUTEX_WAIT, value, &t, NULL, 0);
}

static void wake(_Atomic uint32_t *word, int how_many) { syscall(SYS_futex, word, FUTEX_WAKE, how_many, NULL, NULL, 0); }

void sk_ring_kill(struct sk_ring *r)
{
    struct ring_region *region;

    /* Descriptors like the bell have one inode in common, so that its own cannot tell whether the host closed the number and
     * opened something else behind it; the socket's can. */
    r->bell_is_ours = sk_descriptor_alive(&r->socket);
    atomic_fetch_add(&r->users, 1);
    atomic_store(&r->dead, true);
    region = atomic_load(&r->region);
    for (unsigned i = 0; region && i < RING_SLOTS; i++)
        if (atomic_load(&region->slot[i].waiting))
            wake(&region->slot[i].state, INT_MAX);
    drop(r);
}

void sk_ring_forget(struct sk_ring *r)
{
    if (sk_descriptor_alive(&r->socket))
        sk_descriptor_close(&r->bell);
}

bool sk_ring_epoch(struct sk_link *l, uint64_t *generation, uint64_t *epoch)
{
    struct sk_ring *r = hold(l);

    if (!r)
        return false;
    *generation = r->generation;
    *epoch = atomic_load(&atomic_load(&r->region)->epoch);
    drop(r);
    return true;
}

/* slots */

static bool claim(struct sk_ring *r, struct ring_region *region, unsigned slot)
{
    struct ring_slot *s = &region->slot[slot];
    uint32_t seen = atomic_load_explicit(&s->state, memory_order_relaxed);

    if (seen == RING_FREE)
        return atomic_compare_exchange_strong(&s->state, &seen, RING_TAKEN);
    if (seen != RING_DONE || !atomic_load(&r->given_up[slot]) || !atomic_exchange(&r->given_up[slot], false))
        return false;
    atomic_store(&s->state, RING_TAKEN); /* nobody but who took it back */
    return true;
}

static int claim_any(struct sk_ring *r, struct ring_region *region, uint64_t home)
{
    for (unsigned i = 0; i < RING_SLOTS; i++) {
        unsigned slot = (unsigned)((home + i) % RING_SLOTS);

        if (claim(r, region, slot))
            return (int)slot;
    }
    return -1;
}

/* More threads than slots: they look again after a while rather than take the slower socket. Nobody wakes them: a slot that is
 * given back is mostly taken again by the same thread before another could run. */
static int claim_later(struct sk_ring *r, struct ring_region *region, uint64_t home)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int64_t until = sk_now_ms() + SLOT_WAIT_MS;
    int slot = -1;

    while (slot < 0 && !atomic_load(&r->dead) && sk_now_ms() < until) {
        nanosleep(&pause, NULL);
        slot = claim_any(r, region, home);
    }
    return slot;
}

static bool enter(struct sk_link *l, uint64_t home, bool waits, struct sk_turn *t)
{
    struct sk_ring *r = hold(l);
    int slot;

    if (!r)
        return false;
    t->ring = r;
    t->region = atomic_load_explicit(&r->region, memory_order_relaxed);
    slot = claim_any(r, t->region, home);
    if (slot < 0 && waits)
        slot = claim_later(r, t->region, home);
    if (slot < 0) {
        drop(r);
        return false;
    }
    t->slot = (unsigned)slot;
    t->body = t->region->payload[slot] + WIRE_HEADER_BYTES;
    t->deadline = 0;
    return true;
}

bool sk_ring_enter(struct sk_link *l, uint64_t home, struct sk_turn *t) { return enter(l, home, true, t); }
bool sk_ring_enter_now(struct sk_link *l, uint64_t home, struct sk_turn *t) { return enter(l, home, false, t); }

/* A slot that the keeper may still write into is not free: it is taken back when it is done. */
void sk_ring_leave(struct sk_turn *t)
{
    struct sk_ring *r = t->ring;
    struct ring_slot *s = &t->region->slot[t->slot];
    uint32_t state = atomic_load_explicit(&s->state, memory_order_relaxed);

    if (state == RING_READY || state == RING_RUNNING)
        atomic_store(&r->given_up[t->slot], true);
    else
        atomic_store_explicit(&s->state, RING_FREE, memory_order_release);
    drop(r);
}

/* asking */

/* Whether the bell may be written: see sk_ring_kill. */
static void ring_bell(struct sk_ring *r)
{
    uint64_t one = 1;

    if (sk_descriptor_alive(&r->socket) && sk_descriptor_alive(&r->bell) && write(r->bell.fd, &one, sizeof(one)) < 0)
        return; /* full: it has rung */
}

void sk_ring_post(struct sk_turn *t, uint16_t type, size_t length)
{
    struct ring_slot *s = &t->region->slot[t->slot];
    struct wire_header h = {.length = (uint32_t)length, .type = type};

    t->id = h.id = ++t->ring->ids[t->slot];
    t->header.type = type;
    wire_write_header(t->body - WIRE_HEADER_BYTES, &h);
    atomic_store_explicit(&s->length, (uint32_t)(WIRE_HEADER_BYTES + length), memory_order_relaxed);
    atomic_store_explicit(&s->waiting, 0, memory_order_relaxed);
    atomic_store(&s->state, RING_READY);
    if (!atomic_load(&t->region->polled))
        ring_bell(t->ring);
}

static bool is_done(const struct sk_turn *t)
{
    return atomic_load_explicit(&t->region->slot[t->slot].state, memory_order_acquire) == RING_DONE;
}

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static bool spin(const struct sk_turn *t, unsigned budget_us)
{
    int64_t begun = 0, now = 0;

    for (unsigned i = 0; i < 40; i++) { /* most replies are here before the clock is worth a look */
        if (is_done(t))
            return true;
        relax();
    }
    if (!budget_us)
        return is_done(t);
    begun = now_us();
    do {
        for (unsigned i = 0; i < 16; i++) {
            if (is_done(t))
                return true;
            relax();
        }
        now = now_us();
    } while (now - begun < budget_us);
    return is_done(t);
}

/* Sleeps until shortly before an answer that takes long is due, and leaves the rest to a spin: to be woken would cost a tenth
 * of a signature. */
static void nap(const struct sk_turn *t, unsigned us)
{
    struct ring_slot *s = &t->region->slot[t->slot];
    uint32_t state;

    atomic_store(&s->waiting, 1);
    state = atomic_load(&s->state);
    if (state != RING_DONE)
        sleep_on(&s->state, state, us);
    atomic_store(&s->waiting, 0);
}

/* What worked is tried for longer, what did not for less: beside busy threads a spin keeps the reply away. */
static bool spin_by(const struct sk_turn *t, struct sk_pace *pace, enum sk_pace_class which)
{
    unsigned learnt = atomic_load_explicit(&pace->budget_us[which], memory_order_relaxed), budget = learnt, next;
    unsigned due = atomic_load_explicit(&pace->due_us[which], memory_order_relaxed);
    bool found;

    if (atomic_load_explicit(&pace->alone, memory_order_relaxed))
        return is_done(t);
    if (learnt < 2 && atomic_fetch_add_explicit(&pace->skipped, 1, memory_order_relaxed) % PROBE_EVERY == 0)
        budget = which < SK_PACE_CURVE ? SPIN_FIRST_US : SPIN_MAX_US; /* the keeper was asleep too */
    if (budget >= 2 && due > NAP_SHORT_US) {
        nap(t, due - NAP_SHORT_US);
        found = spin(t, NAP_SPIN_US);
    } else {
        found = spin(t, budget);
    }
    next = found ? budget + 2 : learnt / 2;
    next = next < SPIN_MAX_US ? next : SPIN_MAX_US;
    if (next != learnt)
        atomic_store_explicit(&pace->budget_us[which], next, memory_order_relaxed);
    return found;
}

static bool hung_up(const struct sk_ring *r)
{
    struct pollfd p = {.fd = r->socket.fd, .events = POLLRDHUP};

    if (atomic_load(&r->dead) || !sk_descriptor_alive(&r->socket))
        return true;
    return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL);
}

static enum sk_io sleep_until_done(struct sk_turn *t)
{
    struct ring_slot *s = &t->region->slot[t->slot];
    int64_t piece = PIECE_FIRST_MS, now = sk_now_ms();

    if (!t->deadline)
        t->deadline = now + WIRE_DEADLINE_MS;
    if (atomic_load(&s->state) == RING_READY)
        ring_bell(t->ring); /* who polls has lost its processor, it seems: another worker may have one */
    for (; now < t->deadline; now = sk_now_ms(), piece = sk_earlier(2 * piece, PIECE_MS)) {
        uint32_t state;

        atomic_store(&s->waiting, 1);
        state = atomic_load(&s->state);
        if (state != RING_DONE)
            sleep_on(&s->state, state, 1000 * sk_earlier(piece, t->deadline - now));
        if (is_done(t))
            return SK_IO_OK;
        if (hung_up(t->ring))
            return is_done(t) ? SK_IO_OK : SK_IO_BROKEN;
    }
    return SK_IO_TIMEOUT;
}

/* The header into private memory, where it is checked. */
static enum sk_io read_reply(struct sk_turn *t)
{
    uint32_t all = atomic_load_explicit(&t->region->slot[t->slot].length, memory_order_relaxed);
    uint16_t type = t->header.type | WIRE_REPLY;
    uint8_t head[WIRE_HEADER_BYTES];

    memcpy(head, t->body - WIRE_HEADER_BYTES, sizeof(head));
    if (wire_read_header(head, &t->header) != 0 || t->header.type != type || t->header.id != t->id ||
        t->header.length > SK_RING_BODY_MAX || all != WIRE_HEADER_BYTES + t->header.length)
        return SK_IO_BROKEN;
    t->length = t->header.length;
    return SK_IO_OK;
}

/* What an answer takes, for the next nap. An answer that lay there when its nap ended took less than was thought. */
static void learn(struct sk_pace *pace, enum sk_pace_class which, int64_t took)
{
    int64_t due = atomic_load_explicit(&pace->due_us[which], memory_order_relaxed);

    due = due ? due + (took - due) / 8 : took;
    atomic_store_explicit(&pace->due_us[which], (unsigned)sk_earlier(due, DUE_MAX_US), memory_order_relaxed);
}

static enum sk_io wait_long(struct sk_turn *t, struct sk_pace *pace, enum sk_pace_class which)
{
    const bool first = atomic_fetch_add(&pace->waiting_long, 1) == 0;
    int64_t begun = now_us();
    enum sk_io r = first && spin_by(t, pace, which) ? SK_IO_OK : sleep_until_done(t);

    if (first && r == SK_IO_OK)
        learn(pace, which, now_us() - begun);
    atomic_fetch_sub(&pace->waiting_long, 1);
    return r;
}

enum sk_io sk_ring_wait(struct sk_turn *t, struct sk_pace *pace, enum sk_pace_class which)
{
    enum sk_io r;

    if (which >= SK_PACE_LONG)
        r = wait_long(t, pace, which);
    else
        r = spin_by(t, pace, which) ? SK_IO_OK : sleep_until_done(t);
    return r == SK_IO_OK ? read_reply(t) : r;
}

void sk_pace_init(struct sk_pace *pace)
{
    cpu_set_t usable;

    for (unsigned i = 0; i < SK_PACES; i++) {
        atomic_init(&pace->budget_us[i], SPIN_FIRST_US);
        atomic_init(&pace->due_us[i], 0);
    }
    atomic_init(&pace->waiting_long, 0);
    atomic_init(&pace->alone, sched_getaffinity(0, sizeof(usable), &usable) == 0 && CPU_COUNT(&usable) == 1);
}
